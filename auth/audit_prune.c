#include "auth/audit_prune.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct aged {
    struct audit_doomed file;
    int64_t written_s;
    uint64_t bytes;
    bool newest; /* of its chain */
};

static int by_age(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;

    if (x->written_s != y->written_s)
        return x->written_s < y->written_s ? -1 : 1;
    if (x->file.chain != y->file.chain)
        return x->file.chain < y->file.chain ? -1 : 1;
    return x->file.first < y->file.first ? -1 : x->file.first > y->file.first;
}

static enum st path_of(char out[FS_PATH_MAX], const char *directory, const char *tenant,
                       unsigned chain, uint64_t first)
{
    return fs_path(out, "%s/%s/" AUDIT_FILE_FORMAT, directory, tenant, chain,
                   (unsigned long long)first);
}

static enum st look(struct aged *out, uint64_t *bytes, const struct audit_names *names,
                    const char *directory, const char *tenant)
{
    char path[FS_PATH_MAX];
    struct stat info;

    for (size_t i = 0; i < names->count; i++) {
        const struct audit_name *n = &names->list[i];
        enum st st = path_of(path, directory, tenant, n->chain, n->first);
        if (st)
            return st;
        if (stat(path, &info) != 0) /* another process was quicker */
            info = (struct stat){0};
        out[i] = (struct aged){.file = {.chain = n->chain, .first = n->first},
                               .written_s = info.st_mtim.tv_sec,
                               .bytes = (uint64_t)info.st_size};
        out[i].newest = i + 1 == names->count || names->list[i + 1].chain != n->chain;
        out[i].file.kept_first = out[i].newest ? 0 : names->list[i + 1].first;
        if (i > 0 && !out[i - 1].newest && out[i].written_s < out[i - 1].written_s)
            out[i].written_s = out[i - 1].written_s; /* the clock was set back */
        *bytes += out[i].bytes;
    }
    return ST_OK;
}

enum st audit_prune_find(struct audit_doomed **out, size_t *count, const char *directory,
                         const char *tenant, int64_t before_s, uint64_t max_bytes)
{
    struct audit_names names = {0};
    struct aged *files = NULL;
    char path[FS_PATH_MAX];
    uint64_t bytes = 0;
    enum st st = fs_path(path, "%s/%s", directory, tenant);

    *out = NULL;
    *count = 0;
    if (!st)
        st = audit_names_list(&names, path, 0);
    if (!st) {
        files = calloc(names.count + 1, sizeof *files);
        *out = calloc(names.count + 1, sizeof **out);
        if (!files || !*out)
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    }
    if (!st)
        st = look(files, &bytes, &names, directory, tenant);
    if (!st)
        qsort(files, names.count, sizeof *files, by_age);
    for (size_t i = 0; !st && i < names.count; i++)
        if (files[i].written_s < before_s || (max_bytes && bytes > max_bytes && !files[i].newest)) {
            (*out)[(*count)++] = files[i].file;
            bytes -= files[i].bytes;
        }
    free(files);
    audit_names_release(&names);
    if (st) {
        free(*out);
        *out = NULL;
        *count = 0;
    }
    return st;
}

enum st audit_prune_remove(const char *directory, const char *tenant,
                           const struct audit_doomed *doomed)
{
    char path[FS_PATH_MAX];
    enum st st = path_of(path, directory, tenant, doomed->chain, doomed->first);

    if (!st && unlink(path) != 0 && errno != ENOENT)
        st = st_fail_errno(errno, "removing %s", path);
    return st;
}

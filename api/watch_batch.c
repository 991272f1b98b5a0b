#include "api/watch_batch.h"

#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define MARKER "_SUCCESS"
#define MANIFEST "manifest.json"
#define MANIFEST_MAX (1u << 20)

/* ---- which there are ---- */

static void path_of(char out[32], int directory)
{
    snprintf(out, 32, "/proc/self/fd/%d", directory);
}

void watch_directory(int inotify, int directory, uint32_t mask)
{
    char path[32];

    path_of(path, directory);
    (void)inotify_add_watch(inotify, path, mask);
}

static enum st list_directory(struct fs_list *out, int directory)
{
    char path[32];

    path_of(path, directory);
    return fs_list_dir(out, path);
}

static bool is_complete(struct store_batch *b, int batch, const char *marker)
{
    struct stat sb;

    if (fstatat(batch, marker, &sb, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(sb.st_mode))
        return false;
    b->complete_ns = (int64_t)sb.st_mtim.tv_sec * 1000000000 + sb.st_mtim.tv_nsec;
    b->inode = sb.st_ino;
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct store_batch *x = a, *y = b;

    if (x->complete_ns != y->complete_ns)
        return x->complete_ns < y->complete_ns ? -1 : 1;
    return strcmp(x->name, y->name);
}

size_t watch_list_batches(struct store_batch **out, size_t max, int directory, int inotify,
                          uint32_t mask)
{
    struct fs_list list = {0};
    size_t count = 0;

    *out = NULL;
    if (list_directory(&list, directory))
        return 0; /* it went away */
    struct store_batch *batches = *out = calloc(list.count + 1, sizeof *batches);
    for (size_t i = 0; batches && i < list.count; i++) {
        struct store_batch *b = &batches[count];
        const char *name = list.names[i];
        int batch = name[0] == '.' || strlen(name) >= sizeof b->name
                        ? -1
                        : fs_open_below(directory, name, O_RDONLY | O_DIRECTORY);
        if (batch < 0)
            continue;
        snprintf(b->name, sizeof b->name, "%s", name);
        if (is_complete(b, batch, MANIFEST) || is_complete(b, batch, MARKER))
            count++;
        else
            watch_directory(inotify, batch, mask);
        fs_close(&batch);
    }
    fs_list_free(&list);
    if (count)
        qsort(batches, count, sizeof *batches, by_age);
    if (count > max) {
        memmove(batches, batches + count - max, max * sizeof *batches);
        count = max;
    }
    return count;
}

/* ---- what is in one ---- */

struct batch_files {
    const struct store_starter *starter;
    const char *batch;
    json_t *sources;
};

/* `below` is the file's path below the batch, `source` its source's name of `len` bytes. */
static enum st add(struct batch_files *f, const char *source, int len, const char *below)
{
    char name[STORE_NAME_SIZE], path[FS_PATH_MAX];

    if (json_array_size(f->sources) == STORE_JOB_FILES_MAX)
        return st_fail(ST_TOO_LARGE, "MANY_FILES", "a batch has at most %d files",
                       STORE_JOB_FILES_MAX);
    snprintf(name, sizeof name, "%.*s", len, source);
    utf8_mend(name); /* one that is cut is no source's */
    enum st st = fs_path(path, "%s/%s/%s", f->starter->dataset, f->batch, below);
    if (st)
        return st;
    if (!utf8_is_valid(path, strlen(path)))
        return st_hint(st_fail(ST_INVALID, "FILE_NAME", "the name of a file is not UTF-8"),
                       "rename it, and write the batch's marker anew");
    json_t *item = json_pack("{s:s, s:s}", "source",
                             f->starter->source[0] ? f->starter->source : name, "path", path);
    return json_array_append_new(f->sources, item) == 0 ? ST_OK
                                                        : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* Names that begin with _ or . are not data, as everywhere where there is a _SUCCESS. `in`: the
 * name of the directory below the batch, or NULL. */
static enum st list_files(struct batch_files *f, int directory, const char *in)
{
    char below[FS_PATH_MAX];
    struct fs_list list = {0};
    enum st st = list_directory(&list, directory);

    for (size_t i = 0; !st && i < list.count; i++) {
        const char *name = list.names[i];
        if (name[0] == '_' || name[0] == '.')
            continue;
        int inner = in ? -1 : fs_open_below(directory, name, O_RDONLY | O_DIRECTORY);
        if (inner >= 0)
            st = list_files(f, inner, name);
        else if (in && !(st = fs_path(below, "%s/%s", in, name)))
            st = add(f, in, (int)strlen(in), below);
        else if (!in)
            st = add(f, name, (int)strcspn(name, "."), name);
        fs_close(&inner);
    }
    fs_list_free(&list);
    return st;
}

static enum st check_item(const json_t *item, size_t i)
{
    static const char *const MEMBERS[] = {"source", "path", NULL};
    const char *source, *path;
    char pointer[40];

    snprintf(pointer, sizeof pointer, "/sources/%zu", i);
    enum st st =
        json_is_object(item)
            ? jx_only(item, pointer, MEMBERS)
            : st_place(st_fail(ST_INVALID, "WRONG_TYPE", "must be an object"), "%s", pointer);
    if (!st)
        st = jx_string(&source, item, pointer, "source", NULL);
    if (!st)
        st = jx_need_string(&path, item, pointer, "path");
    if (!st && store_inbox_path_check(path))
        st = st_place(ST_INVALID, "%s/path", pointer);
    return st;
}

static enum st parse_manifest(json_t **out, int batch)
{
    char path[32];
    struct buf text;
    int fd = fs_open_below(batch, MANIFEST, O_RDONLY | O_NONBLOCK);

    if (fd < 0)
        return st_fail_errno(errno, "opening the manifest");
    path_of(path, fd);
    buf_init(&text, MANIFEST_MAX);
    enum st st = fs_read(&text, path);
    if (!st)
        st = jx_parse_object(out, text.data ? text.data : "", text.len);
    buf_release(&text);
    fs_close(&fd);
    return st;
}

static enum st read_manifest(struct batch_files *f, int batch)
{
    static const char *const MEMBERS[] = {"sources", NULL};
    json_t *manifest = NULL, *sources = NULL;
    enum st st = parse_manifest(&manifest, batch);

    if (!st)
        st = jx_only(manifest, "", MEMBERS);
    if (!st)
        st = jx_array(&sources, manifest, "", "sources");
    for (size_t i = 0; !st && i < json_array_size(sources); i++) {
        const json_t *item = json_array_get(sources, i);
        const char *source = json_string_value(json_object_get(item, "source"));
        st = check_item(item, i);
        if (!st)
            st = add(f, source ? source : "", source ? (int)strlen(source) : 0,
                     json_string_value(json_object_get(item, "path")));
    }
    json_decref(manifest);
    return st;
}

enum st watch_batch_sources(json_t **out, int directory, const struct store_starter *starter,
                            const char *batch)
{
    struct batch_files f = {.starter = starter, .batch = batch, .sources = json_array()};
    struct store_batch ignored;
    enum st st = f.sources ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    int fd = st ? -1 : fs_open_below(directory, batch, O_RDONLY | O_DIRECTORY);

    if (!st && fd < 0)
        st = st_fail_errno(errno, "opening the batch's directory");
    if (!st)
        st = is_complete(&ignored, fd, MANIFEST) ? read_manifest(&f, fd) : list_files(&f, fd, NULL);
    if (!st && json_array_size(f.sources) == 0)
        st = st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "the batch has no file");
    fs_close(&fd);
    if (st) {
        json_decref(f.sources);
        return st;
    }
    *out = f.sources;
    return ST_OK;
}

#include "auth/audit_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_START 128u /* bytes: the time is in them */

static int by_place(const void *a, const void *b)
{
    const struct audit_name *x = a, *y = b;

    if (x->chain != y->chain)
        return x->chain < y->chain ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

enum st audit_names_list(struct audit_names *out, const char *directory, unsigned chain)
{
    struct fs_list list = {0};
    enum st st = fs_list_dir(&list, directory);

    *out = (struct audit_names){0};
    if (st)
        return st == ST_NOT_FOUND ? ST_OK : st;
    out->list = calloc(list.count + 1, sizeof *out->list);
    if (!out->list)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && i < list.count; i++) {
        unsigned long long first;
        unsigned number;
        int end = 0;
        if (sscanf(list.names[i], "%u-%llu.jsonl%n", &number, &first, &end) == 2 && end > 0 &&
            list.names[i][end] == '\0' && (chain == 0 || chain == number) && first > 0)
            out->list[out->count++] = (struct audit_name){number, first};
    }
    fs_list_free(&list);
    if (out->count)
        qsort(out->list, out->count, sizeof *out->list, by_place);
    return st;
}

void audit_names_release(struct audit_names *names)
{
    free(names->list);
    *names = (struct audit_names){0};
}

enum st audit_tenants_list(struct fs_list *out, const char *directory)
{
    enum st st = fs_list_dir(out, directory);
    size_t kept = 0;

    for (size_t i = 0; !st && i < out->count; i++) {
        char path[FS_PATH_MAX];
        struct stat info;
        st = fs_path(path, "%s/%s", directory, out->names[i]);
        if (!st && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
            char *name = out->names[i];
            out->names[i] = out->names[kept];
            out->names[kept++] = name;
        }
    }
    while (!st && out->count > kept)
        free(out->names[--out->count]);
    if (st)
        fs_list_free(out);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum st audit_file_read(struct audit_file *out, const char *directory, unsigned chain,
                        uint64_t first)
{
    char path[FS_PATH_MAX];
    enum st st =
        fs_path(path, "%s/" AUDIT_FILE_FORMAT, directory, chain, (unsigned long long)first);

    out->at = 0;
    buf_init(&out->text, AUDIT_FILE_MAX);
    if (!st)
        st = fs_read(&out->text, path);
    while (!st && out->text.len && out->text.data[out->text.len - 1] != '\n')
        out->text.len--;
    return st;
}

void audit_file_release(struct audit_file *file)
{
    buf_release(&file->text);
}

bool audit_file_next(struct audit_text *line, struct audit_file *file)
{
    if (file->at >= file->text.len)
        return false;
    line->bytes = file->text.data + file->at;
    const char *end = memchr(line->bytes, '\n', file->text.len - file->at);
    line->len = (size_t)(end - line->bytes);
    file->at += line->len + 1;
    return true;
}

void audit_file_begins(char at[AUDIT_AT_TEXT + 1], const char *directory, unsigned chain,
                       uint64_t first)
{
    char path[FS_PATH_MAX], start[LINE_START];
    enum st st =
        fs_path(path, "%s/" AUDIT_FILE_FORMAT, directory, chain, (unsigned long long)first);
    int fd = st ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, start, sizeof start);
    const char *found = len > 0 ? audit_line_at(start, (size_t)len) : NULL;

    snprintf(at, AUDIT_AT_TEXT + 1, "%.*s", AUDIT_AT_TEXT, found ? found : "");
    fs_close(&fd);
}

bool audit_file_before(struct audit_text *line, struct audit_file *file)
{
    if (file->at == 0)
        return false;
    size_t end = file->at - 1; /* the newline */
    const char *start = end ? memrchr(file->text.data, '\n', end) : NULL;
    file->at = start ? (size_t)(start + 1 - file->text.data) : 0;
    line->bytes = file->text.data + file->at;
    line->len = end - file->at;
    return true;
}

enum st audit_line_hash(unsigned char hash[DIGEST_BYTES], const char *line, size_t len)
{
    char hex[DIGEST_HEX_SIZE];

    if (len < 2 * DIGEST_BYTES + 2)
        return st_fail(ST_CORRUPT, "AUDIT_DAMAGED", "a line of the audit is cut");
    memcpy(hex, line + len - 2 * DIGEST_BYTES - 2, 2 * DIGEST_BYTES);
    hex[2 * DIGEST_BYTES] = '\0';
    return digest_unhex(hash, DIGEST_BYTES, hex) == ST_OK
               ? ST_OK
               : st_fail(ST_CORRUPT, "AUDIT_DAMAGED", "a line of the audit has no hash");
}

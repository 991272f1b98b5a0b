/* everline export: the records of a version as a file for analysts. The file has its name once it
 * is whole and synced. */
#include "ingest/export.h"

#include "base/fs.h"
#include "base/progress.h"
#include "ingest/job.h"
#include "ingest/noted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES (1u << 20)

static enum st write_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR)
            return st_fail_errno(errno, "writing the export");
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return ST_OK;
}

static enum st export_text(uint64_t *count, struct store_export *e, enum store_export_format format,
                           int fd, const struct ingest_progress *progress)
{
    uint64_t total = store_export_records(e);
    enum st st = ST_OK, more = ST_OK;
    struct buf block;
    buf_init(&block, BLOCK_BYTES + 8 * (size_t)STORE_ROW_MAX); /* JSON escapes */
    while (!st && !more) {
        buf_reset(&block);
        more = store_export_text(&block, count, e, format, BLOCK_BYTES);
        st = more && more != ST_END ? more : write_all(fd, block.data ? block.data : "", block.len);
        if (!st)
            st = job_check_interrupted();
        if (!st)
            ingest_tell(progress, "exporting", *count, total);
    }
    buf_release(&block);
    return st;
}

/* Under a temporary name, then under its own. */
static enum st export_file(uint64_t *count, struct store_export *e, const char *format,
                           const char *path, unsigned threads,
                           const struct ingest_progress *progress)
{
    bool parquet = strcmp(format, "parquet") == 0, ndjson = strcmp(format, "ndjson") == 0;
    char temporary[FS_PATH_MAX], absolute[FS_PATH_MAX], directory[FS_PATH_MAX];
    int fd = -1;
    job_catch_signals(); /* what it has written by then goes */
    enum st st = fs_temporary(temporary, path);
    if (st)
        return st;
    if (temporary[0] == '/')
        st = fs_path(absolute, "%s", temporary);
    else
        st = getcwd(directory, sizeof directory) ? fs_path(absolute, "%s/%s", directory, temporary)
                                                 : st_fail_errno(errno, "the working directory");
    if (!st) { /* its owner's alone: it may be of a protected dataset */
        fd = open(temporary, O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
            st = st_fail_errno(errno, "%s", path);
    }
    if (!st && parquet)
        st = export_parquet(count, e, absolute, threads, progress);
    else if (!st)
        st = export_text(count, e, ndjson ? STORE_EXPORT_NDJSON : STORE_EXPORT_CSV, fd, progress);
    if (!st)
        st = fs_sync_fd(fd, "the export");
    fs_close(&fd);
    if (!st)
        return fs_name_over(temporary, path);
    unlink(temporary);
    return st;
}

static enum st go_on(void *ctx)
{
    ingest_tell(ctx, "verifying", 0, 0);
    return ST_OK;
}

static enum st find(struct store_export **e, const struct cmd_args *args)
{
    struct store_options options = {.data_dir = cmd_string(args, "data"),
                                    .keys_dir = cmd_string(args, "keys")};
    struct store *s = NULL;
    enum st st = store_open(&s, &options);
    if (!st)
        st = store_export_begin(e, s, cmd_string(args, "tenant"), cmd_operand(args, 0),
                                cmd_uint(args, "version"), 0);
    store_close(s);
    return st;
}

static enum st check_format(const char *format, const char *path)
{
    static const char *const formats[] = {"csv", "ndjson", "parquet"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i], format) == 0)
            return i == 2 && strcmp(path, "-") == 0
                       ? st_fail(ST_USAGE, NULL, "Parquet needs --output FILE")
                       : ST_OK;
    return st_fail(ST_USAGE, NULL, "--format: csv, ndjson or parquet is expected");
}

static enum st write_out(uint64_t *count, struct store_export *e, const struct cmd_args *args,
                         const struct ingest_progress *progress)
{
    const char *format = cmd_string(args, "format"), *path = cmd_string(args, "output");
    enum st st = store_export_open(e, go_on, (void *)(uintptr_t)progress);
    if (!st && strcmp(path, "-") == 0)
        st = export_text(count, e, strcmp(format, "csv") ? STORE_EXPORT_NDJSON : STORE_EXPORT_CSV,
                         STDOUT_FILENO, progress);
    else if (!st)
        st = export_file(count, e, format, path, (unsigned)cmd_uint(args, "threads"), progress);
    return st;
}

enum st export_cmd(const struct cmd_args *args)
{
    const char *path = cmd_string(args, "output");
    struct progress_view view;
    const struct ingest_progress progress = {.fn = progress_view_tell, .ctx = &view};
    struct noted noted = {0};
    struct store_export *e = NULL;
    uint64_t count = 0, version = 0;
    enum st st = check_format(cmd_string(args, "format"), path);
    if (!st)
        st = find(&e, args);
    if (!st) {
        version = store_export_version(e);
        st = noted_begin(&noted, "exportVersion", args, version);
    }
    if (!st) {
        progress_view_init(&view, cmd_operand(args, 0));
        st = write_out(&count, e, args, &progress);
        progress_view_end(&view);
        st = noted_end(&noted, st, version);
    }
    if (!st)
        fprintf(stderr, "%s version %llu: %llu records%s%s\n", cmd_operand(args, 0),
                (unsigned long long)version, (unsigned long long)count,
                strcmp(path, "-") ? " in " : "", strcmp(path, "-") ? path : "");
    store_export_free(e);
    return st;
}

enum st spool_cmd(const struct cmd_args *args)
{
    const struct ingest_progress silent = {0};
    struct store_export *e = NULL;
    uint64_t count = 0;
    enum st st = check_format(cmd_string(args, "format"), cmd_string(args, "output"));
    if (!st)
        st = find(&e, args);
    if (!st)
        st = write_out(&count, e, args, &silent);
    store_export_free(e);
    return st;
}

#include "api/commands.h"
#include "api/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* everline export --url: what the server sends, as it comes. (On this machine it is the worker's
 * command.) */

static enum st make_path(char path[REMOTE_PATH_MAX], const struct cmd_args *args)
{
    unsigned long long version = cmd_uint(args, "version");
    char number[24];
    enum st st = remote_path(path, "/v1/datasets/{}/export", cmd_operand(args, 0));

    snprintf(number, sizeof number, "%llu", version);
    return st ? st
              : remote_query(
                    path, (const struct remote_parameter[]){{"format", cmd_string(args, "format")},
                                                            {"version", version ? number : NULL},
                                                            {0}});
}

/* Under a temporary name, until it is whole and synced; its owner's alone: it may be of a protected
 * dataset. */
static enum st write_file(struct remote_call *call, const struct cmd_args *args, const char *path)
{
    char temporary[FS_PATH_MAX];
    json_t *none;
    enum st st = fs_temporary(temporary, path);

    if (st)
        return st;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    call->to = fd < 0 ? NULL : fdopen(fd, "w");
    if (!call->to) {
        st = st_fail_errno(errno, "%s", path);
        if (fd >= 0)
            unlink(temporary);
        fs_close(&fd);
        return st;
    }
    st = remote_call(&none, call, args);
    if (!st && fflush(call->to) != 0)
        st = st_fail_errno(errno, "writing %s", path);
    if (!st)
        st = fs_sync_fd(fileno(call->to), "the export");
    fclose(call->to);
    if (!st)
        return fs_name_over(temporary, path);
    unlink(temporary);
    return st;
}

enum st export_cmd(const struct cmd_args *args)
{
    const char *to = cmd_string(args, "output");
    bool to_file = strcmp(to, "-") != 0;
    char path[REMOTE_PATH_MAX];
    struct remote_call call = {.path = path, .to = stdout};
    json_t *none;
    enum st st = make_path(path, args);

    if (!st && !to_file && strcmp(cmd_string(args, "format"), "parquet") == 0)
        st = st_fail(ST_USAGE, NULL, "Parquet needs --output FILE");
    if (!st)
        st = to_file ? write_file(&call, args, to) : remote_call(&none, &call, args);
    if (!st && to_file)
        fprintf(stderr, "%s: %llu bytes in %s\n", cmd_operand(args, 0),
                (unsigned long long)call.received, to);
    return st;
}

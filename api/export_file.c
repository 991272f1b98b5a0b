#include "api/export_file.h"

#include "api/commands.h"
#include "api/helper.h"
#include "api/internal.h"
#include "api/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define ARGUMENTS_MAX 16

static enum st write_file(const char *path, struct api_request *request,
                          const struct store_export *e)
{
    const struct store_options *store = &request->server->options.store;
    char program[FS_PATH_MAX], version[24];
    const char *argv[ARGUMENTS_MAX] = {program, "export", store_export_definition(e)->name};
    size_t n = 3;
    int status = 0;
    enum st st = commands_sibling(program, "everline-ingest");
    const char *const options[][2] = {{"--data", store->data_dir},
                                      {"--keys", store->keys_dir},
                                      {"--tenant", request->identity->tenant},
                                      {"--version", version},
                                      {"--format", "parquet"},
                                      {"--output", path}};

    if (st)
        return st;
    snprintf(version, sizeof version, "%llu", (unsigned long long)store_export_version(e));
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (options[i][1]) {
            argv[n++] = options[i][0];
            argv[n++] = options[i][1];
        }
    argv[n++] = "--quiet";
    pid_t pid = api_spawn(program, (char *const *)(uintptr_t)argv, -1, -1);
    if (pid < 0)
        return st_fail_errno(errno, "starting an export");
    setpriority(PRIO_PROCESS, (id_t)pid, 10); /* lookups go first */
    st = api_spawn_wait(&status, pid, api_go_on, request);
    return st || (WIFEXITED(status) && WEXITSTATUS(status) == 0)
               ? st
               : st_fail(ST_UNREACHABLE, "EXPORT_FAILED", "the export could not be written");
}

enum st api_export_file(int *fd, struct api_request *request, const struct store_export *e)
{
    const struct api_server *server = request->server;
    struct store_incoming spooled;
    enum st st = store_incoming_open(&spooled, server->options.store.data_dir, server->run_name,
                                     "export.parquet");

    *fd = -1;
    if (!st)
        st = write_file(spooled.path, request, e);
    if (!st) {
        *fd = open(spooled.path, O_RDONLY | O_CLOEXEC);
        if (*fd < 0)
            st = st_fail_errno(errno, "opening an export");
    }
    store_incoming_release(&spooled);
    return st;
}

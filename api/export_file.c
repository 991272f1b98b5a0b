#include "api/export_file.h"

#include "api/helper.h"
#include "api/internal.h"
#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define ARGUMENTS_MAX 16

/* Who writes the file looks for the version itself, and it may have been removed since it was found
 * here. */
struct question {
    const struct api_request *request;
    const struct store_export *e;
    struct st_report answer;
};

static void look_again(struct store *s, struct store_wait *wait, void *ctx)
{
    struct question *q = ctx;
    struct store_export *again = NULL;

    (void)wait;
    st_save(&q->answer,
            store_export_begin(&again, s, q->request->identity->tenant,
                               store_export_definition(q->e)->name, store_export_version(q->e), 0));
    store_export_free(again);
}

static enum st explain(const struct api_request *request, const struct store_export *e)
{
    struct question q = {.request = request, .e = e};

    if (store_keeper_call(request->server->keeper, look_again, &q) == ST_OK &&
        (q.answer.status == ST_NOT_FOUND || q.answer.status == ST_GONE))
        return api_hide_name(st_restore(&q.answer));
    return st_fail(ST_UNREACHABLE, "EXPORT_FAILED", "the export could not be written");
}

static enum st write_file(const char *path, struct api_request *request,
                          const struct store_export *e)
{
    const struct store_options *store = &request->server->options.store;
    char program[FS_PATH_MAX], version[24];
    const char *argv[ARGUMENTS_MAX] = {program, "spool", store_export_definition(e)->name};
    size_t n = 3;
    int status = 0;
    enum st st = program_sibling(program, "everline-ingest");
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
    pid_t pid = program_start(program, (char *const *)(uintptr_t)argv, -1, -1);
    if (pid < 0)
        return st_fail_errno(errno, "starting an export");
    setpriority(PRIO_PROCESS, (id_t)pid, 10); /* lookups go first */
    st = program_wait(&status, pid, api_go_on, request);
    return st || (WIFEXITED(status) && WEXITSTATUS(status) == 0) ? st : explain(request, e);
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

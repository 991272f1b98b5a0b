#include "api/check.h"

#include "base/clock.h"
#include "base/program.h"
#include "base/report.h"
#include "store/definition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The definition goes to the child, and what is wrong with it comes back, in files that have no
 * name: neither side waits for the other while it writes. */

#define CHECK_MAX_MS 30000
#define ANSWER_MAX 65536

struct check {
    uint64_t end_ms;
    enum st (*go_on_fn)(void *ctx);
    void *ctx;
};

static enum st go_on(void *ctx)
{
    const struct check *c = ctx;

    if (clock_steady_ns() / 1000000u >= c->end_ms)
        return st_hint(st_fail(ST_TIMEOUT, "CHECK_TIMEOUT",
                               "the definition's SQL could not be checked within %d seconds",
                               CHECK_MAX_MS / 1000),
                       "is something in it that is computed before there are rows?");
    return c->go_on_fn ? c->go_on_fn(c->ctx) : ST_OK;
}

static enum st write_document(int *fd, const json_t *document)
{
    struct buf text;

    buf_init(&text, 8u * STORE_DEFINITION_MAX); /* escapes */
    jx_write(&text, document, false);
    enum st st = buf_status(&text);
    *fd = memfd_create("definition", MFD_CLOEXEC);
    if (!st && (*fd < 0 || write(*fd, text.data, text.len) != (ssize_t)text.len))
        st = st_fail_errno(errno, "handing over a definition");
    buf_release(&text);
    return st;
}

/* {"ok"} or {"error"}; no whole one: it died. */
static enum st read_answer(int fd)
{
    char text[ANSWER_MAX];
    ssize_t n = pread(fd, text, sizeof text, 0);
    enum st said;

    if (n >= 0 && report_hear(&said, text, (size_t)n))
        return said;
    return st_hint(st_fail(ST_UNREACHABLE, "CHECK_DIED",
                           "the check of the definition ended without an answer"),
                   "everline-ingest check FILE says more");
}

enum st api_check_sql(const json_t *document, enum st (*go_on_fn)(void *ctx), void *ctx)
{
    struct check c = {
        .end_ms = clock_steady_ns() / 1000000u + CHECK_MAX_MS, .go_on_fn = go_on_fn, .ctx = ctx};
    char program[FS_PATH_MAX];
    const char *argv[] = {program, "verdict", "-", NULL};
    int in = -1, out = memfd_create("answer", MFD_CLOEXEC), status = 0;
    enum st st = program_sibling(program, "everline-ingest");

    if (!st && out < 0)
        st = st_fail_errno(errno, "making room for what the check of a definition says");
    if (!st)
        st = write_document(&in, document);
    if (!st) {
        pid_t pid = program_start(program, (char *const *)(uintptr_t)argv, in, out);
        if (pid < 0) {
            st = st_fail_errno(errno, "starting the check of a definition");
        } else {
            setpriority(PRIO_PROCESS, (id_t)pid, 10); /* lookups go first */
            st = program_wait(&status, pid, go_on, &c);
        }
    }
    if (!st && WIFEXITED(status) && WEXITSTATUS(status) == 127)
        st = st_fail(ST_UNREACHABLE, "CHECK_DIED", "%s cannot be started", program);
    else if (!st)
        st = read_answer(out);
    fs_close(&in);
    fs_close(&out);
    return st;
}

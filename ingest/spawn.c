#include "ingest/spawn.h"

#include "base/clock.h"
#include "base/report.h"
#include "ingest/confine.h"
#include "ingest/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 50
#define END_MS 10000ull /* for the child to end once it has closed its pipe */
#define END_POLL_MS 5

struct spawn {
    pid_t pid;
    int task_fd, reply_fd;
    struct buf line;
    json_t *last; /* {"result"} or {"error"} */
    json_t *report;
    const struct ingest_progress *progress;
};

/* Phases are static strings on this side too: whatever a child says is only looked up. */
static const char *phase_named(const char *name)
{
    static const char *const phases[] = {"reading", "preparing", "checking", "sorting", "building"};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (!strcmp(phases[i], name))
            return phases[i];
    return "working";
}

static enum st start(struct spawn *s, enum child_mode mode)
{
    int task[2] = {-1, -1}, reply[2] = {-1, -1};
    char *const argv[] = {(char *)(uintptr_t) "everline-ingest",
                          (char *)(uintptr_t)child_mode_word(mode), NULL};
    char *const envp[] = {(char *)(uintptr_t) "LC_ALL=C.UTF-8", (char *)(uintptr_t) "TZ=UTC",
#ifdef __SANITIZE_ADDRESS__
                          (char *)(uintptr_t) "ASAN_OPTIONS=detect_leaks=0",
#endif
                          NULL};
    int parent = getpid();
    if (pipe2(task, O_CLOEXEC) || pipe2(reply, O_CLOEXEC)) {
        enum st st = st_fail_errno(errno, "cannot make a pipe");
        fs_close(&task[0]);
        fs_close(&task[1]);
        return st;
    }
    s->pid = fork();
    if (s->pid == 0) {
        confine_before_exec(parent, mode == CHILD_BUILD);
        if (dup2(task[0], STDIN_FILENO) < 0 || dup2(reply[1], STDOUT_FILENO) < 0 ||
            close_range(3, ~0u, 0))
            _exit(127);
        execve("/proc/self/exe", argv, envp);
        _exit(127);
    }
    int error = errno;
    fs_close(&task[0]);
    fs_close(&reply[1]);
    s->task_fd = task[1];
    s->reply_fd = reply[0];
    if (s->pid < 0)
        return st_fail_errno(error, "cannot start the child");
    return ST_OK;
}

static enum st take_line(struct spawn *s, const char *line, size_t len)
{
    json_t *message = NULL;
    enum st st = jx_parse_object(&message, line, len);
    if (st)
        return st_fail(ST_UNAVAILABLE, "CHILD_DIED",
                       "the ingest's child said something that is not "
                       "a message");
    json_t *progress = json_object_get(message, "progress");
    if (progress) {
        const char *phase = json_string_value(json_object_get(progress, "phase"));
        ingest_tell(s->progress, phase_named(phase ? phase : ""),
                    (uint64_t)json_integer_value(json_object_get(progress, "rows")),
                    (uint64_t)json_integer_value(json_object_get(progress, "total")));
        json_decref(message);
        return ST_OK;
    }
    json_t *report = json_object_get(message, "report");
    if (report) {
        json_decref(s->report);
        s->report = json_incref(report);
        json_decref(message);
        return ST_OK;
    }
    json_decref(s->last);
    s->last = message;
    return ST_OK;
}

/* ST_END at the end of the pipe. */
static enum st listen_once(struct spawn *s)
{
    struct pollfd poll_fd = {.fd = s->reply_fd, .events = POLLIN};
    int ready = poll(&poll_fd, 1, TICK_MS);
    if (ready < 0 && errno != EINTR)
        return st_fail_errno(errno, "cannot wait for the child");
    if (ready <= 0)
        return ST_OK;
    char *room = buf_reserve(&s->line, 65536);
    if (!room)
        return st_fail(ST_UNAVAILABLE, "CHILD_DIED", "the ingest's child said too much");
    ssize_t n = read(s->reply_fd, room, 65536);
    if (n < 0)
        return errno == EINTR ? ST_OK : st_fail_errno(errno, "cannot hear the child");
    if (n == 0)
        return ST_END;
    s->line.len += (size_t)n;
    size_t from = 0;
    for (size_t i = s->line.len - (size_t)n; i < s->line.len; i++)
        if (s->line.data[i] == '\n') {
            enum st st = take_line(s, s->line.data + from, i - from);
            if (st)
                return st;
            from = i + 1;
        }
    memmove(s->line.data, s->line.data + from, s->line.len - from);
    s->line.len -= from;
    return ST_OK;
}

/* It has said all it had to say, and has nothing to do but to end. */
static enum st wait_for_end(struct spawn *s, int *status, spawn_tick_fn tick_fn, void *ctx)
{
    uint64_t start_ns = clock_steady_ns();
    for (;;) {
        pid_t ended = waitpid(s->pid, status, WNOHANG);
        if (ended == s->pid) {
            s->pid = -1;
            return ST_OK;
        }
        if (ended < 0 && errno != EINTR)
            return st_fail_errno(errno, "cannot wait for the child");
        if (clock_steady_ns() - start_ns > END_MS * 1000000u)
            return st_fail(ST_UNAVAILABLE, "CHILD_DIED", "the ingest's child does not end");
        enum st st = tick_fn ? tick_fn(ctx) : ST_OK;
        if (st)
            return st;
        poll(NULL, 0, END_POLL_MS);
    }
}

static enum st died(int status)
{
    if (WIFSIGNALED(status))
        return st_hint(st_fail(ST_UNAVAILABLE, "CHILD_DIED",
                               "the ingest's child was killed by signal %d (%s)", WTERMSIG(status),
                               strsignal(WTERMSIG(status))),
                       WTERMSIG(status) == SIGKILL
                           ? "the system may be out of memory: lower --memory, or free some"
                           : "a source that shrinks while it is read does that; so does a defect");
    return st_fail(ST_UNAVAILABLE, "CHILD_DIED", "the ingest's child ended (%d) without an answer",
                   WEXITSTATUS(status));
}

static enum st answer(const struct spawn *s, int status)
{
    json_t *error = json_object_get(s->last, "error");
    json_t *result = json_object_get(s->last, "result");
    if (error) {
        struct st_report r;
        report_from_json(&r, error);
        return st_restore(&r);
    }
    if (!result || !WIFEXITED(status) || WEXITSTATUS(status))
        return died(status);
    return ST_OK;
}

enum st spawn_run(json_t **report, enum child_mode mode, const struct task *t,
                  const struct ingest_progress *progress, spawn_tick_fn tick_fn, void *ctx)
{
    struct spawn s = {.pid = -1, .task_fd = -1, .reply_fd = -1, .progress = progress};
    struct limits limits = {
        .memory_bytes = t->memory_bytes, .disk_bytes = t->disk_bytes, .directory = t->directory};
    int status = 0;
    buf_init(&s.line, CHILD_LINE_MAX);
    enum st st = start(&s, mode);
    /* The child reads all of it before it says anything, so that this cannot block for long. */
    if (!st)
        st = task_send(s.task_fd, t);
    fs_close(&s.task_fd);
    while (!st) {
        st = tick_fn ? tick_fn(ctx) : ST_OK;
        if (!st)
            st = limits_check(&limits, s.pid);
        if (!st)
            st = listen_once(&s);
    }
    if (st == ST_END)
        st = wait_for_end(&s, &status, tick_fn, ctx);
    if (s.pid > 0) {
        kill(s.pid, SIGKILL);
        while (waitpid(s.pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    if (!st)
        st = answer(&s, status);
    if (report)
        *report = s.report;
    else
        json_decref(s.report);
    fs_close(&s.reply_fd);
    buf_release(&s.line);
    json_decref(s.last);
    return st;
}

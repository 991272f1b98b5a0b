#include "ingest/child.h"

#include "base/clock.h"
#include "base/report.h"
#include "ingest/build.h"
#include "ingest/confine.h"
#include "ingest/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_NS 200000000u

static const char *const words[] = {
    [CHILD_CHECK] = "child-check",
    [CHILD_BIND] = "child-bind",
    [CHILD_BUILD] = "child-build",
};

const char *child_mode_word(enum child_mode mode)
{
    return words[mode];
}

struct voice {
    int fd;
    uint64_t last_ns;
    const char *last_phase;
};

/* One line. When nobody listens any more there is nobody to work for. */
static void say(const struct voice *v, json_t *message)
{
    struct buf line;
    buf_init(&line, CHILD_LINE_MAX);
    jx_write(&line, message, false);
    buf_addch(&line, '\n');
    json_decref(message);
    if (buf_status(&line))
        _exit(1);
    for (size_t done = 0; done < line.len;) {
        ssize_t n = write(v->fd, line.data + done, line.len - done);
        if (n < 0 && errno != EINTR)
            _exit(1);
        done += n > 0 ? (size_t)n : 0;
    }
    buf_release(&line);
}

static void tell(const char *phase, uint64_t rows, uint64_t total, void *ctx)
{
    struct voice *v = ctx;
    uint64_t now = clock_steady_ns();
    if (phase == v->last_phase && now - v->last_ns < PROGRESS_NS)
        return;
    v->last_phase = phase;
    v->last_ns = now;
    say(v, json_pack("{s:{s:s, s:I, s:I}}", "progress", "phase", phase, "rows", (json_int_t)rows,
                     "total", (json_int_t)total));
}

static void say_error(const struct voice *v, enum st status)
{
    struct st_report r;
    st_save(&r, status);
    say(v, json_pack("{s:o}", "error", report_to_json(&r)));
}

static enum st work(json_t **report, enum child_mode mode, const struct task *t, struct voice *v)
{
    struct ingest_extent extent = {0};
    struct ingest_progress progress = {.fn = tell, .ctx = v, .extent = &extent};
    switch (mode) {
    case CHILD_CHECK:
        return build_check(t);
    case CHILD_BIND:
        return build_bind(t);
    case CHILD_BUILD:
        turns_offer(t->threads);
        return build_run(report, t, &progress);
    }
    return ST_INVALID;
}

/* The pipe moves away from stdout, and both standard streams to where nothing can be read: a
 * library that prints would print values. */
static void silence(struct voice *v)
{
    v->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (v->fd < 0 || nowhere < 0)
        _exit(1);
    dup2(nowhere, STDOUT_FILENO);
#ifndef __SANITIZE_ADDRESS__
    dup2(nowhere, STDERR_FILENO);
#endif
    close(nowhere);
}

bool child_main(int argc, char **argv, int *exit_code)
{
    size_t mode = 0, count = sizeof words / sizeof *words;
    while (argc == 2 && mode < count && strcmp(argv[1], words[mode]) != 0)
        mode++;
    if (argc != 2 || mode == count)
        return false;
    struct voice v = {0};
    struct task t = {0};
    json_t *report = NULL;
    confine_early();
    silence(&v);
    enum st st = task_receive(&t, STDIN_FILENO);
    if (!st) {
        confine_files(&t);
        st = work(&report, (enum child_mode)mode, &t, &v);
    }
    struct st_report failure;
    st_save(&failure, st);
    if (report)
        say(&v, json_pack("{s:o}", "report", report));
    if (st)
        say_error(&v, st_restore(&failure));
    else
        say(&v, json_pack("{s:{}}", "result"));
    task_release(&t);
    *exit_code = st_exit_code(st);
    return true;
}

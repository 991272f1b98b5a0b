#include "ingest/noted.h"

#include "base/program.h"
#include "base/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ANSWER_MAX 8192 /* bytes of a report */
#define ARGUMENTS_MAX 16

static enum st start(struct noted *a, const char *event, const struct cmd_args *args,
                     uint64_t version)
{
    char program[FS_PATH_MAX], number[24];
    const char *argv[ARGUMENTS_MAX] = {program, "audit", "act", event};
    size_t n = 4;
    int pair[2];
    const char *const options[][2] = {{"--data", cmd_string(args, "data")},
                                      {"--keys", cmd_string(args, "keys")},
                                      {"--tenant", cmd_string(args, "tenant")},
                                      {"--dataset", cmd_operand(args, 0)},
                                      {"--version", number}};
    enum st st = program_sibling(program, "everline");

    if (st)
        return st;
    snprintf(number, sizeof number, "%llu", (unsigned long long)version);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (options[i][1]) {
            argv[n++] = options[i][0];
            argv[n++] = options[i][1];
        }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return st_fail_errno(errno, "reaching the audit");
    a->pid = program_start(program, (char *const *)(uintptr_t)argv, pair[1], pair[1]);
    int error = errno;
    fs_close(&pair[1]);
    a->fd = pair[0];
    return a->pid < 0 ? st_fail_errno(error, "starting %s", program) : ST_OK;
}

static enum st hear(int fd)
{
    char text[ANSWER_MAX];
    size_t len = 0;
    ssize_t n;
    enum st said;

    while (len < sizeof text && (len == 0 || text[len - 1] != '\n')) {
        n = recv(fd, text + len, sizeof text - len, 0);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    if (report_hear(&said, text, len))
        return said;
    return st_hint(st_fail(ST_UNREACHABLE, "AUDIT_UNAVAILABLE",
                           "the audit cannot be written, and nothing was done"),
                   "it is written by the program everline beside this one: is it there?");
}

static void finish(struct noted *a)
{
    fs_close(&a->fd);
    while (a->pid > 0 && waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    a->pid = 0;
}

enum st noted_begin(struct noted *a, const char *event, const struct cmd_args *args,
                    uint64_t version)
{
    *a = (struct noted){.fd = -1};
    enum st st = start(a, event, args, version);

    if (!st)
        st = hear(a->fd);
    if (st)
        finish(a);
    return st;
}

enum st noted_end(struct noted *a, enum st st, uint64_t version)
{
    char text[64];

    if (a->pid <= 0)
        return st;
    const char *outcome = st == ST_UNKNOWN_OUTCOME       ? "unknown"
                          : st == ST_OK || st == ST_HELD ? "done"
                                                         : "refused";
    int len = snprintf(text, sizeof text, "%s %llu\n", outcome, (unsigned long long)version);
    if (send(a->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        fprintf(stderr, "%s: the audit has this as begun, its end cannot be noted\n",
                program_invocation_short_name);
    finish(a);
    return st;
}

/* `everline audit act EVENT`, for everline-ingest, which has no audit of its own. It says
 * {"ok":true} once "begun" is on the disk; its standard input then says what came of the act, "done
 * VERSION" or "refused 0", and ends without a word when whoever did it was killed: "unknown". */
#include "api/act.h"

#include "api/commands.h"
#include "base/report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The act's status, as far as its outcome is a matter of it. */
static enum st hear(uint64_t *version)
{
    char text[64] = "", outcome[16] = "";
    unsigned long long number = 0;
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < sizeof text - 1) {
        n = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    if (sscanf(text, "%15s %llu", outcome, &number) != 2 || !strchr(text, '\n'))
        return st_fail(ST_UNKNOWN_OUTCOME, NULL, "nobody knows what came of it");
    *version = number;
    if (strcmp(outcome, "done") == 0)
        return ST_OK;
    return st_fail(strcmp(outcome, "refused") == 0 ? ST_CONFLICT : ST_UNKNOWN_OUTCOME, NULL, "%s",
                   outcome);
}

enum st act_cmd(const struct cmd_args *args)
{
    struct audit_record record = {.event = cmd_operand(args, 0),
                                  .dataset = cmd_string(args, "dataset"),
                                  .version = cmd_uint(args, "version")};
    struct act act = {.lock = -1};
    struct store *s = NULL;

    signal(SIGTERM, SIG_IGN); /* which is to end who began it */
    signal(SIGPIPE, SIG_IGN);
    enum st st = commands_open(&s, args, false);
    if (!st)
        st = act_begin(&act, s, cmd_string(args, "tenant"), &record);
    if (report_say(st) || st)
        (void)!act_end(&act, st);
    else
        (void)!act_end(&act, hear(&record.version));
    store_close(s);
    return ST_OK;
}

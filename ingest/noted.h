/* What this program does for somebody at a command line is in the audit, which `everline` writes:
 * two lines, one before the act, one after it. Room-private. */
#ifndef EVERLINE_INGEST_NOTED_H
#define EVERLINE_INGEST_NOTED_H

#include "base/cmd.h"

#include <sys/types.h>

struct noted {
    pid_t pid; /* of `everline audit act`; 0: there is none */
    int fd;    /* both ways */
};

/* `event`: the contract's operation. The arguments have data, keys and tenant; the dataset is their
 * first operand. version 0: not known yet. When it fails nothing is to be done. */
enum st noted_begin(struct noted *a, const char *event, const struct cmd_args *args,
                    uint64_t version) ST_MUST_USE;
/* `st` is the act's, and returned. Does nothing to an act that has not begun. */
enum st noted_end(struct noted *a, enum st st, uint64_t version) ST_MUST_USE;

#endif

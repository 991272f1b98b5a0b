/* Shared by the files of base/cmd. */
#ifndef EVERLINE_BASE_CMD_INTERNAL_H
#define EVERLINE_BASE_CMD_INTERNAL_H

#include "base/cmd.h"

#define CMD_OPTIONS_MAX 32
#define CMD_OPERANDS_MAX 64
#define CMD_LIST_MAX 256

struct cmd_args {
    const struct cmd *cmd;
    const char *operands[CMD_OPERANDS_MAX];
    unsigned operand_count;
    struct {
        const char *text; /* last value; NULL: absent */
        uint64_t number;  /* parsed: UINT, DURATION (ms), BYTES; FLAG: 1 */
    } values[CMD_OPTIONS_MAX];
    struct { /* of CMD_LIST options, in order */
        const struct cmd_option *option;
        const char *text;
    } items[CMD_LIST_MAX];
    unsigned item_count;
};

enum st cmd_parse(struct cmd_args *out, const struct cmd *cmd, int argc, char **argv) ST_MUST_USE;

/* "EVERLINE_DRAIN_TIMEOUT" of "drain-timeout". */
void cmd_variable(char out[64], const char *option);

#endif

#include "api/cmd_util.h"

#include "store/segment.h"

static enum st run(const struct cmd_args *args)
{
    (void)args;
    printf("everline %s (data format %d, segment format %d)\n", EVERLINE_VERSION, STORE_DATA_FORMAT,
           STORE_SEGMENT_FORMAT);
    return ST_OK;
}

const struct cmd api_version_cmd = {
    .name = "version",
    .operands = "",
    .summary = "Print the version of this program and of its formats",
    .example = "everline version",
    .options = (const struct cmd_option[]){CMD_END},
    .run = run,
};

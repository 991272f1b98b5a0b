#include "api/cmd_util.h"

#include "api/server.h"

#define BODY_MAX (256u << 20)

static enum st run(const struct cmd_args *args)
{
    const struct store_options options = {.data_dir = cmd_string(args, "data"),
                                          .keys_dir = cmd_string(args, "keys")};
    struct buf body;
    unsigned status = 0;
    const char *target = cmd_operand(args, 0);
    enum st st = *target == '/' ? ST_OK : st_fail(ST_USAGE, NULL, "a route begins with /");

    buf_init(&body, BODY_MAX);
    if (!st)
        st = api_get(&body, &status, &options, cmd_string(args, "tenant"), target);
    if (!st && body.len) {
        fwrite(body.data, 1, body.len, stdout);
        if (body.data[body.len - 1] != '\n')
            putchar('\n');
    }
    if (!st && status / 100 != 2)
        st = st_fail(ST_INVALID, NULL, "the answer has status %u", status);
    buf_release(&body);
    return st;
}

const struct cmd api_get_cmd = {
    .name = "get",
    .operands = "ROUTE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "GET a route without a server and without a token",
    .about = "Prints the body. The exit code is 1 unless the status is 2xx.",
    .example = "everline get /v1/datasets --data data --tenant dev",
    .options = (const struct cmd_option[]){CMD_DATA, CMD_TENANT, CMD_KEYS, CMD_END},
    .run = run,
};

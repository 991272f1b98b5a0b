#include "api/commands.h"

#include <stdio.h>

enum st config_check_cmd(const struct cmd_args *args)
{
    const char *file = cmd_operand(args, 0) ? cmd_operand(args, 0) : cmd_config_file(args);
    struct cmd_args *serve = NULL;
    enum st st = cmd_config_check(args);

    if (!st)
        st = cmd_by_file(&serve, args, file, "serve");
    if (!st)
        st = serve_check(serve);
    cmd_free(serve);
    if (!st)
        printf("%s is right\n", file);
    return st;
}

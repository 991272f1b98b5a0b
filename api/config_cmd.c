#include "api/commands.h"
#include "base/program.h"

#include <stdio.h>

/* Two programs read one configuration file, each with its own table of options. */

/* `everline-ingest config VERB [OPERAND]`, after what this program has printed. */
static enum st ask_worker(const char *verb, const char *operand)
{
    char path[FS_PATH_MAX];
    char *argv[] = {path, (char[]){"config"}, (char *)verb, (char *)operand, NULL};
    int exit_code = 0;
    enum st st = program_sibling(path, "everline-ingest");

    fflush(stdout);
    if (!st)
        st = commands_run(&exit_code, path, argv);
    if (!st && exit_code)
        st = st_fail(ST_USAGE, NULL, "everline-ingest refuses it too");
    return st;
}

enum st config_example_cmd(const struct cmd_args *args)
{
    enum st st = cmd_config_example(args);

    return st ? st : ask_worker("example", NULL);
}

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
        st = ask_worker("check", file);
    if (!st)
        printf("%s is right\n", file);
    return st;
}

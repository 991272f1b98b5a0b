#include "base/cmd_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `everline config ...`: the option tables, as a configuration file. */

const struct cmd_option *cmd_find_option(const struct cmd *c, const char *name)
{
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

bool cmd_is_shared(const struct cmd_program *program, const char *name)
{
    for (const char *const *shared = program->shared; shared && *shared; shared++)
        if (strcmp(*shared, name) == 0)
            return true;
    return false;
}

static const struct cmd_option *shared_option(const struct cmd_program *p, const char *name)
{
    const struct cmd_option *found = NULL;

    for (const struct cmd *c = p->commands; !found && c->name; c++)
        found = cmd_find_option(c, name);
    return found;
}

/* May it stand in the section of a command? */
static bool is_own(const struct cmd_program *p, const struct cmd_option *o)
{
    return !(o->type & (CMD_ONCE | CMD_SECRET)) && !cmd_is_shared(p, o->name);
}

/* Commands that are in no list are for programs, which say all there is to say. */
static bool has_options(const struct cmd_program *p, const struct cmd *c)
{
    if (!c->summary)
        return false;
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (is_own(p, o))
            return true;
    return false;
}

static void print_example(const struct cmd_option *o)
{
    printf("# %s%s%s\n", o->help, o->metavar ? ": " : "", o->metavar ? o->metavar : "");
    printf("#%s = %s\n", o->name,
           o->preset                    ? o->preset
           : cmd_type_of(o) == CMD_FLAG ? "false"
                                        : "");
}

enum st cmd_config_example(const struct cmd_args *args)
{
    const struct cmd_program *p = args->program;

    if (!p->partial) {
        printf(
            "# Configuration of %s. A flag, or else an EVERLINE_* variable, goes before what is\n"
            "# here. What stands before the first section is for every command that has it.\n",
            p->name);
        for (const char *const *shared = p->shared; *shared; shared++)
            print_example(shared_option(p, *shared));
    }
    for (const struct cmd *c = p->commands; c->name; c++) {
        if (!has_options(p, c))
            continue;
        printf("\n[%s]\n", c->name);
        for (const struct cmd_option *o = c->options; o->name; o++)
            if (is_own(p, o))
                print_example(o);
    }
    return ST_OK;
}

enum st cmd_config_check(const struct cmd_args *args)
{
    const char *path = cmd_operand(args, 0);
    struct cmd_file file;

    if (!path) /* read before this command was run */
        return args->file.path ? ST_OK
                               : st_fail(ST_USAGE, NULL,
                                         "no file is named, neither here nor by "
                                         "--config or EVERLINE_CONFIG");
    enum st st = cmd_file_read(&file, path, args->program);
    cmd_file_release(&file);
    return st;
}

static void add_row(struct cmd_table *table, const struct cmd_args *args, size_t i,
                    const char *value)
{
    static const char *const ORIGINS[] = {
        [CMD_ABSENT] = "", [CMD_ENVIRONMENT] = "environment", [CMD_PRESET] = "default"};

    cmd_table_cell(table, "%s", args->cmd->name);
    cmd_table_cell(table, "%s", args->cmd->options[i].name);
    cmd_table_cell(table, "%s",
                   args->cmd->options[i].type & CMD_SECRET && *value ? "(not shown)" : value);
    if (args->values[i].origin == CMD_FILE)
        cmd_table_cell(table, "%s:%u", args->file.path, args->values[i].line);
    else
        cmd_table_cell(table, "%s", ORIGINS[args->values[i].origin]);
}

static enum st dump(struct cmd_table *table, const struct cmd_args *args, const struct cmd *c)
{
    struct cmd_args *of = malloc(sizeof *of);
    const char *item;
    enum st st = of ? cmd_without_line(of, args, c) : st_fail(ST_NOMEM, NULL, "out of memory");

    for (size_t i = 0; !st && c->options[i].name; i++) {
        const char *name = c->options[i].name;
        if (cmd_type_of(&c->options[i]) != CMD_LIST || !of->values[i].text)
            add_row(table, of, i, of->values[i].text ? of->values[i].text : "");
        for (unsigned j = 0;
             cmd_type_of(&c->options[i]) == CMD_LIST && (item = cmd_list(of, name, j)); j++)
            add_row(table, of, i, item);
    }
    free(of);
    return st;
}

/* Is it what the operands name? Without any, each is. */
static bool is_named(const struct cmd_args *args, const struct cmd *c)
{
    char name[128];
    const char *first = cmd_operand(args, 0), *second = cmd_operand(args, 1);

    snprintf(name, sizeof name, "%s%s%s", first ? first : "", second ? " " : "",
             second ? second : "");
    return !first || strcmp(name, c->name) == 0;
}

enum st cmd_config_dump(const struct cmd_args *args)
{
    static const char *const HEADINGS[] = {"COMMAND", "OPTION", "VALUE", "FROM", NULL};
    struct cmd_table *table;
    bool found = false;
    enum st st = cmd_table_new(&table, HEADINGS);

    if (st)
        return st;
    for (const struct cmd *c = args->program->commands; !st && c->name; c++) {
        if (!is_named(args, c) || !c->summary || !c->options || !c->options[0].name)
            continue;
        found = true;
        st = dump(table, args, c);
    }
    if (!st && found)
        st = cmd_table_print(table, stdout);
    else if (!st && !args->program->partial)
        st = st_hint(st_fail(ST_USAGE, NULL, "no such command has options"), "see: %s help",
                     args->program->name);
    cmd_table_free(table);
    return st;
}

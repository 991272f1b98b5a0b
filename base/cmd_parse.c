#include "base/cmd_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct unit {
    const char *suffix;
    uint64_t factor;
} DURATIONS[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}},
  SIZES[] = {{"", 1},
             {"KiB", 1ULL << 10},
             {"MiB", 1ULL << 20},
             {"GiB", 1ULL << 30},
             {"TiB", 1ULL << 40},
             {NULL, 0}},
  NUMBERS[] = {{"", 1}, {NULL, 0}};

static const struct {
    const struct unit *units; /* NULL: not a number */
    const char *expected;
} TYPES[] = {
    [CMD_FLAG] = {NULL, NULL},
    [CMD_STRING] = {NULL, NULL},
    [CMD_LIST] = {NULL, NULL},
    [CMD_UINT] = {NUMBERS, "a whole number"},
    [CMD_DURATION] = {DURATIONS, "a duration such as 500ms, 25s, 5m, 1h or 1d"},
    [CMD_BYTES] = {SIZES, "a size in bytes such as 4096, 512MiB or 4GiB"},
};

void cmd_variable(char out[64], const char *option)
{
    size_t i = (size_t)snprintf(out, 64, "EVERLINE_");

    for (; *option && i < 63; option++)
        out[i++] = *option == '-' ? '_' : (char)toupper((unsigned char)*option);
    out[i] = '\0';
}

static bool parse_number(uint64_t *out, const struct unit *units, const char *text)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno)
        return false;
    for (; units->suffix; units++)
        if (strcmp(units->suffix, end) == 0)
            return !__builtin_mul_overflow(value, units->factor, out);
    return false;
}

enum st cmd_value(uint64_t *number, const struct cmd_option *o, const char *text,
                  const char *origin)
{
    static const char *const YES[] = {"1", "true"}, *const NO[] = {"0", "false"};

    *number = 0;
    if (cmd_type_of(o) == CMD_FLAG) {
        for (size_t i = 0; i < 2; i++) {
            if (strcmp(text, YES[i]) == 0)
                *number = 1;
            if (strcmp(text, YES[i]) == 0 || strcmp(text, NO[i]) == 0)
                return ST_OK;
        }
        return st_fail(ST_USAGE, NULL, "%s: true or false expected", origin);
    }
    enum cmd_type type = cmd_type_of(o);
    if (TYPES[type].units && !parse_number(number, TYPES[type].units, text))
        return st_fail(ST_USAGE, NULL, "%s: %s expected", origin, TYPES[type].expected);
    return ST_OK;
}

static enum st set_value(struct cmd_args *args, size_t i, const char *text, enum cmd_origin origin,
                         const char *named)
{
    const struct cmd_option *o = &args->cmd->options[i];

    if (cmd_type_of(o) == CMD_LIST) {
        if (args->item_count == CMD_LIST_MAX)
            return st_fail(ST_USAGE, NULL, "--%s is there more than %d times", o->name,
                           CMD_LIST_MAX);
        args->items[args->item_count].option = o;
        args->items[args->item_count].line = args->values[i].line;
        args->items[args->item_count++].text = text;
    }
    args->values[i].text = text;
    args->values[i].origin = origin;
    return cmd_value(&args->values[i].number, o, text, named);
}

/* What the file says in that section. */
static enum st take_from_file(struct cmd_args *args, size_t i, const char *section)
{
    const struct cmd_file *f = &args->file;
    const char *name = args->cmd->options[i].name;
    enum st st = ST_OK;

    for (size_t at = 0; !st && (at = cmd_file_find(f, section, name, at)) < f->count; at++) {
        args->values[i].line = f->settings[at].line;
        st = set_value(args, i, f->settings[at].value, CMD_FILE, name);
        if (st)
            st = st_place(st, "%s:%u", f->path, f->settings[at].line);
    }
    return st;
}

/* The value of an option that the command line does not give. */
static enum st fill_in(struct cmd_args *args, size_t i)
{
    const struct cmd_option *o = &args->cmd->options[i];
    char variable[64], origin[96];
    enum st st;

    cmd_variable(variable, o->name);
    const char *text = o->type & CMD_ONCE || args->file_only ? NULL : getenv(variable);
    if (text && *text)
        return set_value(args, i, text, CMD_ENVIRONMENT, variable);
    st = o->type & CMD_SECRET ? ST_OK : take_from_file(args, i, args->cmd->name);
    if (!st && !args->values[i].text)
        st = take_from_file(args, i, "");
    if (st || args->values[i].text)
        return st;
    if (!o->preset)
        return ST_OK;
    snprintf(origin, sizeof origin, "default of --%s", o->name);
    return set_value(args, i, o->preset, CMD_PRESET, origin);
}

static enum st fill_all(struct cmd_args *args)
{
    const struct cmd_option *options = args->cmd->options;
    enum st st = ST_OK;

    for (size_t i = 0; !st && options && options[i].name; i++)
        if (!args->values[i].text)
            st = fill_in(args, i);
    return st;
}

static bool names_server(const struct cmd_args *args)
{
    const struct cmd_option *options = args->cmd->options;

    for (size_t i = 0; options && options[i].name; i++)
        if (strcmp(options[i].name, "url") == 0 && args->values[i].text)
            return true;
    return false;
}

/* What --url leaves of the options of this machine, or they of it. */
static enum st choose_place(struct cmd_args *args)
{
    const struct cmd_option *options = args->cmd->options;
    size_t url = 0, here = 0;

    if (!names_server(args))
        return ST_OK;
    while (strcmp(options[url].name, "url") != 0)
        url++;
    while (options[here].name && !(options[here].type & CMD_LOCAL))
        here++;
    if (options[here].name && args->values[here].origin == args->values[url].origin)
        return st_hint(
            st_fail(ST_USAGE, NULL, "--url and --%s are both there", options[here].name),
            "one names a server, the other what is on this machine: give the one that is meant");
    bool local = options[here].name && args->values[here].text &&
                 args->values[here].origin < args->values[url].origin;
    if (local)
        args->values[url].text = NULL;
    else if (args->program && args->program->partial)
        return st_hint(st_fail(ST_USAGE, NULL, "%s works here only", args->program->name),
                       "ask a server by: everline %s --url", args->cmd->name);
    for (size_t i = 0; !local && options[i].name; i++) {
        if (!(options[i].type & CMD_LOCAL))
            continue;
        if (args->values[i].origin == CMD_GIVEN)
            return st_hint(
                st_fail(ST_USAGE, NULL, "--%s is not given beside --url", options[i].name),
                "it is for what this machine does; a server has its own, and the token says "
                "which tenant");
        args->values[i].text = NULL;
    }
    return ST_OK;
}

static enum st check_needed(const struct cmd_args *args)
{
    const struct cmd_option *options = args->cmd->options;
    bool server = names_server(args);
    char variable[64];

    for (size_t i = 0; options && options[i].name; i++) {
        if (!options[i].required || args->values[i].text || (server && options[i].type & CMD_LOCAL))
            continue;
        bool once = options[i].type & CMD_ONCE;
        bool place = options[i].type & CMD_LOCAL && cmd_find_option(args->cmd, "url");
        cmd_variable(variable, options[i].name);
        return st_fail(ST_USAGE, NULL, "--%s %s is needed%s%s%s%s", options[i].name,
                       options[i].metavar ? options[i].metavar : "", once ? "" : " (or ",
                       once ? "" : variable, place ? ", or --url URL" : "", once ? "" : ")");
    }
    return ST_OK;
}

/* --config is no option of a table: it says where options come from. */
static bool parse_config(enum st *st, struct cmd_args *args, char **argv, int argc, int *at)
{
    const char *text = argv[*at] + 2;

    *st = ST_OK;
    if (strncmp(text, "config", 6) != 0 || (text[6] && text[6] != '='))
        return false;
    if (args->config)
        *st = st_fail(ST_USAGE, NULL, "--config is there twice");
    else if (text[6] == '=')
        args->config = text + 7;
    else if (*at + 1 == argc)
        *st = st_fail(ST_USAGE, NULL, "--config needs a value");
    else
        args->config = argv[++*at];
    return true;
}

static enum st is_empty(enum st st)
{
    return st_hint(st, "is a variable of the shell not set?");
}

static enum st unknown_option(const struct cmd *c, const char *text, size_t len)
{
    const char *nearest = NULL;
    size_t best = SIZE_MAX;

    for (const struct cmd_option *o = c->options; o && o->name; o++) {
        size_t slips = o->type & CMD_SECRET ? SIZE_MAX : cmd_distance(text, len, o->name);
        if (slips < best) {
            best = slips;
            nearest = o->name;
        }
    }
    enum st st = st_fail(ST_USAGE, NULL, "unknown option --%.*s", (int)(len < 64 ? len : 64), text);
    return nearest ? st_hint(st, "is --%s meant?", nearest) : st;
}

static enum st parse_option(struct cmd_args *args, char **argv, int argc, int *at)
{
    const char *text = argv[*at] + 2, *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : strlen(text), i = 0;
    const struct cmd_option *options = args->cmd->options;
    char origin[96];
    enum st st;

    if (parse_config(&st, args, argv, argc, at))
        return st;
    while (options && options[i].name &&
           (strncmp(options[i].name, text, len) != 0 || options[i].name[len]))
        i++;
    if ((!options || !options[i].name) && len == 3 && strncmp(text, "url", 3) == 0)
        return st_hint(st_fail(ST_USAGE, NULL, "%s takes no --url", args->cmd->name),
                       "no server does it for another machine: run it where the data is");
    if (!options || !options[i].name)
        return unknown_option(args->cmd, text, len);
    if (options[i].type & CMD_SECRET)
        return st_hint(st_fail(ST_USAGE, NULL, "--%s: everybody on this machine could read it",
                               options[i].name),
                       "give it in a file, or in the environment: see --help");
    if (args->values[i].text && cmd_type_of(&options[i]) != CMD_LIST)
        return st_fail(ST_USAGE, NULL, "--%s is there twice", options[i].name);
    if (cmd_type_of(&options[i]) == CMD_FLAG)
        return equals ? st_fail(ST_USAGE, NULL, "--%s takes no value", options[i].name)
                      : set_value(args, i, "true", CMD_GIVEN, options[i].name);
    if (!equals && *at + 1 == argc)
        return st_fail(ST_USAGE, NULL, "--%s needs a value", options[i].name);
    const char *value = equals ? equals + 1 : argv[++*at];
    if (!*value && options[i].required)
        return is_empty(st_fail(ST_USAGE, NULL, "--%s is empty", options[i].name));
    snprintf(origin, sizeof origin, "--%s", options[i].name);
    return set_value(args, i, value, CMD_GIVEN, origin);
}

static enum st read_file(struct cmd_args *args)
{
    const char *path = args->config ? args->config : getenv("EVERLINE_CONFIG");

    if (!args->program || !path || !*path)
        return ST_OK;
    return cmd_file_read(&args->file, path, args->program);
}

enum st cmd_parse(struct cmd_args *out, const struct cmd_program *program, const struct cmd *cmd,
                  int argc, char **argv)
{
    bool operands_only = false;
    enum st st = ST_OK;

    memset(out, 0, sizeof *out);
    out->program = program;
    out->cmd = cmd;
    out->argc = argc;
    out->argv = argv;
    for (int at = 0; !st && at < argc; at++) {
        if (!operands_only && strcmp(argv[at], "--") == 0)
            operands_only = true;
        else if (!operands_only && strncmp(argv[at], "--", 2) == 0)
            st = parse_option(out, argv, argc, &at);
        else if (!operands_only && argv[at][0] == '-' && argv[at][1])
            st = st_fail(ST_USAGE, NULL, "unknown option %.16s", argv[at]);
        else if (out->operand_count == cmd->operands_max || out->operand_count == CMD_OPERANDS_MAX)
            st = st_fail(ST_USAGE, NULL, "too many operands");
        else if (!*argv[at])
            st = is_empty(st_fail(ST_USAGE, NULL, "%s: operand %u is empty", cmd->operands,
                                  out->operand_count + 1));
        else
            out->operands[out->operand_count++] = argv[at];
    }
    if (!st && out->operand_count < cmd->operands_min)
        st = out->operand_count ? st_fail(ST_USAGE, NULL, "%s: %u of %u are missing", cmd->operands,
                                          cmd->operands_min - out->operand_count, cmd->operands_min)
                                : st_fail(ST_USAGE, NULL, "%s is missing", cmd->operands);
    if (!st)
        st = read_file(out);
    if (!st)
        st = fill_all(out);
    if (!st)
        st = choose_place(out);
    return st ? st : check_needed(out);
}

enum st cmd_without_line(struct cmd_args *out, const struct cmd_args *like, const struct cmd *cmd)
{
    memset(out, 0, sizeof *out);
    out->program = like->program;
    out->cmd = cmd;
    out->file = like->file;
    return fill_all(out);
}

enum st cmd_by_file(struct cmd_args **out, const struct cmd_args *args, const char *path,
                    const char *command)
{
    struct cmd_args *of = *out = calloc(1, sizeof *of);

    if (!of)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    of->program = args->program;
    of->file_only = true;
    for (of->cmd = args->program->commands; strcmp(of->cmd->name, command) != 0; of->cmd++)
        ;
    enum st st = cmd_file_read(&of->file, path, args->program);
    return st ? st : fill_all(of);
}

void cmd_args_release(struct cmd_args *args)
{
    cmd_file_release(&args->file);
}

enum st cmd_read_again(struct cmd_args **out, const struct cmd_args *args)
{
    struct cmd_args *again = malloc(sizeof *again);

    *out = NULL;
    if (!again)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    enum st st = cmd_parse(again, args->program, args->cmd, args->argc, args->argv);
    if (st)
        cmd_free(again);
    else
        *out = again;
    return st;
}

void cmd_free(struct cmd_args *args)
{
    if (args)
        cmd_args_release(args);
    free(args);
}

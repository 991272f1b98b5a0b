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

static enum st set_value(struct cmd_args *args, size_t i, const char *text, const char *origin)
{
    const struct cmd_option *o = &args->cmd->options[i];

    if (o->type == CMD_LIST) {
        if (args->item_count == CMD_LIST_MAX)
            return st_fail(ST_USAGE, NULL, "--%s is there more than %d times", o->name,
                           CMD_LIST_MAX);
        args->items[args->item_count].option = o;
        args->items[args->item_count++].text = text;
    }
    args->values[i].text = text;
    args->values[i].number = o->type == CMD_FLAG;
    if (TYPES[o->type].units && !parse_number(&args->values[i].number, TYPES[o->type].units, text))
        return st_fail(ST_USAGE, NULL, "%s: %s expected", origin, TYPES[o->type].expected);
    return ST_OK;
}

/* The value of an option from its variable or its default. */
static enum st fill_in(struct cmd_args *args, size_t i)
{
    const struct cmd_option *o = &args->cmd->options[i];
    char variable[64], origin[96];

    cmd_variable(variable, o->name);
    const char *text = getenv(variable);
    if (text && *text) {
        if (o->type == CMD_FLAG && strcmp(text, "0") == 0)
            return ST_OK;
        if (o->type == CMD_FLAG && strcmp(text, "1") != 0)
            return st_fail(ST_USAGE, NULL, "%s: 0 or 1 expected", variable);
        return set_value(args, i, text, variable);
    }
    if (o->preset) {
        snprintf(origin, sizeof origin, "default of --%s", o->name);
        return set_value(args, i, o->preset, origin);
    }
    if (o->required)
        return st_fail(ST_USAGE, NULL, "--%s %s is needed (or %s)", o->name,
                       o->metavar ? o->metavar : "", variable);
    return ST_OK;
}

static enum st parse_option(struct cmd_args *args, char **argv, int argc, int *at)
{
    const char *text = argv[*at] + 2, *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : strlen(text), i = 0;
    const struct cmd_option *options = args->cmd->options;
    char origin[96];

    while (options && options[i].name &&
           (strncmp(options[i].name, text, len) != 0 || options[i].name[len]))
        i++;
    if (!options || !options[i].name)
        return st_fail(ST_USAGE, NULL, "unknown option --%.*s", (int)(len < 64 ? len : 64), text);
    if (args->values[i].text && options[i].type != CMD_LIST)
        return st_fail(ST_USAGE, NULL, "--%s is there twice", options[i].name);
    if (options[i].type == CMD_FLAG)
        return equals ? st_fail(ST_USAGE, NULL, "--%s takes no value", options[i].name)
                      : set_value(args, i, "", options[i].name);
    if (!equals && *at + 1 == argc)
        return st_fail(ST_USAGE, NULL, "--%s needs a value", options[i].name);
    snprintf(origin, sizeof origin, "--%s", options[i].name);
    return set_value(args, i, equals ? equals + 1 : argv[++*at], origin);
}

enum st cmd_parse(struct cmd_args *out, const struct cmd *cmd, int argc, char **argv)
{
    bool operands_only = false;
    enum st st = ST_OK;

    memset(out, 0, sizeof *out);
    out->cmd = cmd;
    for (int at = 0; !st && at < argc; at++) {
        if (!operands_only && strcmp(argv[at], "--") == 0)
            operands_only = true;
        else if (!operands_only && strncmp(argv[at], "--", 2) == 0)
            st = parse_option(out, argv, argc, &at);
        else if (!operands_only && argv[at][0] == '-' && argv[at][1])
            st = st_fail(ST_USAGE, NULL, "unknown option %.16s", argv[at]);
        else if (out->operand_count == cmd->operands_max || out->operand_count == CMD_OPERANDS_MAX)
            st = st_fail(ST_USAGE, NULL, "too many operands");
        else
            out->operands[out->operand_count++] = argv[at];
    }
    if (!st && out->operand_count < cmd->operands_min)
        st = st_fail(ST_USAGE, NULL, "%s is missing", cmd->operands);
    for (size_t i = 0; !st && cmd->options && cmd->options[i].name; i++)
        if (!out->values[i].text)
            st = fill_in(out, i);
    return st;
}

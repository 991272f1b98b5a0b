#include "base/cmd_internal.h"

#include "base/utf8.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

bool cmd_is_in_group(const struct cmd *c, const char *word)
{
    size_t len = strlen(word);

    return strncmp(c->name, word, len) == 0 && c->name[len] == ' ';
}

/* All commands, or those whose first word is `group`. */
static void print_list(FILE *out, const struct cmd_program *program, const char *group)
{
    if (group)
        fprintf(out, "usage: %s %s COMMAND [OPTION...]\n\ncommands:\n", program->name, group);
    else
        fprintf(out, "%s\n\nusage: %s COMMAND [OPTION...]\n\ncommands:\n", program->about,
                program->name);
    for (const struct cmd *c = program->commands; c->name; c++)
        if (c->summary && (!group || cmd_is_in_group(c, group)))
            fprintf(out, "  %-21s %s\n", c->name, c->summary);
    fprintf(out, "\n%s COMMAND --help shows options and an example.\n", program->name);
}

static void print_usage(FILE *out, const char *program, const struct cmd *c)
{
    fprintf(out, "usage: %s %s%s%s%s\n", program, c->name, *c->operands ? " " : "", c->operands,
            c->options && c->options[0].name ? " [OPTION...]" : "");
}

static void print_option(FILE *out, const struct cmd *c, const struct cmd_option *o)
{
    char left[80], variable[64];

    cmd_variable(variable, o->name);
    if (o->type & CMD_SECRET)
        snprintf(left, sizeof left, "%s", variable);
    else
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->metavar ? " " : "",
                 o->metavar ? o->metavar : "");
    fprintf(out, "  %-26s %s", left, o->help);
    if (o->preset)
        fprintf(out, " (default %s)", o->preset);
    if (o->required)
        fprintf(out, o->type & CMD_LOCAL && cmd_find_option(c, "url") ? " (needed without --url)"
                                                                      : " (needed)");
    if (!(o->type & (CMD_ONCE | CMD_SECRET)))
        fprintf(out, " [%s]", variable);
    fprintf(out, "\n");
}

static const struct cmd_option CONFIG = {.name = "config",
                                         .type = CMD_STRING,
                                         .metavar = "FILE",
                                         .help = "configuration file; see: config example"};

static void print_help(FILE *out, const char *program, const struct cmd *c)
{
    print_usage(out, program, c);
    fprintf(out, "\n%s.\n", c->summary ? c->summary : c->name);
    if (c->about)
        fprintf(out, "\n%s\n", c->about);
    if (c->options && c->options[0].name) {
        fprintf(out, "\noptions (flag, then environment variable, then configuration file, then "
                     "default):\n");
        for (const struct cmd_option *o = c->options; o->name; o++)
            print_option(out, c, o);
        print_option(out, c, &CONFIG);
    }
    if (c->example)
        fprintf(out, "\nexample:\n  %s\n", c->example);
}

/* How many of the words argv[0..] the command's name takes; 0: another command. */
static int name_words(const struct cmd *c, int argc, char **argv)
{
    const char *space = strchr(c->name, ' ');
    size_t first = space ? (size_t)(space - c->name) : strlen(c->name);

    if (argc > 0 && strcmp(argv[0], "--version") == 0)
        return strcmp(c->name, "version") == 0;
    if (argc < 1 || strlen(argv[0]) != first || strncmp(argv[0], c->name, first) != 0)
        return 0;
    if (!space)
        return 1;
    return argc > 1 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

static const struct cmd *find(const struct cmd *commands, int argc, char **argv, int *words)
{
    const struct cmd *found = NULL;

    *words = 0;
    for (const struct cmd *c = commands; c->name; c++) {
        int n = name_words(c, argc, argv);
        if (n > *words) {
            *words = n;
            found = c;
        }
    }
    return found;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static int report(const char *program, const struct cmd *c, enum st st)
{
    struct st_report r;

    st_save(&r, st);
    utf8_blank_controls(r.message); /* names in files are of whoever wrote these */
    utf8_blank_controls(r.place);
    utf8_blank_controls(r.hint);
    fprintf(stderr, "%s: %s\n", program, r.message);
    if (*r.place)
        fprintf(stderr, "  at %s\n", r.place);
    if (*r.hint)
        fprintf(stderr, "  hint: %s\n", r.hint);
    if (st == ST_USAGE && !*r.place) /* what is in a file is not mended by the command line */
        print_usage(stderr, program, c);
    return st_exit_code(st);
}

/* The command that is meant by words that are nearly its name; NULL: none is near. */
static const char *find_nearest(const struct cmd_program *program, int argc, char **argv)
{
    const char *nearest = NULL;
    char words[128];
    size_t best = SIZE_MAX;

    for (const struct cmd *c = program->commands; c->name; c++) {
        bool two = strchr(c->name, ' ') && argc > 1;
        snprintf(words, sizeof words, "%s%s%s", argv[0], two ? " " : "", two ? argv[1] : "");
        size_t slips = c->summary ? cmd_distance(words, strlen(words), c->name) : SIZE_MAX;
        if (slips < best) {
            best = slips;
            nearest = c->name;
        }
    }
    return nearest;
}

static int unknown_command(const struct cmd_program *program, const char *group, int argc,
                           char **argv)
{
    const char *nearest = find_nearest(program, argc, argv);

    if (group && argc > 1 && argv[1][0] != '-')
        fprintf(stderr, "%s: unknown command \"%.64s %.64s\"\n", program->name, group, argv[1]);
    else if (group)
        fprintf(stderr, "%s: \"%.64s\" needs a second word\n", program->name, group);
    else
        fprintf(stderr, "%s: unknown command \"%.64s\"\n", program->name, argv[0]);
    if (nearest)
        fprintf(stderr, "  hint: is \"%s\" meant?\n", nearest);
    if (group) {
        fprintf(stderr, "\n");
        print_list(stderr, program, group);
    } else
        fprintf(stderr, "%s --help lists the commands.\n", program->name);
    return st_exit_code(ST_USAGE);
}

/* No command, or one that does not exist. */
static int list_commands(const struct cmd_program *program, int argc, char **argv, bool asked)
{
    const char *group = NULL;

    for (const struct cmd *c = program->commands; argc > 0 && c->name && !group; c++)
        if (cmd_is_in_group(c, argv[0]))
            group = argv[0];
    bool help = argc == 0 ? asked : asks_for_help(argc, argv) || (asked && group);
    if (!help && argc > 0)
        return unknown_command(program, group, argc, argv);
    print_list(help ? stdout : stderr, program, group);
    return help ? 0 : st_exit_code(ST_USAGE);
}

int cmd_main(const struct cmd_program *program, int argc, char **argv)
{
    int words, skip = argc > 1 && strcmp(argv[1], "help") == 0 ? 1 : 0;
    const struct cmd *c = find(program->commands, argc - 1 - skip, argv + 1 + skip, &words);
    struct cmd_args args;

    argc -= 1 + skip;
    argv += 1 + skip;
    signal(SIGCHLD,
           SIG_DFL); /* who started it may ignore that: nobody would hear how a child ended */
    if (!c)
        return list_commands(program, argc, argv, skip == 1);
    if (skip || asks_for_help(argc - words, argv + words)) {
        print_help(stdout, program->name, c);
        return 0;
    }
    cmd_warn_of_variables(program);
    enum st st = cmd_parse(&args, program, c, argc - words, argv + words);
    if (!st)
        st = c->run(&args);
    cmd_args_release(&args);
    if (st)
        return report(program->name, c, st);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: writing to stdout failed\n", program->name);
        return 1;
    }
    return 0;
}

const char *cmd_config_file(const struct cmd_args *args)
{
    return args->file.path;
}

const char *cmd_operand(const struct cmd_args *args, unsigned i)
{
    return i < args->operand_count ? args->operands[i] : NULL;
}

/* Asking for an option that the table does not have is a bug of the program. */
static size_t index_of(const struct cmd_args *args, const char *name)
{
    size_t i = 0;

    while (args->cmd->options[i].name && strcmp(args->cmd->options[i].name, name) != 0)
        i++;
    if (!args->cmd->options[i].name)
        abort();
    return i;
}

bool cmd_flag(const struct cmd_args *args, const char *name)
{
    return args->values[index_of(args, name)].number != 0;
}

const char *cmd_string(const struct cmd_args *args, const char *name)
{
    return args->values[index_of(args, name)].text;
}

uint64_t cmd_uint(const struct cmd_args *args, const char *name)
{
    return args->values[index_of(args, name)].number;
}

uint64_t cmd_duration_ms(const struct cmd_args *args, const char *name)
{
    return args->values[index_of(args, name)].number;
}

uint64_t cmd_bytes(const struct cmd_args *args, const char *name)
{
    return args->values[index_of(args, name)].number;
}

enum st cmd_blame(enum st st, const struct cmd_args *args, const char *name, const char *item)
{
    size_t i = index_of(args, name);
    unsigned line = args->values[i].line;
    char variable[64];

    for (unsigned j = 0; item && j < args->item_count; j++)
        if (args->items[j].text == item)
            line = args->items[j].line;
    cmd_variable(variable, name);
    if (args->values[i].origin == CMD_FILE)
        return st_place(st, "%s:%u", args->file.path, line);
    return args->values[i].origin == CMD_ENVIRONMENT ? st_place(st, "%s", variable) : st;
}

enum st cmd_range(uint64_t *out, const struct cmd_args *args, const char *name, uint64_t min,
                  uint64_t max)
{
    size_t i = index_of(args, name);
    enum cmd_type type = cmd_type_of(&args->cmd->options[i]);

    *out = args->values[i].number;
    if (*out >= min && *out <= max)
        return ST_OK;
    enum st st = st_fail(ST_USAGE, NULL, "--%s: from %llu to %llu%s expected", name,
                         (unsigned long long)min, (unsigned long long)max,
                         type == CMD_DURATION ? " milliseconds"
                         : type == CMD_BYTES  ? " bytes"
                                              : "");
    return cmd_blame(st, args, name, NULL);
}

const char *cmd_list(const struct cmd_args *args, const char *name, unsigned i)
{
    const struct cmd_option *option = &args->cmd->options[index_of(args, name)];

    for (unsigned j = 0; j < args->item_count; j++)
        if (args->items[j].option == option && i-- == 0)
            return args->items[j].text;
    return NULL;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool cmd_same(const struct cmd_args *a, const struct cmd_args *b, const char *name)
{
    size_t i = index_of(a, name);

    if (cmd_type_of(&a->cmd->options[i]) != CMD_LIST)
        return is_same(a->values[i].text, b->values[i].text);
    for (unsigned n = 0;; n++) {
        const char *one = cmd_list(a, name, n), *other = cmd_list(b, name, n);
        if (!is_same(one, other))
            return false;
        if (!one)
            return true;
    }
}

enum st cmd_output_json(bool *json, const struct cmd_args *args)
{
    const char *output = cmd_string(args, "output");

    *json = output && strcmp(output, "json") == 0;
    if (*json || !output || strcmp(output, "table") == 0)
        return ST_OK;
    return st_fail(ST_USAGE, NULL, "--output: table or json expected");
}

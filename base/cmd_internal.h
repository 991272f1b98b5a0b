/* Shared by the files of base/cmd. */
#ifndef EVERLINE_BASE_CMD_INTERNAL_H
#define EVERLINE_BASE_CMD_INTERNAL_H

#include "base/cmd.h"

#define CMD_OPTIONS_MAX 64
#define CMD_OPERANDS_MAX 64
#define CMD_LIST_MAX 256

/* What a configuration file says; check what it means with cmd_file_read. */
struct cmd_setting {
    char *section; /* the command's name; "": for every command that has the option */
    char *name, *value;
    unsigned line;
};
struct cmd_file {
    const char *path; /* borrowed; NULL: there is none */
    struct cmd_setting *settings;
    size_t count;
};

enum cmd_origin { CMD_ABSENT, CMD_GIVEN, CMD_ENVIRONMENT, CMD_FILE, CMD_PRESET };

struct cmd_args {
    const struct cmd_program *program;
    const struct cmd *cmd;
    int argc; /* the command line after the command's name; borrowed */
    char **argv;
    const char *config; /* --config */
    bool file_only;     /* the environment says nothing */
    struct cmd_file file;
    const char *operands[CMD_OPERANDS_MAX];
    unsigned operand_count;
    struct {
        const char *text; /* last value; NULL: absent */
        uint64_t number;  /* parsed: UINT, DURATION (ms), BYTES; FLAG: 1 */
        enum cmd_origin origin;
        unsigned line; /* CMD_FILE */
    } values[CMD_OPTIONS_MAX];
    struct { /* of CMD_LIST options, in order */
        const struct cmd_option *option;
        const char *text;
        unsigned line; /* of the file; 0: it is not from there */
    } items[CMD_LIST_MAX];
    unsigned item_count;
};

/* Release `out` in any case. `program` may be NULL: no configuration file is read. */
enum st cmd_parse(struct cmd_args *out, const struct cmd_program *program, const struct cmd *cmd,
                  int argc, char **argv) ST_MUST_USE;
void cmd_args_release(struct cmd_args *args);

/* What the options of `cmd` would be without a command line, by the file that `like` has read.
 * Options that are needed may be absent. `out` borrows from `like`: nothing is to be released. */
enum st cmd_without_line(struct cmd_args *out, const struct cmd_args *like,
                         const struct cmd *cmd) ST_MUST_USE;

static inline enum cmd_type cmd_type_of(const struct cmd_option *o)
{
    return o->type & (CMD_ONCE - 1u);
}

/* How many slips of a writer lie between `name` and `known`; SIZE_MAX: it is another name, as more
 * than two, or a third of it, are. */
size_t cmd_distance(const char *name, size_t len, const char *known);

const struct cmd_option *cmd_find_option(const struct cmd *c, const char *name); /* NULL: none */
bool cmd_is_shared(const struct cmd_program *program, const char *name);

/* The number that `text` is as a value of the option (0: it is none); ST_USAGE, which begins with
 * `origin`, when it must not have this value. */
enum st cmd_value(uint64_t *number, const struct cmd_option *o, const char *text,
                  const char *origin) ST_MUST_USE;

/* Reads and checks a configuration file: sections are commands, names are options, values are of
 * their type, nothing but lists is there twice. ST_USAGE with the line otherwise. Release `out` in
 * any case. */
enum st cmd_file_read(struct cmd_file *out, const char *path,
                      const struct cmd_program *program) ST_MUST_USE;
void cmd_file_release(struct cmd_file *f);

/* Index of the first such setting at or after `from`; `count` when there is none. */
size_t cmd_file_find(const struct cmd_file *f, const char *section, const char *name, size_t from);

/* Is `word` the first of the command's two words? */
bool cmd_is_in_group(const struct cmd *c, const char *word);

/* Says on stderr which EVERLINE_* variables look like one that there is, misspelt. */
void cmd_warn_of_variables(const struct cmd_program *program);

/* "EVERLINE_DRAIN_TIMEOUT" of "drain-timeout". */
void cmd_variable(char out[64], const char *option);

#endif

/* Command lines: one table of options per command gives parsing, EVERLINE_* variables, the
 * configuration file, defaults and --help. Flags > environment > file > default. */
#ifndef EVERLINE_BASE_CMD_H
#define EVERLINE_BASE_CMD_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

enum cmd_type {
    CMD_FLAG,     /* --production */
    CMD_STRING,   /* --data DIR */
    CMD_LIST,     /* --source A --source B */
    CMD_UINT,     /* --workers 2 */
    CMD_DURATION, /* --ttl 1h, 500ms, 25s, 5m, 1d: milliseconds */
    CMD_BYTES,    /* --memory 4GiB, 512MiB, 4096: bytes */
    /* With one of these. Of this one call (--reason TEXT, --from VERSION): no variable and no file
     * gives it, for who forgot that it is set would do something else than is written there. */
    CMD_ONCE = 1 << 4,
    /* Of a data directory on this machine: neither needed nor taken when --url names a server. The
     * first one of a table is what names the place: of it and --url that counts which is said
     * closer to the call, and both in one place are refused. */
    CMD_LOCAL = 1 << 5,
    /* Given by its variable alone: what is on a command line everybody on the machine can read. */
    CMD_SECRET = 1 << 6,
};

struct cmd_option {
    const char *name; /* "drain-timeout"; EVERLINE_DRAIN_TIMEOUT */
    enum cmd_type type;
    const char *metavar; /* "DIR" */
    const char *preset;  /* text of the default, or NULL */
    const char *help;    /* one line */
    bool required;
};

struct cmd_args;

struct cmd {
    const char *name;     /* "ingest", or "dataset put" */
    const char *operands; /* "DATASET", "[NAME...]", "" */
    unsigned operands_min, operands_max;
    const char *summary; /* one line for the list of commands; NULL: in no list, for programs */
    const char *about;   /* paragraphs for --help, or NULL */
    const char *example; /* at least one line that works */
    const struct cmd_option *options; /* ends with a zeroed row; NULL: none */
    enum st (*run)(const struct cmd_args *args);
};

struct cmd_program {
    const char *name, *about;
    const struct cmd *commands; /* ends with a zeroed row */
    const char *const
        *shared;  /* options that may stand before any section of the file; NULL ends */
    bool partial; /* sections of other programs are not looked at */
};

/* Runs argv[1..]: `--help` and `help` at every level, two-word names first, unknown command or
 * option -> usage on stderr, exit code 2. Every command takes `--config FILE`. Prints the failure's
 * message, place and hint on stderr ("everline: ...") and returns the exit code. */
int cmd_main(const struct cmd_program *program, int argc, char **argv);

/* Configuration files of the program that these arguments are for. `example` prints every option as
 * a comment; `check` reads a file; `dump` prints the values of the command that the operand names
 * (of every command without one), and where each comes from. */
enum st cmd_config_example(const struct cmd_args *args) ST_MUST_USE;
enum st cmd_config_check(const struct cmd_args *args) ST_MUST_USE;
enum st cmd_config_dump(const struct cmd_args *args) ST_MUST_USE;

/* Prints a program of the shell that the operand names (bash, zsh or fish), which completes this
 * program's command lines. ST_USAGE: it is another one. */
enum st cmd_completion(const struct cmd_args *args) ST_MUST_USE;

/* The options of a command as this file alone has them. cmd_free, in any case; what is got from it
 * lives as long. */
enum st cmd_by_file(struct cmd_args **out, const struct cmd_args *args, const char *path,
                    const char *command) ST_MUST_USE;

/* The configuration file that was read; NULL: none. */
const char *cmd_config_file(const struct cmd_args *args);

/* The same command line again, with the environment and the file as they are now. `out` is to be
 * freed; what is got from it lives as long. */
enum st cmd_read_again(struct cmd_args **out, const struct cmd_args *args) ST_MUST_USE;
void cmd_free(struct cmd_args *args);
/* Has the option the same value, or values, in both? */
bool cmd_same(const struct cmd_args *a, const struct cmd_args *b, const char *name);

const char *cmd_operand(const struct cmd_args *args, unsigned i); /* NULL when absent */
bool cmd_flag(const struct cmd_args *args, const char *name);
const char *cmd_string(const struct cmd_args *args,
                       const char *name); /* NULL: absent, no default */
uint64_t cmd_uint(const struct cmd_args *args, const char *name);
uint64_t cmd_duration_ms(const struct cmd_args *args, const char *name);
uint64_t cmd_bytes(const struct cmd_args *args, const char *name);
/* Returns `st`, a failure that is the value's of this option; of a list that item's. Adds where it
 * is written: the file with the line, or the variable. */
enum st cmd_blame(enum st st, const struct cmd_args *args, const char *name,
                  const char *item) ST_MUST_USE;
/* Any of the three, in its unit; ST_USAGE, and the message says the range, when it is outside. */
enum st cmd_range(uint64_t *out, const struct cmd_args *args, const char *name, uint64_t min,
                  uint64_t max) ST_MUST_USE;
const char *cmd_list(const struct cmd_args *args, const char *name, unsigned i); /* NULL: no more */

/* The `--output table|json` convention: true for json; ST_USAGE for anything else. */
enum st cmd_output_json(bool *json, const struct cmd_args *args) ST_MUST_USE;

/* A plain aligned table on stdout. Cells are copied; one for which there is no memory shows in
 * _print, which prints all or nothing. */
struct cmd_table;
enum st cmd_table_new(struct cmd_table **out, const char *const *headings) ST_MUST_USE;
void cmd_table_cell(struct cmd_table *t, const char *fmt, ...) ST_PRINTF(2, 3);
enum st cmd_table_print(struct cmd_table *t, FILE *out) ST_MUST_USE;
void cmd_table_free(struct cmd_table *t);

#endif

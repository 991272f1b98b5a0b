#include "base/cmd_internal.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

/* inih calls back for each "name = value"; lines are counted where they are read, because its
 * handler is not told which one it is in. */

#define LINE_MAX_BYTES 8192
#define SETTINGS_MAX 4096

struct reading {
    struct cmd_file *file;
    const struct cmd_program *program;
    FILE *in;
    unsigned line;
    bool too_long; /* this line, or it holds a NUL */
    enum st st;    /* of the first failure; nothing is looked at after it */
};

static char *read_line(char *out, int size, void *ctx)
{
    struct reading *r = ctx;

    if (!fgets(out, size, r->in))
        return NULL;
    r->line++;
    size_t len = strlen(out);
    r->too_long = (len == 0 || out[len - 1] != '\n') && !feof(r->in);
    return r->too_long ? NULL : out;
}

static enum st fail_at(const struct reading *r, enum st st)
{
    return st_place(st, "%s:%u", r->file->path, r->line);
}

/* The command that a section is of; NULL: none of this program. */
static const struct cmd *find_command(const struct cmd_program *program, const char *section)
{
    for (const struct cmd *c = program->commands; c->name; c++)
        if (strcmp(c->name, section) == 0)
            return c;
    return NULL;
}

static enum st unknown_name(const struct cmd_program *program, const char *section,
                            const char *name)
{
    if (!*section)
        return st_hint(st_fail(ST_USAGE, NULL, "\"%.64s\" stands before any section", name),
                       "only options that most commands have may stand there; put it below the "
                       "name of its command, such as [serve]");
    return st_hint(st_fail(ST_USAGE, NULL, "[%.64s] has no option \"%.64s\"", section, name),
                   "see: %s help %s", program->name, section);
}

/* Is it an option, and its value one? */
static enum st check(const struct cmd_program *program, const char *section, const char *name,
                     const char *value)
{
    const struct cmd *c = find_command(program, section);
    const struct cmd_option *o = NULL;
    uint64_t number;

    if (!*section)
        return cmd_is_shared(program, name) ? ST_OK : unknown_name(program, section, name);
    if (!c && program->partial)
        return ST_OK;
    if (!c)
        return st_hint(st_fail(ST_USAGE, NULL, "there is no command \"%.64s\"", section),
                       "see: %s help", program->name);
    o = cmd_find_option(c, name);
    if (!o)
        return unknown_name(program, section, name);
    if (o->type & CMD_ONCE)
        return st_hint(st_fail(ST_USAGE, NULL, "\"%.64s\" is of one call, and of no file", name),
                       "give it there: %s %s --%s", program->name, section, name);
    if (o->type & CMD_SECRET)
        return st_fail(ST_USAGE, NULL, "\"%.64s\" is a secret, and of no file", name);
    return *value ? cmd_value(&number, o, value, name) : ST_OK;
}

static bool is_there(const struct cmd_file *f, const char *section, const char *name)
{
    return cmd_file_find(f, section, name, 0) < f->count;
}

static enum st add(struct reading *r, const char *section, const char *name, const char *value)
{
    struct cmd_file *f = r->file;
    const struct cmd *c = find_command(r->program, section);
    const struct cmd_option *o = c ? cmd_find_option(c, name) : NULL;
    enum st st = check(r->program, section, name, value);

    if (st || !*value) /* an empty value says nothing, as in the environment */
        return st;
    if ((!o || cmd_type_of(o) != CMD_LIST) && is_there(f, section, name) && (o || !*section))
        return st_fail(ST_USAGE, NULL, "\"%.64s\" is there twice", name);
    if (f->count == SETTINGS_MAX)
        return st_fail(ST_USAGE, NULL, "more than %d settings", SETTINGS_MAX);
    struct cmd_setting *grown = realloc(f->settings, (f->count + 1) * sizeof *grown);
    if (!grown)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    f->settings = grown;
    struct cmd_setting *s = &grown[f->count++];
    *s = (struct cmd_setting){strdup(section), strdup(name), strdup(value), r->line};
    return s->section && s->name && s->value ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

static int take(void *ctx, const char *section, const char *name, const char *value)
{
    struct reading *r = ctx;

    if (!r->st) {
        r->st = add(r, section, name, value);
        if (r->st)
            r->st = fail_at(r, r->st);
    }
    return r->st == ST_OK;
}

/* inih reads on after a line that it does not understand, and says at the end which it was. */
static enum st parse(struct reading *r)
{
    ini_use_stack = false;
    ini_initial_alloc = LINE_MAX_BYTES;
    ini_max_line = LINE_MAX_BYTES;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    int line = ini_parse_stream(read_line, r, take, r);

    if (r->st)
        return r->st;
    if (r->too_long)
        return fail_at(r, st_fail(ST_USAGE, NULL, "a line of more than %d bytes, or a NUL in it",
                                  LINE_MAX_BYTES - 3));
    if (line < 0)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    if (line > 0) {
        r->line = (unsigned)line;
        return fail_at(
            r, st_fail(ST_USAGE, NULL, "neither [COMMAND], nor \"option = value\", nor a comment"));
    }
    if (ferror(r->in))
        return st_fail(ST_IO, NULL, "%s: reading failed", r->file->path);
    return ST_OK;
}

enum st cmd_file_read(struct cmd_file *out, const char *path, const struct cmd_program *program)
{
    struct reading r = {.file = out, .program = program};

    memset(out, 0, sizeof *out);
    out->path = path;
    r.in = fopen(path, "re");
    if (!r.in)
        return st_hint(
            st_fail(errno == ENOENT ? ST_NOT_FOUND : ST_IO, NULL, "%s: %s", path, strerror(errno)),
            "it is named by --config or EVERLINE_CONFIG");
    enum st st = parse(&r);
    fclose(r.in);
    return st;
}

size_t cmd_file_find(const struct cmd_file *f, const char *section, const char *name, size_t from)
{
    while (from < f->count && (strcmp(f->settings[from].section, section) != 0 ||
                               strcmp(f->settings[from].name, name) != 0))
        from++;
    return from;
}

void cmd_file_release(struct cmd_file *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->settings[i].section);
        free(f->settings[i].name);
        free(f->settings[i].value);
    }
    free(f->settings);
    memset(f, 0, sizeof *f);
}

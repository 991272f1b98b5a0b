#include "ingest/rejects.h"

#include <stdlib.h>
#include <string.h>

#define ROOM (2 * REJECTS_MAX) /* the greater half is dropped when it is full */
#define SAID 3                 /* places in a message's hint */

/* What is wrong, behind "line 7 ", and how to mend it. */
static const struct {
    const char *csv, *ndjson, *text, *mend;
} faults[RECORD_FAULTS] = {
    [RECORD_SHORT] = {"CSV_SHORT_ROW", NULL, "has fewer fields than the file has columns",
                      "is a delimiter missing, or a line end too many?"},
    [RECORD_LONG] = {"CSV_LONG_ROW", NULL, "has more fields than the file has columns",
                     "quote fields that contain the delimiter"},
    [RECORD_UTF8] = {"CSV_UTF8", "NDJSON_UTF8", "is not valid UTF-8",
                     "convert the file: iconv -f ENCODING -t UTF-8"},
    [RECORD_CAST] = {"CSV_CAST", "NDJSON_CAST", "has a value that is not of its declared type",
                     "mend the value, or declare another type: VARCHAR, TIMESTAMPTZ"},
    [RECORD_JSON] = {NULL, "NDJSON_SYNTAX", "is not valid JSON",
                     "each line is one JSON object: jq -c . writes them so"},
    [RECORD_OBJECT] = {NULL, "NDJSON_OBJECT", "is not a JSON object",
                       "each line is one JSON object: jq -c '.[]' writes those of a list so"},
    [RECORD_DUPLICATE] = {NULL, "NDJSON_DUPLICATE", "has a member twice", "take one of them away"},
    [RECORD_MEMBER] = {NULL, "NDJSON_MEMBER", "has a member that the source does not declare",
                       "declare it in \"columns\", or leave out \"columns_complete\""},
    [RECORD_NUL] = {NULL, "NDJSON_NUL", "has the character U+0000 in a text", "take it away"},
};

const char *rejects_code(enum store_format format, enum record_fault fault)
{
    return format == STORE_NDJSON ? faults[fault].ndjson : faults[fault].csv;
}

void rejects_release(struct rejects *r)
{
    free(r->list);
    memset(r, 0, sizeof *r);
}

static int compare(const void *left, const void *right)
{
    const struct reject *a = left, *b = right;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

void rejects_sort(struct rejects *r)
{
    if (r->listed)
        qsort(r->list, r->listed, sizeof *r->list, compare);
    if (r->listed > REJECTS_MAX)
        r->listed = REJECTS_MAX;
}

void rejects_remember(struct rejects *r, const struct reject *reject)
{
    if (!r->list && !(r->list = malloc(ROOM * sizeof *r->list)))
        return; /* it is counted; that is what matters */
    if (r->listed == ROOM)
        rejects_sort(r);
    r->list[r->listed++] = *reject;
}

void rejects_add(struct rejects *r, const struct reject *reject)
{
    r->count++;
    r->by_fault[reject->fault]++;
    rejects_remember(r, reject);
}

/* "a.csv:3:4", or without a column. */
static void add_place(struct buf *out, const struct reject *reject, const struct task_source *files)
{
    buf_addf(out, "%s:%llu", files->files[reject->file].label, (unsigned long long)reject->line);
    if (reject->column)
        buf_addf(out, ":%zu", reject->column);
}

void rejects_say(struct buf *out, const struct rejects *r, size_t from,
                 const struct task_source *files)
{
    for (size_t i = from; i < r->listed && i < from + SAID; i++) {
        buf_addstr(out, i == from ? "" : ", ");
        add_place(out, &r->list[i], files);
        if (r->list[i].rule)
            buf_addf(out, " %s", r->list[i].rule);
    }
}

/* A declared column may be named: its name is the definition's. */
static void add_text(struct buf *out, const struct reject *reject)
{
    const struct store_column *c = reject->declared;
    if (c && reject->fault == RECORD_CAST)
        buf_addf(out, ": the column \"%s\" is not %s %s", c->name,
                 strchr("AEIOUaeiou", c->type[0]) ? "an" : "a", c->type);
    else
        buf_addf(out, " %s", faults[reject->fault].text);
}

/* How to mend it, and where the next ones are. */
static void add_hint(struct buf *out, const struct rejects *r, const struct task_source *files)
{
    buf_addf(out, "%s; \"max_reject_ratio\" of the source says how many may be rejected",
             faults[r->list[0].fault].mend);
    if (r->listed > 1)
        buf_addstr(out, "; also ");
    rejects_say(out, r, 1, files);
    if (r->count > SAID + 1)
        buf_addstr(out, ", ...");
}

enum st rejects_fail(const struct rejects *r, const struct store_source *s,
                     const struct task_source *files, uint64_t read)
{
    const struct reject *first = r->list;
    struct buf place, hint, text;
    if (!r->listed)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    buf_init(&place, FS_PATH_MAX + 64);
    buf_init(&text, 512);
    buf_init(&hint, sizeof((struct st_report *)NULL)->hint - 1);
    add_place(&place, first, files);
    add_text(&text, first);
    add_hint(&hint, r, files);
    enum st st = st_fail(ST_INVALID, rejects_code(s->format, first->fault),
                         "%s line %llu%s; %llu of %llu records of the source %s cannot be read",
                         files->files[first->file].label, (unsigned long long)first->line,
                         buf_status(&text) ? "" : text.data, (unsigned long long)r->count,
                         (unsigned long long)read, s->name);
    st = hint.status /* long paths; to ask for it would be the last failure */
             ? st_hint(st, "%s; `everline rejects` lists them all", faults[first->fault].mend)
             : st_hint(st, "%s", hint.data);
    st = st_place(st, "%s", place.status ? files->files[first->file].label : place.data);
    buf_release(&place);
    buf_release(&text);
    buf_release(&hint);
    return st;
}

static enum st add_rule(json_t *rules, const char *rule, uint64_t rows)
{
    size_t i;
    json_t *item;
    json_array_foreach(rules, i, item)
    {
        json_t *count = json_object_get(item, "rows");
        if (!strcmp(json_string_value(json_object_get(item, "rule")), rule))
            return json_integer_set(count, json_integer_value(count) + (json_int_t)rows)
                       ? st_fail(ST_NOMEM, NULL, "out of memory")
                       : ST_OK;
    }
    return json_array_append_new(rules,
                                 json_pack("{s:s, s:I}", "rule", rule, "rows", (json_int_t)rows))
               ? st_fail(ST_NOMEM, NULL, "out of memory")
               : ST_OK;
}

enum st rejects_json(json_t *list, json_t *rules, const struct rejects *r,
                     const struct store_source *s, const struct task_source *files)
{
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < RECORD_FAULTS; i++)
        if (r->by_fault[i])
            st = add_rule(rules, rejects_code(s->format, (enum record_fault)i), r->by_fault[i]);
    for (size_t i = 0; !st && i < r->listed && json_array_size(list) < REJECTS_MAX; i++) {
        const struct reject *reject = &r->list[i];
        if (json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:I, s:o, s:s}", "source", s->name, "file",
                          task_file_name(&files->files[reject->file]), "line",
                          (json_int_t)reject->line, "column",
                          reject->column ? json_integer((json_int_t)reject->column) : json_null(),
                          "rule",
                          reject->rule ? reject->rule : rejects_code(s->format, reject->fault))))
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    }
    return st;
}

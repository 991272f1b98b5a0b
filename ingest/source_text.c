/* CSV and NDJSON as relations that are read where they lie, whenever somebody asks for their rows:
 * nothing of them is kept. DuckDB's own readers are not used: they guess, and one that loses its
 * way loses rows without a word.
 *
 * The first reading is the one that counts: its scan says how many records there are, the hashes
 * are of its bytes, the rejects are its own. When all rows were collected these must add up. Where
 * they do not, because a query did not need all rows or something failed, the source is read once
 * more for nothing but its ledger; so that the first fault of the first source is what is said,
 * whatever the query came upon. Values are cast by DuckDB, before anything else is done with a row.
 */
#include "ingest/text_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RECORD_BYTES 48 /* a guess, for the planner */

const struct store_column *text_declared(const struct source_text *t, const size_t *order, size_t i)
{
    if (!i || i > t->column_count)
        return NULL;
    return source_declared(t->source,
                           duck_statement_name(t->columns, order ? order[i - 1] : i - 1));
}

/* A value that DuckDB could not cast; `column` of the relation, from 1. */
static void reject_cast(struct source_text *t, int64_t place, int32_t column)
{
    struct reject reject = {.file = (size_t)(place >> SOURCE_LINE_BITS),
                            .line = (uint64_t)place & SOURCE_LINE_MASK,
                            .column = (size_t)column,
                            .fault = RECORD_CAST};
    const size_t *order = t->orders[reject.file];
    for (size_t i = 0; order && i < t->column_count; i++)
        if (order[i] == (size_t)column - 1)
            reject.column = i + 1;
    reject.declared = text_declared(t, order, reject.column);
    rejects_add(&t->counted.rejects, &reject);
}

/* `columns`: 0, or which one cannot be cast. */
static void see_rows(const int32_t *columns, const int64_t *places, size_t count, void *ctx)
{
    struct source_text *t = ctx;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < count; i++) {
        if (places[i] & TEXT_UNCOUNTED)
            continue;
        t->counted.parsed += columns[i] == 0;
        if (columns[i])
            reject_cast(t, places[i], columns[i]);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- the relation ---- */

static bool is_text(const char *type)
{
    return !strcasecmp(type, "VARCHAR") || !strcasecmp(type, "TEXT") || !strcasecmp(type, "STRING");
}

static bool is_boolean(const char *type)
{
    return !strcasecmp(type, "BOOLEAN") || !strcasecmp(type, "BOOL") ||
           !strcasecmp(type, "LOGICAL");
}

/* Of NDJSON, in which it is a JSON array of texts by now. */
static bool is_list(const struct source_text *t, size_t i)
{
    return t->source->format == STORE_NDJSON && *duck_statement_element(t->columns, i);
}

/* Of a column, or of the elements that it has. */
static unsigned char shape_of(const struct source_text *t, size_t i, const char *type)
{
    unsigned width, scale = 0;
    if (!strcmp(type, "DECIMAL"))
        duck_statement_decimal(&width, &scale, t->columns, i);
    return record_shape(type, scale);
}

static const char *column_type(const struct source_text *t, size_t i)
{
    return source_type(t->source, duck_statement_name(t->columns, i));
}

/* The elements of a list as texts. */
static void add_texts(struct buf *sql, const struct source_text *t, size_t i)
{
    buf_addf(sql,
             is_list(t, i) ? "TRY_CAST(TRY_CAST(\"#%zu\" AS JSON) AS VARCHAR[])"
                           : "TRY_CAST(\"#%zu\" AS VARCHAR[])",
             i);
}

static void add_bad_elements(struct buf *sql, const struct source_text *t, size_t i)
{
    unsigned char shape = shape_of(t, i, duck_statement_element(t->columns, i));
    if (shape == RECORD_ANY)
        return;
    buf_addstr(sql, " OR list_contains(list_transform(");
    add_texts(sql, t, i);
    buf_addf(sql, ", lambda \"#x\": \"#shaped\"(\"#x\", %u)), false)", shape);
}

/* A list's cast leaves null where an element's failed. */
static void add_bad(struct buf *sql, const struct source_text *t, size_t i)
{
    buf_addf(sql, " WHEN \"#%zu\" IS NOT NULL AND (\"#c%zu\" IS NULL", i, i);
    if (*duck_statement_element(t->columns, i)) {
        buf_addf(sql, " OR list_count(\"#c%zu\") <> list_count(", i);
        add_texts(sql, t, i);
        buf_addch(sql, ')');
        add_bad_elements(sql, t, i);
    }
    buf_addf(sql, ") THEN %zu", i + 1);
}

/* TRY_CAST of 1.4.4 fails on some texts that are no such value, instead of giving null. */
static bool may_fail(const struct source_text *t, size_t i)
{
    const char *element = duck_statement_element(t->columns, i);
    const char *type = *element ? element : duck_statement_type(t->columns, i);
    return !strcmp(type, "BIGNUM") || !strcmp(type, "INTERVAL");
}

static void add_cast(struct buf *sql, const struct source_text *t, size_t i)
{
    const char *type = column_type(t, i);
    bool tries = may_fail(t, i);
    buf_addstr(sql, tries ? ", TRY(" : ", ");
    if (is_text(type))
        buf_addf(sql, "\"#%zu\"", i);
    else if (is_list(t, i)) {
        buf_addstr(sql, "TRY_CAST(");
        add_texts(sql, t, i);
        buf_addf(sql, " AS %s)", type);
    } else if (is_boolean(type)) /* the cast looks at each character, several times slower */
        buf_addf(sql,
                 "CASE \"#%zu\" WHEN 'true' THEN true WHEN 'false' THEN false"
                 " ELSE TRY_CAST(\"#%zu\" AS BOOLEAN) END",
                 i, i);
    else
        buf_addf(sql, "TRY_CAST(\"#%zu\" AS %s)", i, type);
    buf_addf(sql, "%s AS \"#c%zu\"", tries ? ")" : "", i);
}

/* Of what "#read" gives, without those that cannot be cast. */
void source_text_add_select(struct buf *sql, const struct source_text *t, const char *place)
{
    buf_addstr(sql, "SELECT ");
    for (size_t i = 0; i < t->column_count; i++) {
        buf_addf(sql, "%s\"#c%zu\" AS ", i ? ", " : "", i);
        duck_add_name(sql, duck_statement_name(t->columns, i));
    }
    if (place) {
        buf_addf(sql, ", \"#place\" & %lld AS ", (long long)~TEXT_UNCOUNTED);
        duck_add_name(sql, place);
    }
    buf_addstr(sql, " FROM (SELECT *, CASE WHEN false THEN 0");
    for (size_t i = 0; i < t->column_count; i++)
        if (!is_text(column_type(t, i)))
            add_bad(sql, t, i);
    buf_addstr(sql, " ELSE 0 END::INTEGER AS \"#bad\" FROM (SELECT *");
    for (size_t i = 0; i < t->column_count; i++)
        add_cast(sql, t, i);
    buf_addf(sql, " FROM \"#read\"(%zu))) WHERE \"#keep\"(%zu, \"#bad\", \"#place\")", t->number,
             t->number);
}

static enum st find_columns(struct source_text *t, struct duck *d)
{
    struct buf sql;
    buf_init(&sql, 1024);
    buf_addstr(&sql, "SELECT * FROM ");
    duck_add_name(&sql, t->source->name);
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_prepare(&t->columns, d, sql.data);
    buf_release(&sql);
    if (st)
        return st;
    t->column_count = duck_statement_columns(t->columns);
    t->shapes = calloc(t->column_count, sizeof *t->shapes);
    if (!t->shapes)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < t->column_count; i++)
        t->shapes[i] =
            is_list(t, i) ? RECORD_LIST : shape_of(t, i, duck_statement_type(t->columns, i));
    return ST_OK;
}

/* The empty table of the same columns gives way. */
static enum st make_view(struct source_text *t, struct duck *d)
{
    struct buf sql;
    buf_init(&sql, 4u << 20);
    buf_addstr(&sql, "DROP TABLE ");
    duck_add_name(&sql, t->source->name);
    enum st st = source_run(d, t->source, &sql);
    buf_reset(&sql);
    buf_addstr(&sql, "CREATE VIEW ");
    duck_add_name(&sql, t->source->name);
    buf_addstr(&sql, " AS ");
    source_text_add_select(&sql, t, NULL);
    if (!st)
        st = source_run(d, t->source, &sql);
    buf_release(&sql);
    return st;
}

enum st source_text_open(struct source_text **out, struct duck *d, const struct store_source *s,
                         const struct task_source *files, size_t number,
                         const struct ingest_progress *progress)
{
    struct source_text *t = *out = calloc(1, sizeof *t);
    uint64_t bytes = 0;
    if (!t)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    *t = (struct source_text){.source = s, .files = files, .number = number, .progress = progress};
    pthread_mutex_init(&t->lock, NULL);
    t->orders = calloc(files->file_count, sizeof *t->orders);
    enum st st = t->orders ? find_columns(t, d) : st_fail(ST_NOMEM, NULL, "out of memory");
    if (st)
        return st;
    for (size_t i = 0; i < files->file_count; i++)
        bytes += files->files[i].stamp.bytes;
    t->feed = (struct duck_feed){
        .columns = t->column_count,
        .rows = bytes / RECORD_BYTES,
        .ctx = t,
        .begin_fn = text_reading_begin,
        .end_fn = text_reading_end,
        .open_fn = text_worker_open,
        .fill_fn = text_worker_fill,
        .close_fn = text_worker_close,
        .see_fn = see_rows,
    };
    duck_feed(d, number, &t->feed);
    return make_view(t, d);
}

static void forget_ledger(struct source_text *t)
{
    rejects_release(&t->counted.rejects);
    json_decref(t->counted.files);
    t->counted = (struct source_ledger){0};
    t->is_counting = t->ended = false;
}

void source_text_close(struct source_text *t)
{
    if (!t)
        return;
    forget_ledger(t);
    for (size_t i = 0; t->orders && i < t->files->file_count; i++)
        free(t->orders[i]);
    free(t->orders);
    free(t->shapes);
    duck_statement_free(t->columns);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- the ledger ---- */

static bool is_counted(const struct source_text *t)
{
    const struct source_ledger *l = &t->counted;
    return t->ended && l->read == l->parsed + l->rejects.count;
}

static enum st read_again(struct source_text *t, struct duck *d)
{
    int64_t rows;
    struct buf sql;
    forget_ledger(t);
    duck_feed(d, t->number, &t->feed);
    ingest_tell(t->progress, "reading", 0, 0);
    buf_init(&sql, 1024);
    buf_addstr(&sql, "SELECT count(*) FROM ");
    duck_add_name(&sql, t->source->name);
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_count(&rows, d, "reading a source", sql.data);
    buf_release(&sql);
    return st ? duck_feed_failure(d, t->number, st) : ST_OK;
}

static enum st check_ledger(const struct source_ledger *l, const struct store_source *s)
{
    if (l->read == l->parsed + l->unparsable)
        return ST_OK;
    return st_hint(st_fail(ST_INVALID, "LEDGER",
                           "the source %s has %llu records, but %llu were parsed and %llu refused: "
                           "rows would be lost",
                           s->name, (unsigned long long)l->read, (unsigned long long)l->parsed,
                           (unsigned long long)l->unparsable),
                   SOURCE_LEDGER_HINT);
}

enum st source_text_finish(struct source_ledger *ledger, struct source_text *t, struct duck *d,
                           bool failed)
{
    const struct store_source *s = t->source;
    enum st st = failed || !is_counted(t) ? read_again(t, d) : ST_OK;
    *ledger = t->counted; /* with what it owns */
    t->counted = (struct source_ledger){0};
    ledger->unparsable = ledger->rejects.count;
    rejects_sort(&ledger->rejects);
    if (!st)
        st = check_ledger(ledger, s);
    if (!st && (double)ledger->unparsable > s->max_reject_ratio * (double)ledger->read)
        st = rejects_fail(&ledger->rejects, s, t->files, ledger->read);
    return st;
}

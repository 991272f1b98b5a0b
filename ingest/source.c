#include "ingest/source_internal.h"

#include "ingest/reader.h"
#include "ingest/syntax.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void ingest_tell(const struct ingest_progress *p, const char *phase, uint64_t rows, uint64_t total)
{
    if (p && p->fn)
        p->fn(phase, rows, total, p->ctx);
}

uint64_t ingest_estimate(const struct ingest_progress *p, uint64_t rows)
{
    uint64_t read = p && p->extent ? atomic_load(&p->extent->read) : 0;
    uint64_t bytes = read ? atomic_load(&p->extent->bytes) : 0;

    return read && bytes >= read ? (uint64_t)((double)rows * ((double)bytes / (double)read)) : 0;
}

const struct store_column *source_declared(const struct store_source *s, const char *name)
{
    for (size_t i = 0; i < s->column_count; i++)
        if (!strcasecmp(s->columns[i].name, name))
            return &s->columns[i];
    return NULL;
}

const char *source_type(const struct store_source *s, const char *name)
{
    const struct store_column *c = source_declared(s, name);
    return c ? c->type : "VARCHAR";
}

static enum st check_type(struct duck *d, const struct store_source *s,
                          const struct store_column *c)
{
    struct duck_statement *statement = NULL;
    struct buf sql;
    buf_init(&sql, 4096);
    buf_addf(&sql, "SELECT CAST(NULL AS %s)", c->type);
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_prepare(&statement, d, sql.data);
    if (st == ST_INVALID)
        st = st_hint(st_fail(ST_INVALID, "SQL", "%s is not a type", c->type),
                     "types are DuckDB's: BOOLEAN, INTEGER, BIGINT, DOUBLE, DECIMAL(18,2), "
                     "VARCHAR, DATE, TIMESTAMP, VARCHAR[] ...");
    if (!st && s->format != STORE_PARQUET && !duck_statement_is_flat(statement, 0))
        st = st_hint(st_fail(ST_INVALID, "INVALID_DEFINITION",
                             "a column of CSV or NDJSON is a scalar or a list of scalars, and %s "
                             "is neither",
                             c->type),
                     "read it as VARCHAR, and take it apart in prepare");
    duck_statement_free(statement);
    buf_release(&sql);
    return st;
}

static enum st check_types(struct duck *d, const struct store_source *s)
{
    char pointer[256];
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < s->column_count; i++) {
        snprintf(pointer, sizeof pointer, "/sources/%s/columns/%s", s->name, s->columns[i].name);
        st = syntax_check_type(d, s->columns[i].type, pointer);
        if (!st && (st = check_type(d, s, &s->columns[i])))
            st = st_place(st, "%s", pointer);
    }
    return st;
}

enum st source_run(struct duck *d, const struct store_source *s, struct buf *sql)
{
    char what[STORE_NAME_SIZE + 32];
    snprintf(what, sizeof what, "loading the source %s", s->name);
    enum st st = buf_status(sql);
    return st ? st : duck_run(d, what, sql->data);
}

void source_begin_table(struct buf *sql, const struct store_source *s)
{
    buf_addstr(sql, "CREATE TABLE ");
    duck_add_name(sql, s->name);
}

void source_add_column(struct buf *sql, size_t index, const char *name, const char *type)
{
    buf_addstr(sql, index ? ", " : " (");
    duck_add_name(sql, name);
    buf_addf(sql, " %s", type);
}

/* All columns are in the definition: no file has to be asked. */
static bool knows_columns(const struct store_source *s)
{
    return s->columns_complete || s->dialect.name_count || s->format == STORE_NDJSON;
}

static enum st create_declared(struct duck *d, const struct store_source *s)
{
    struct buf sql;
    buf_init(&sql, 1u << 20);
    source_begin_table(&sql, s);
    for (size_t i = 0; i < s->dialect.name_count; i++)
        source_add_column(&sql, i, s->dialect.names[i], source_type(s, s->dialect.names[i]));
    for (size_t i = 0; !s->dialect.name_count && i < s->column_count; i++)
        source_add_column(&sql, i, s->columns[i].name, s->columns[i].type);
    buf_addch(&sql, ')');
    enum st st = source_run(d, s, &sql);
    buf_release(&sql);
    return st;
}

/* That they can be read at all is seen before the version's row exists. */
enum st source_ndjson_bind(struct duck *d, const struct store_source *s,
                           const struct task_source *files)
{
    enum st st = create_declared(d, s);
    for (size_t i = 0; !st && i < files->file_count; i++) {
        struct reader *reader = NULL;
        st = reader_open(&reader, &files->files[i], NULL);
        reader_close(reader);
    }
    return st;
}

enum st source_declare(struct duck *d, const struct task *t)
{
    const struct store_definition *def = t->definition;
    bool complete = true;
    for (size_t i = 0; i < def->source_count; i++) {
        enum st st = check_types(d, &def->sources[i]);
        if (st)
            return st;
        complete = complete && knows_columns(&def->sources[i]);
    }
    if (!complete)
        return ST_NOT_FOUND;
    for (size_t i = 0; i < def->source_count; i++) {
        enum st st = create_declared(d, &def->sources[i]);
        if (st)
            return st_place(st, "/sources/%s/columns", def->sources[i].name);
    }
    return ST_OK;
}

enum st source_note_file(struct source_ledger *ledger, const struct task_file *f,
                         const unsigned char sum[DIGEST_BYTES])
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(hex, sum, DIGEST_BYTES);
    if (!ledger->files)
        ledger->files = json_array();
    if (json_array_append_new(ledger->files,
                              json_pack("{s:s, s:I, s:s}", "file", task_file_name(f), "bytes",
                                        (json_int_t)f->stamp.bytes, "sha256", hex)))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    return ST_OK;
}

static enum st (*const binds[])(struct duck *d, const struct store_source *s,
                                const struct task_source *files) = {
    [STORE_CSV] = source_csv_bind,
    [STORE_PARQUET] = source_parquet_bind,
    [STORE_NDJSON] = source_ndjson_bind,
};

enum st source_bind(struct duck *d, const struct task *t)
{
    duck_guard(d, t->document);
    for (size_t i = 0; i < t->definition->source_count; i++) {
        const struct store_source *s = &t->definition->sources[i];
        if (!t->sources[i].file_count)
            return st_fail(ST_INVALID, "MISSING_SOURCE", "the source %s has no file", s->name);
        enum st st = check_types(d, s);
        if (!st)
            st = binds[s->format](d, s, &t->sources[i]);
        if (st)
            return st;
    }
    return ST_OK;
}

struct sources {
    struct duck *duck;
    const struct task *task;
    const struct ingest_progress *progress;
    struct source_text *texts[STORE_SOURCES_MAX]; /* NULL: of another format */
};

static uint64_t bytes_of(const struct task *t)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->definition->source_count; i++)
        for (size_t j = 0; j < t->sources[i].file_count; j++)
            bytes += t->sources[i].files[j].stamp.bytes;
    return bytes;
}

enum st source_open(struct sources **out, struct duck *d, const struct task *t,
                    const struct ingest_progress *progress)
{
    struct sources *all = *out = calloc(1, sizeof *all);
    enum st st = all ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    size_t texts = 0;
    if (all)
        *all = (struct sources){.duck = d, .task = t, .progress = progress};
    for (size_t i = 0; !st && i < t->definition->source_count; i++) {
        const struct store_source *s = &t->definition->sources[i];
        if (s->format != STORE_PARQUET)
            st = source_text_open(&all->texts[i], d, s, &t->sources[i], i, progress);
        texts += s->format != STORE_PARQUET;
    }
    /* Of Parquet nobody says how far it is. */
    if (texts == t->definition->source_count && progress && progress->extent)
        atomic_store(&progress->extent->bytes, bytes_of(t));
    return st;
}

enum st source_blame(enum st status, struct duck *d, const struct task *t)
{
    struct st_report report;
    enum st st = ST_OK;
    st_save(&report, status);
    bool unread = !strcmp(report.code, "SQL_RUNTIME") || !strcmp(report.code, "SOURCE_READ");
    bool data = unread || status == ST_INVALID || status == ST_REFUSED;
    for (size_t i = 0; data && !st && i < t->definition->source_count; i++)
        if (t->definition->sources[i].format == STORE_PARQUET)
            st = source_parquet_blame(d, &t->sources[i], unread);
    return st && !strcmp(st_code(), "PARQUET") ? st : st_restore(&report);
}

void source_close(struct sources *all)
{
    for (size_t i = 0; all && i < STORE_SOURCES_MAX; i++)
        source_text_close(all->texts[i]);
    free(all);
}

enum st source_place(struct sources *all, size_t i, const char *view, const char *column)
{
    const struct store_source *s = &all->task->definition->sources[i];
    struct buf sql;
    enum st st = ST_OK;
    buf_init(&sql, 16u << 20);
    buf_addf(&sql, "CREATE VIEW %s AS ", view);
    if (all->texts[i])
        source_text_add_select(&sql, all->texts[i], column);
    else
        st = source_parquet_add_placed(&sql, all->duck, &all->task->sources[i], column);
    if (!st)
        st = source_run(all->duck, s, &sql);
    buf_release(&sql);
    return st;
}

static enum st check_files(const struct task_source *s)
{
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < s->file_count; i++)
        st = task_file_check(&s->files[i]);
    return st;
}

enum st source_finish(struct source_ledger *ledgers, struct sources *all, bool failed)
{
    const struct task *t = all->task;
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < t->definition->source_count; i++)
        st = check_files(&t->sources[i]);
    for (size_t i = 0; !st && i < t->definition->source_count; i++)
        if (all->texts[i])
            st = source_text_finish(&ledgers[i], all->texts[i], all->duck, failed);
        else if (!failed)
            st = source_parquet_load(&ledgers[i], all->duck, &t->definition->sources[i],
                                     &t->sources[i], all->progress);
    return st;
}

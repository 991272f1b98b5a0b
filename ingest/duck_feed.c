/* "#read" is a table function whose rows come from the feed that is running, in as many threads as
 * the database has; "#keep" is a scalar function that is declared volatile, so that it is asked for
 * every row and no definition's SQL may call it. That "#read" cannot be called either is for
 * ingest/syntax_walk.c to hold: table functions that are not on its list are refused.
 */
#include "ingest/duck_internal.h"

#include <stdlib.h>
#include <string.h>

struct column {
    duckdb_vector vector;
    duckdb_string_t *values;
    uint64_t *validity; /* NULL: no nulls yet */
};

struct duck_rows {
    const struct duck_feed *feed;
    void *worker; /* the feed's */
    int64_t *places;
    struct column columns[];
};

/* The first failure of several threads is the one that counts. */
static void note_failure(struct duck *d, enum st st)
{
    pthread_mutex_lock(&d->feed_lock);
    if (!d->feed_failed)
        st_save(&d->feed_failure, st);
    d->feed_failed = true;
    pthread_mutex_unlock(&d->feed_lock);
}

static void read_bind(duckdb_bind_info info)
{
    struct duck *d = duckdb_bind_get_extra_info(info);
    char name[32];
    if (!d->feed) {
        duckdb_bind_set_error(info, "there is nothing to read");
        return;
    }
    duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    for (size_t i = 0; i < d->feed->columns; i++) {
        snprintf(name, sizeof name, "#%zu", i);
        duckdb_bind_add_result_column(info, name, text);
    }
    duckdb_bind_add_result_column(info, "#place", number);
    duckdb_destroy_logical_type(&text);
    duckdb_destroy_logical_type(&number);
}

static void read_init(duckdb_init_info info)
{
    const struct duck *d = duckdb_init_get_extra_info(info);
    duckdb_init_set_max_threads(info, d->threads);
}

static void end_worker(void *data)
{
    struct duck_rows *rows = data;
    rows->feed->close_fn(rows->worker);
    free(rows);
}

static void read_init_worker(duckdb_init_info info)
{
    struct duck *d = duckdb_init_get_extra_info(info);
    struct duck_rows *rows = calloc(1, sizeof *rows + d->feed->columns * sizeof *rows->columns);
    enum st st = rows ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st) {
        rows->feed = d->feed;
        st = d->feed->open_fn(&rows->worker, d->feed->ctx);
    }
    if (st) {
        note_failure(d, st);
        free(rows);
        duckdb_init_set_error(info, "the feed failed");
        return;
    }
    duckdb_init_set_init_data(info, rows, end_worker);
}

static void read_rows(duckdb_function_info info, duckdb_data_chunk chunk)
{
    struct duck *d = duckdb_function_get_extra_info(info);
    struct duck_rows *rows = duckdb_function_get_local_init_data(info);
    size_t count = 0, columns = rows->feed->columns;
    for (size_t i = 0; i < columns; i++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
        rows->columns[i] = (struct column){vector, duckdb_vector_get_data(vector), NULL};
    }
    rows->places = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, columns));
    enum st st = rows->feed->fill_fn(&count, rows, rows->worker);
    if (st) {
        note_failure(d, st);
        duckdb_function_set_error(info, "the feed failed");
        return;
    }
    duckdb_data_chunk_set_size(chunk, count);
}

size_t duck_rows_max(void)
{
    return duckdb_vector_size();
}

void duck_rows_put(struct duck_rows *rows, size_t row, const struct store_text *fields,
                   int64_t place)
{
    for (size_t i = 0; i < rows->feed->columns; i++) {
        struct column *c = &rows->columns[i];
        const struct store_text *f = &fields[i];
        duckdb_string_t *value = &c->values[row];
        if (!f->bytes) {
            if (!c->validity) {
                duckdb_vector_ensure_validity_writable(c->vector);
                c->validity = duckdb_vector_get_validity(c->vector);
            }
            duckdb_validity_set_row_invalid(c->validity, row);
        } else if (f->len <= sizeof value->value.inlined.inlined) {
            memset(value, 0, sizeof *value);
            value->value.inlined.length = (uint32_t)f->len;
            memcpy(value->value.inlined.inlined, f->bytes, f->len);
        } else {
            duckdb_vector_assign_string_element_len(c->vector, row, f->bytes, f->len);
        }
    }
    rows->places[row] = place;
}

static void keep(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const struct duck *d = duckdb_scalar_function_get_extra_info(info);
    const int32_t *columns = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 0));
    const int64_t *places = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 1));
    bool *kept = duckdb_vector_get_data(output);
    size_t count = duckdb_data_chunk_get_size(input);
    for (size_t i = 0; i < count; i++) {
        kept[i] = columns[i] == 0;
        if (!kept[i])
            d->feed->reject_fn(places[i], columns[i], d->feed->ctx);
    }
}

static bool register_read(struct duck *d)
{
    duckdb_table_function f = duckdb_create_table_function();
    duckdb_table_function_set_name(f, "#read");
    duckdb_table_function_set_extra_info(f, d, NULL);
    duckdb_table_function_set_bind(f, read_bind);
    duckdb_table_function_set_init(f, read_init);
    duckdb_table_function_set_local_init(f, read_init_worker);
    duckdb_table_function_set_function(f, read_rows);
    bool done = duckdb_register_table_function(d->connection, f) == DuckDBSuccess;
    duckdb_destroy_table_function(&f);
    return done;
}

static bool register_keep(struct duck *d)
{
    static const duckdb_type types[] = {DUCKDB_TYPE_INTEGER, DUCKDB_TYPE_BIGINT,
                                        DUCKDB_TYPE_BOOLEAN};
    duckdb_scalar_function f = duckdb_create_scalar_function();
    duckdb_scalar_function_set_name(f, "#keep");
    duckdb_scalar_function_set_extra_info(f, d, NULL);
    duckdb_scalar_function_set_volatile(f);
    for (size_t i = 0; i < 3; i++) {
        duckdb_logical_type type = duckdb_create_logical_type(types[i]);
        if (i < 2)
            duckdb_scalar_function_add_parameter(f, type);
        else
            duckdb_scalar_function_set_return_type(f, type);
        duckdb_destroy_logical_type(&type);
    }
    duckdb_scalar_function_set_function(f, keep);
    bool done = duckdb_register_scalar_function(d->connection, f) == DuckDBSuccess;
    duckdb_destroy_scalar_function(&f);
    return done;
}

enum st duck_register_feed(struct duck *d)
{
    return register_read(d) && register_keep(d)
               ? ST_OK
               : st_fail(ST_UNAVAILABLE, NULL, "the database does not take our functions");
}

enum st duck_feed(int64_t *rows, struct duck *d, const struct duck_feed *feed, const char *what,
                  const char *sql)
{
    d->feed = feed;
    d->feed_failed = false;
    enum st st = duck_count(rows, d, what, sql);
    d->feed = NULL;
    return st && d->feed_failed ? st_restore(&d->feed_failure) : st;
}

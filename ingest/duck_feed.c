/* "#read"(number) is a table function whose rows come from the feed of that number, in as many
 * threads as the database has; "#keep" is a scalar function that is declared volatile, so that it
 * is asked for every row and no definition's SQL may call it. That "#read" cannot be called either
 * is for ingest/syntax_walk.c to hold: table functions that are not on its list are refused.
 */
#include "ingest/duck_internal.h"

#include "base/word.h"

#include <stdlib.h>
#include <string.h>

struct column {
    duckdb_vector vector;
    duckdb_string_t *values; /* NULL: nobody asks for it */
    uint64_t *validity;      /* NULL: no nulls yet */
};

/* One reading of a relation. */
struct reading {
    struct duck *duck;
    struct duck_feed_slot *slot;
    const struct duck_feed *feed;  /* the slot's, which may be fed anew before this one is ended */
    void (*end_fn)(void *reading); /* its own: the feed may be gone by then */
    void *reading;                 /* the feed's */
    size_t *columns;               /* that are asked for, in the order of the chunk's vectors */
    size_t column_count;
};

struct duck_rows {
    const struct duck_feed *feed;
    void (*close_fn)(void *worker); /* likewise */
    void *worker;                   /* the feed's */
    int64_t *places;
    struct column columns[];
};

/* The first failure of several threads is the one that counts. */
static void note_failure(struct duck *d, struct duck_feed_slot *slot, enum st st)
{
    pthread_mutex_lock(&d->feed_lock);
    if (!slot->failure.status)
        st_save(&slot->failure, st);
    pthread_mutex_unlock(&d->feed_lock);
}

static void read_bind(duckdb_bind_info info)
{
    struct duck *d = duckdb_bind_get_extra_info(info);
    char name[32];
    duckdb_value parameter = duckdb_bind_get_parameter(info, 0);
    int64_t number = duckdb_get_int64(parameter);
    duckdb_destroy_value(&parameter);
    if (number < 0 || number >= STORE_SOURCES_MAX || !d->feeds[number].feed) {
        duckdb_bind_set_error(info, "there is nothing to read");
        return;
    }
    const struct duck_feed *feed = d->feeds[number].feed;
    duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    duckdb_logical_type place = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    for (size_t i = 0; i < feed->columns; i++) {
        snprintf(name, sizeof name, "#%zu", i);
        duckdb_bind_add_result_column(info, name, text);
    }
    duckdb_bind_add_result_column(info, "#place", place);
    duckdb_bind_set_cardinality(info, feed->rows, false);
    duckdb_bind_set_bind_data(info, &d->feeds[number], NULL);
    duckdb_destroy_logical_type(&text);
    duckdb_destroy_logical_type(&place);
}

static void end_reading(void *data)
{
    struct reading *r = data;
    if (r->reading)
        r->end_fn(r->reading);
    free(r->columns);
    free(r);
}

static void read_init(duckdb_init_info info)
{
    struct duck *d = duckdb_init_get_extra_info(info);
    struct duck_feed_slot *slot = duckdb_init_get_bind_data(info);
    size_t count = duckdb_init_get_column_count(info);
    struct reading *r = calloc(1, sizeof *r);
    enum st st = r ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    if (r) {
        *r = (struct reading){.duck = d,
                              .slot = slot,
                              .feed = slot->feed,
                              .end_fn = slot->feed->end_fn,
                              .columns = calloc(count + 1, sizeof *r->columns),
                              .column_count = count};
        st = r->columns ? slot->feed->begin_fn(&r->reading, slot->feed->ctx)
                        : st_fail(ST_NOMEM, NULL, "out of memory");
    }
    if (st) {
        note_failure(d, slot, st);
        if (r)
            end_reading(r);
        duckdb_init_set_error(info, "the feed failed");
        return;
    }
    for (size_t i = 0; i < count; i++)
        r->columns[i] = duckdb_init_get_column_index(info, i);
    duckdb_init_set_init_data(info, r, end_reading);
    duckdb_init_set_max_threads(info, d->threads);
}

static void end_worker(void *data)
{
    struct duck_rows *rows = data;
    rows->close_fn(rows->worker);
    free(rows);
}

/* The reading is not known here yet: its worker is made when it is first asked for rows. */
static void read_init_worker(duckdb_init_info info)
{
    struct duck *d = duckdb_init_get_extra_info(info);
    struct duck_feed_slot *slot = duckdb_init_get_bind_data(info);
    size_t columns = slot->feed->columns;
    struct duck_rows *rows = calloc(1, sizeof *rows + columns * sizeof *rows->columns);
    if (!rows) {
        note_failure(d, slot, st_fail(ST_NOMEM, NULL, "out of memory"));
        duckdb_init_set_error(info, "the feed failed");
        return;
    }
    rows->feed = slot->feed;
    rows->close_fn = slot->feed->close_fn;
    duckdb_init_set_init_data(info, rows, end_worker);
}

static enum st fill(size_t *count, struct duck_rows *rows, const struct reading *r,
                    duckdb_data_chunk chunk)
{
    rows->places = NULL;
    memset(rows->columns, 0, rows->feed->columns * sizeof *rows->columns);
    for (size_t i = 0; i < r->column_count; i++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
        if (r->columns[i] < rows->feed->columns)
            rows->columns[r->columns[i]] =
                (struct column){vector, duckdb_vector_get_data(vector), NULL};
        else if (r->columns[i] == rows->feed->columns)
            rows->places = duckdb_vector_get_data(vector);
    }
    enum st st = rows->worker ? ST_OK : rows->feed->open_fn(&rows->worker, r->reading);
    return st ? st : rows->feed->fill_fn(count, rows, rows->worker);
}

static void read_rows(duckdb_function_info info, duckdb_data_chunk chunk)
{
    const struct reading *r = duckdb_function_get_init_data(info);
    size_t count = 0;
    enum st st = fill(&count, duckdb_function_get_local_init_data(info), r, chunk);
    if (st) {
        note_failure(r->duck, r->slot, st);
        duckdb_function_set_error(info, "the feed failed");
        return;
    }
    duckdb_data_chunk_set_size(chunk, count);
}

size_t duck_rows_max(void)
{
    return duckdb_vector_size();
}

/* At most 12 bytes; zero behind them. */
static void put_short(duckdb_string_t *out, const char *bytes, size_t len)
{
    bool more = len > WORD_BYTES;
    uint64_t first = len >= WORD_BYTES ? word_load(bytes) : word_load_part(bytes, len);
    uint64_t second = more ? word_load_part(bytes + WORD_BYTES, len - WORD_BYTES) : 0;
    uint32_t last = htole32((uint32_t)second);
    out->value.inlined.length = (uint32_t)len;
    word_store(out->value.inlined.inlined, first);
    memcpy(out->value.inlined.inlined + WORD_BYTES, &last, sizeof last);
}

void duck_rows_put(struct duck_rows *rows, size_t row, const struct store_text *fields,
                   int64_t place)
{
    for (size_t i = 0; i < rows->feed->columns; i++) {
        struct column *c = &rows->columns[i];
        const struct store_text *f = &fields[i];
        if (!c->values)
            continue;
        duckdb_string_t *value = &c->values[row];
        if (!f->bytes) {
            if (!c->validity) {
                duckdb_vector_ensure_validity_writable(c->vector);
                c->validity = duckdb_vector_get_validity(c->vector);
            }
            duckdb_validity_set_row_invalid(c->validity, row);
        } else if (f->len <= sizeof value->value.inlined.inlined) {
            put_short(value, f->bytes, f->len);
        } else {
            duckdb_vector_assign_string_element_len(c->vector, row, f->bytes, f->len);
        }
    }
    if (rows->places)
        rows->places[row] = place;
}

static void keep(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const struct duck *d = duckdb_scalar_function_get_extra_info(info);
    const int64_t *numbers = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 0));
    const int32_t *columns = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 1));
    const int64_t *places = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 2));
    bool *kept = duckdb_vector_get_data(output);
    size_t count = duckdb_data_chunk_get_size(input);
    for (size_t i = 0; i < count; i++)
        kept[i] = columns[i] == 0;
    if (count) {
        const struct duck_feed *feed = d->feeds[numbers[0]].feed;
        feed->see_fn(columns, places, count, feed->ctx);
    }
}

static bool register_read(struct duck *d)
{
    duckdb_table_function f = duckdb_create_table_function();
    duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    duckdb_table_function_set_name(f, "#read");
    duckdb_table_function_add_parameter(f, number);
    duckdb_table_function_supports_projection_pushdown(f, true);
    duckdb_table_function_set_extra_info(f, d, NULL);
    duckdb_table_function_set_bind(f, read_bind);
    duckdb_table_function_set_init(f, read_init);
    duckdb_table_function_set_local_init(f, read_init_worker);
    duckdb_table_function_set_function(f, read_rows);
    bool done = duckdb_register_table_function(d->connection, f) == DuckDBSuccess;
    duckdb_destroy_table_function(&f);
    duckdb_destroy_logical_type(&number);
    return done;
}

static bool register_keep(struct duck *d)
{
    static const duckdb_type types[] = {DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_INTEGER, DUCKDB_TYPE_BIGINT,
                                        DUCKDB_TYPE_BOOLEAN};
    duckdb_scalar_function f = duckdb_create_scalar_function();
    duckdb_scalar_function_set_name(f, "#keep");
    duckdb_scalar_function_set_extra_info(f, d, NULL);
    duckdb_scalar_function_set_volatile(f);
    for (size_t i = 0; i < 4; i++) {
        duckdb_logical_type type = duckdb_create_logical_type(types[i]);
        if (i < 3)
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

void duck_feed(struct duck *d, size_t number, const struct duck_feed *feed)
{
    d->feeds[number] = (struct duck_feed_slot){.feed = feed};
}

enum st duck_feed_failure(const struct duck *d, size_t number, enum st st)
{
    const struct st_report *failure = &d->feeds[number].failure;
    return failure->status ? st_restore(failure) : st;
}

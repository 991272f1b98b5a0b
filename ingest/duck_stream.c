#include "ingest/duck_internal.h"

#include <stdlib.h>

struct duck_stream {
    struct duck *duck;
    duckdb_result result;
    bool has_result;
    uint64_t rows; /* seen so far */
    duckdb_data_chunk chunk;
};

enum st duck_stream_open(struct duck_stream **out, struct duck_statement *statement)
{
    enum st st = ST_OK;
    struct duck_stream *s = calloc(1, sizeof *s);
    if (!s)
        return st_fail(ST_NOMEM, NULL, "cannot allocate a stream");
    s->duck = statement->duck;
    /* Not the streaming interface: its chunks hold vectors that are not flat, and the C API has no
     * function that flattens them. Nor the statement as it was bound: its plan was made from the
     * statistics of empty tables, and a plan that relies on them (strings compressed to fit what
     * was there, perfect hashing) gives wrong rows once the tables are full. */
    s->has_result = true;
    if (duckdb_query(s->duck->connection, statement->sql, &s->result) != DuckDBSuccess)
        st = duck_fail_class(duckdb_result_error_type(&s->result), "running prepare");
    if (st) {
        duck_stream_close(s);
        s = NULL;
    }
    *out = s;
    return st;
}

static enum st stream_end(struct duck_stream *s)
{
    uint64_t rows = duckdb_row_count(&s->result);
    if (duckdb_result_error(&s->result))
        return duck_fail_class(duckdb_result_error_type(&s->result), "running prepare");
    if (rows != s->rows)
        return st_fail(ST_INVALID, "LEDGER",
                       "prepare gave %llu rows, but only %llu came out of the database",
                       (unsigned long long)rows, (unsigned long long)s->rows);
    return ST_END;
}

/* A chunk without rows is not the end. */
enum st duck_stream_next(struct duck_stream *s, size_t *rows)
{
    *rows = 0;
    while (!*rows) {
        if (s->chunk)
            duckdb_destroy_data_chunk(&s->chunk);
        s->chunk = duckdb_fetch_chunk(s->result);
        if (!s->chunk)
            return stream_end(s);
        *rows = duckdb_data_chunk_get_size(s->chunk);
    }
    s->rows += *rows;
    return ST_OK;
}

struct duck_column duck_stream_column(struct duck_stream *s, size_t i)
{
    duckdb_vector vector = duckdb_data_chunk_get_vector(s->chunk, i);
    return (struct duck_column){duckdb_vector_get_data(vector), duckdb_vector_get_validity(vector)};
}

void duck_stream_close(struct duck_stream *s)
{
    if (!s)
        return;
    if (s->chunk)
        duckdb_destroy_data_chunk(&s->chunk);
    if (s->has_result)
        duckdb_destroy_result(&s->result);
    free(s);
}

struct store_text duck_varchar(const struct duck_column *c, size_t row)
{
    if (duck_is_null(c, row))
        return (struct store_text){NULL, 0};
    const duckdb_string_t *s = (const duckdb_string_t *)c->data + row;
    size_t len = s->value.inlined.length;
    const char *bytes = len <= 12 ? s->value.inlined.inlined : s->value.pointer.ptr;
    return (struct store_text){bytes, len};
}

/* A statement's rows go through a function of ours, on the threads that make them: nothing is kept
 * in between, and what is done with the rows is done on all cores. The C API's streams would have
 * one consumer, and vectors that are not flat; a function's arguments are.
 *
 * It runs the statement's text and not its plan, because that was made from the statistics of empty
 * tables, and a plan that relies on them (strings compressed to fit what was there, perfect
 * hashing) gives wrong rows once the tables are full. */
#include "ingest/duck_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct taker {
    duck_rows_fn fn; /* NULL: the query is over */
    void *ctx;
    size_t columns;
    atomic_uint_fast64_t rows;
    pthread_mutex_t lock; /* of the first failure */
    struct st_report failure;
};

static void fail(duckdb_function_info info, struct taker *t, enum st st)
{
    pthread_mutex_lock(&t->lock);
    if (!t->failure.status)
        st_save(&t->failure, st);
    pthread_mutex_unlock(&t->lock);
    duckdb_scalar_function_set_error(info, "rows cannot be taken");
}

static void take(duckdb_function_info info, duckdb_data_chunk chunk, duckdb_vector output)
{
    struct taker *t = duckdb_scalar_function_get_extra_info(info);
    struct duck_column columns[DUCK_COLUMNS_MAX];
    size_t rows = duckdb_data_chunk_get_size(chunk);
    int64_t *out = duckdb_vector_get_data(output);
    for (size_t i = 0; i < t->columns; i++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
        columns[i] = (struct duck_column){duckdb_vector_get_data(vector),
                                          duckdb_vector_get_validity(vector)};
    }
    enum st st = t->fn ? t->fn(columns, rows, t->ctx)
                       : st_fail(ST_UNAVAILABLE, NULL, "nobody takes rows any more");
    for (size_t i = 0; i < rows; i++)
        out[i] = 1;
    t->rows += rows;
    if (st)
        fail(info, t, st);
}

static void free_taker(void *ctx)
{
    struct taker *t = ctx;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static enum st register_taker(struct duck *d, const char *name, struct taker *t)
{
    duckdb_logical_type any = duckdb_create_logical_type(DUCKDB_TYPE_ANY);
    duckdb_logical_type bigint = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    duckdb_scalar_function f = duckdb_create_scalar_function();
    duckdb_scalar_function_set_name(f, name);
    duckdb_scalar_function_set_varargs(f, any);
    duckdb_scalar_function_set_return_type(f, bigint);
    duckdb_scalar_function_set_special_handling(f); /* nulls are handed over, too */
    duckdb_scalar_function_set_volatile(f);
    duckdb_scalar_function_set_function(f, take);
    duckdb_scalar_function_set_extra_info(f, t, free_taker);
    bool good = duckdb_register_scalar_function(d->connection, f) == DuckDBSuccess;
    duckdb_destroy_scalar_function(&f);
    duckdb_destroy_logical_type(&bigint);
    duckdb_destroy_logical_type(&any);
    return good ? ST_OK : st_fail(ST_UNAVAILABLE, NULL, "the database takes no function");
}

/* SELECT sum("#take1"("#0", "#1")) FROM (...) AS "#rows"("#0", "#1") */
static void add_query(struct buf *sql, const char *name, size_t columns, const char *statement)
{
    buf_addstr(sql, "SELECT CAST(sum(");
    duck_add_name(sql, name);
    for (size_t i = 0; i < columns; i++)
        buf_addf(sql, "%s\"#%zu\"", i ? ", " : "(", i);
    buf_addf(sql, ")) AS BIGINT) FROM (%s\n) AS \"#rows\"", statement);
    for (size_t i = 0; i < columns; i++)
        buf_addf(sql, "%s\"#%zu\"", i ? ", " : "(", i);
    buf_addch(sql, ')');
}

enum st duck_each(struct duck_statement *statement, duck_rows_fn fn, void *ctx)
{
    struct duck *d = statement->duck;
    struct taker *t = calloc(1, sizeof *t);
    char name[32];
    struct buf sql;
    int64_t rows = 0;
    if (!t)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    t->fn = fn;
    t->ctx = ctx;
    t->columns = duck_statement_columns(statement);
    pthread_mutex_init(&t->lock, NULL);
    snprintf(name, sizeof name, "#take%u", ++d->takers);
    buf_init(&sql, 16u << 20);
    enum st st = register_taker(d, name, t); /* it is the database's from here on */
    if (!st) {
        add_query(&sql, name, t->columns, statement->sql);
        st = buf_status(&sql);
    }
    if (!st) {
        st = duck_count(&rows, d, "running prepare", sql.data);
        t->fn = NULL;
        if (t->failure.status)
            st = st_restore(&t->failure);
        else if (!st && (uint64_t)rows != t->rows)
            st = st_fail(ST_INVALID, "LEDGER",
                         "prepare gave %lld rows, but %llu came out of the database",
                         (long long)rows, (unsigned long long)t->rows);
    }
    buf_release(&sql);
    return st;
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

/* The lock-down, in the order it must happen: caps and the list of files while configuration is
 * open, then no external access, then no configuration. enable_external_access=false refuses every
 * path but those of allowed_paths, also to COPY, ATTACH, INSTALL, LOAD and glob(); what is on the
 * list could still be written by COPY ... TO, so a definition's statement must be a SELECT.
 *
 * There is no temporary directory: 1.4.4 encrypts temporary files only with OpenSSL from the httpfs
 * extension, which must not be downloaded, and rows of a protected dataset must not be written in
 * the clear. What does not fit in memory fails with OUT_OF_MEMORY and says which option raises it.
 */
#include "ingest/duck_internal.h"

#include <stdlib.h>
#include <string.h>

/* What a failure at run time is called: by its class alone. */
enum st duck_fail_class(duckdb_error_type type, const char *what)
{
    static const struct {
        duckdb_error_type type;
        enum st status;
        const char *code, *text;
    } classes[] = {
        {DUCKDB_ERROR_OUT_OF_RANGE, ST_INVALID, "SQL_RUNTIME", "a number is out of range"},
        {DUCKDB_ERROR_CONVERSION, ST_INVALID, "SQL_RUNTIME",
         "a value cannot be converted to the type it is cast to (TRY_CAST gives null instead)"},
        {DUCKDB_ERROR_DECIMAL, ST_INVALID, "SQL_RUNTIME", "a decimal is out of range"},
        {DUCKDB_ERROR_DIVIDE_BY_ZERO, ST_INVALID, "SQL_RUNTIME", "division by zero"},
        {DUCKDB_ERROR_MISMATCH_TYPE, ST_INVALID, "SQL_RUNTIME", "types do not match"},
        {DUCKDB_ERROR_INVALID_INPUT, ST_INVALID, "SQL_RUNTIME", "a function refused its input"},
        {DUCKDB_ERROR_OUT_OF_MEMORY, ST_NOMEM, "OUT_OF_MEMORY", "it needs more memory"},
        {DUCKDB_ERROR_IO, ST_IO, "SOURCE_READ", "a file cannot be read as what it is said to be"},
        {DUCKDB_ERROR_PERMISSION, ST_DENIED, "SQL_RUNTIME",
         "a file that is not part of the batch was named"},
        {DUCKDB_ERROR_INTERRUPT, ST_UNAVAILABLE, "CANCELED", "it was interrupted"},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].type == type) {
            enum st st =
                st_fail(classes[i].status, classes[i].code, "%s: %s", what, classes[i].text);
            return type == DUCKDB_ERROR_OUT_OF_MEMORY ? st_hint(st, "raise --memory") : st;
        }
    return st_fail(ST_INVALID, "SQL_RUNTIME", "%s failed (error class %d)", what, (int)type);
}

static enum st query(duckdb_result *result, struct duck *d, const char *what, const char *sql)
{
    if (duckdb_query(d->connection, sql, result) == DuckDBSuccess)
        return ST_OK;
    enum st st = duck_fail_class(duckdb_result_error_type(result), what);
    duckdb_destroy_result(result);
    return st;
}

static enum st lock_down(struct duck *d, const struct duck_options *options)
{
    struct buf sql;
    buf_init(&sql, 64u << 20);
    buf_addstr(&sql, "SET allowed_paths=[");
    for (size_t i = 0; i < options->file_count; i++) {
        if (i)
            buf_addch(&sql, ',');
        duck_add_literal(&sql, options->files[i]);
    }
    buf_addstr(&sql, "];"
                     "SET temp_directory='';"
                     "SET temp_file_encryption=true;"
                     "SET TimeZone='UTC';"
                     "SET errors_as_json=true;"
                     "SET enable_external_access=false;"
                     "SET lock_configuration=true;");
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_run(d, "locking the database", sql.data);
    buf_release(&sql);
    return st;
}

enum st duck_open(struct duck **out, const struct duck_options *options)
{
    char memory[32], threads[16];
    snprintf(memory, sizeof memory, "%lluB",
             (unsigned long long)(options->memory_bytes ? options->memory_bytes : 1ull << 30));
    snprintf(threads, sizeof threads, "%u", options->threads ? options->threads : 1);
    const char *const settings[][2] = {
        {"memory_limit", memory},
        {"threads", threads},
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},
        {"preserve_insertion_order", "false"},
    };
    enum st st = ST_OK;
    duckdb_config config = NULL;
    char *error = NULL;
    struct duck *d = calloc(1, sizeof *d);
    if (!d || duckdb_create_config(&config) != DuckDBSuccess) {
        st = st_fail(ST_NOMEM, NULL, "cannot allocate the database");
        goto done;
    }
    d->threads = options->threads ? options->threads : 1;
    pthread_mutex_init(&d->feed_lock, NULL);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (duckdb_set_config(config, settings[i][0], settings[i][1]) != DuckDBSuccess) {
            st = st_fail(ST_INVALID, NULL, "the database refuses %s = %s", settings[i][0],
                         settings[i][1]);
            goto done;
        }
    if (duckdb_open_ext(NULL, &d->database, config, &error) != DuckDBSuccess ||
        duckdb_connect(d->database, &d->connection) != DuckDBSuccess) {
        st = st_fail(ST_UNAVAILABLE, NULL, "cannot open the in-memory database");
        goto done;
    }
    st = duck_register_feed(d);
    if (!st)
        st = duck_register_shaped(d);
    if (!st)
        st = lock_down(d, options);
done:
    duckdb_free(error);
    duckdb_destroy_config(&config);
    if (st) {
        duck_close(d);
        d = NULL;
    }
    *out = d;
    return st;
}

void duck_close(struct duck *d)
{
    if (!d)
        return;
    if (d->connection)
        duckdb_disconnect(&d->connection);
    if (d->database)
        duckdb_close(&d->database);
    pthread_mutex_destroy(&d->feed_lock);
    json_decref(d->functions);
    free(d);
}

enum st duck_run(struct duck *d, const char *what, const char *sql)
{
    duckdb_result result;
    enum st st = query(&result, d, what, sql);
    if (!st)
        duckdb_destroy_result(&result);
    return st;
}

enum st duck_text(struct buf *out, size_t *rows, size_t *columns, struct duck *d, const char *what,
                  const char *sql)
{
    duckdb_result result;
    enum st st = query(&result, d, what, sql);
    if (st)
        return st;
    *columns = duckdb_column_count(&result);
    *rows = 0;
    for (;;) {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
        if (!chunk)
            break;
        size_t count = duckdb_data_chunk_get_size(chunk);
        for (size_t r = 0; r < count; r++)
            for (size_t c = 0; c < *columns; c++) {
                duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, c);
                struct duck_column column = {duckdb_vector_get_data(vector),
                                             duckdb_vector_get_validity(vector)};
                struct store_text text = duck_varchar(&column, r);
                buf_add(out, text.bytes ? text.bytes : "", text.len);
                buf_addch(out, '\0');
            }
        *rows += count;
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return buf_status(out);
}

enum st duck_count(int64_t *out, struct duck *d, const char *what, const char *sql)
{
    duckdb_result result;
    enum st st = query(&result, d, what, sql);
    if (st)
        return st;
    duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
    *out = 0;
    if (!chunk || !duckdb_data_chunk_get_size(chunk) ||
        duckdb_column_type(&result, 0) != DUCKDB_TYPE_BIGINT) {
        st = st_fail(ST_UNAVAILABLE, NULL, "%s: the database did not give a count", what);
    } else {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 0);
        const uint64_t *validity = duckdb_vector_get_validity(vector);
        if (!validity || duckdb_validity_row_is_valid((uint64_t *)(uintptr_t)validity, 0))
            *out = *(int64_t *)duckdb_vector_get_data(vector);
    }
    if (chunk)
        duckdb_destroy_data_chunk(&chunk);
    duckdb_destroy_result(&result);
    return st;
}

enum st duck_syntax(struct buf *out, struct duck *d, const char *sql)
{
    struct buf text;
    buf_init(&text, 4u << 20);
    buf_addstr(&text, "SELECT json_serialize_sql(");
    duck_add_literal(&text, sql);
    buf_addstr(&text, ")::VARCHAR");
    enum st st = buf_status(&text);
    size_t rows, columns;
    if (!st)
        st = duck_text(out, &rows, &columns, d, "parsing the definition's SQL", text.data);
    buf_release(&text);
    return st;
}

static void add_quoted(struct buf *b, const char *text, char quote)
{
    buf_addch(b, quote);
    for (; *text; text++) {
        if (*text == quote)
            buf_addch(b, quote);
        buf_addch(b, *text);
    }
    buf_addch(b, quote);
}

void duck_add_literal(struct buf *b, const char *text)
{
    add_quoted(b, text, '\'');
}

void duck_add_name(struct buf *b, const char *name)
{
    add_quoted(b, name, '"');
}

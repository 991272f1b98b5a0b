/* "#shaped"(text, shape) is record_has_shape in SQL. Null is of any shape. */
#include "ingest/duck_internal.h"

#include "ingest/records.h"

static void shaped(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    duckdb_vector vector = duckdb_data_chunk_get_vector(input, 0);
    const struct duck_column texts = {duckdb_vector_get_data(vector),
                                      duckdb_vector_get_validity(vector)};
    const int32_t *shapes = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 1));
    bool *is_shaped = duckdb_vector_get_data(output);
    size_t count = duckdb_data_chunk_get_size(input);
    (void)info;
    for (size_t i = 0; i < count; i++) {
        struct store_text text = duck_varchar(&texts, i);
        is_shaped[i] =
            !text.bytes || record_has_shape((unsigned char)shapes[i], text.bytes, text.len);
    }
}

enum st duck_register_shaped(struct duck *d)
{
    duckdb_scalar_function f = duckdb_create_scalar_function();
    duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    duckdb_logical_type shape = duckdb_create_logical_type(DUCKDB_TYPE_INTEGER);
    duckdb_logical_type answer = duckdb_create_logical_type(DUCKDB_TYPE_BOOLEAN);
    duckdb_scalar_function_set_name(f, "#shaped");
    duckdb_scalar_function_add_parameter(f, text);
    duckdb_scalar_function_add_parameter(f, shape);
    duckdb_scalar_function_set_return_type(f, answer);
    duckdb_scalar_function_set_function(f, shaped);
    bool done = duckdb_register_scalar_function(d->connection, f) == DuckDBSuccess;
    duckdb_destroy_scalar_function(&f);
    duckdb_destroy_logical_type(&text);
    duckdb_destroy_logical_type(&shape);
    duckdb_destroy_logical_type(&answer);
    return done ? ST_OK : st_fail(ST_UNAVAILABLE, NULL, "the database does not take our functions");
}

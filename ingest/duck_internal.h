/* What the files about DuckDB share. */
#ifndef EVERLINE_INGEST_DUCK_INTERNAL_H
#define EVERLINE_INGEST_DUCK_INTERNAL_H

#include "ingest/duck.h"

#include <duckdb.h>

struct duck {
    duckdb_database database;
    duckdb_connection connection;
    size_t error_offset;
    unsigned takers;     /* functions that were registered for duck_each */
    const json_t *guard; /* the document whose words may be said; NULL: anything */
};

struct duck_statement {
    struct duck *duck;
    duckdb_prepared_statement prepared;
    char *sql;
    const char *names[DUCK_COLUMNS_MAX];
};

/* A failure while rows are read, by its class alone. */
enum st duck_fail_class(duckdb_error_type type, const char *what);

#endif

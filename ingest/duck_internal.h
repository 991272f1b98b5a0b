/* What the files about DuckDB share. */
#ifndef EVERLINE_INGEST_DUCK_INTERNAL_H
#define EVERLINE_INGEST_DUCK_INTERNAL_H

#include "ingest/duck.h"

#include <duckdb.h>
#include <pthread.h>

struct duck {
    duckdb_database database;
    duckdb_connection connection;
    size_t error_offset;
    unsigned takers;     /* functions that were registered for duck_each */
    const json_t *guard; /* the document whose words may be said; NULL: anything */
    unsigned threads;
    /* What runs now, and its first failure. */
    const struct duck_feed *feed;
    pthread_mutex_t feed_lock;
    bool feed_failed;
    struct st_report feed_failure;
};

/* Makes "#read" and "#keep" known. */
enum st duck_register_feed(struct duck *d) ST_MUST_USE;

struct duck_statement {
    struct duck *duck;
    duckdb_prepared_statement prepared;
    char *sql;
    const char *names[DUCK_COLUMNS_MAX];
};

/* A failure while rows are read, by its class alone. */
enum st duck_fail_class(duckdb_error_type type, const char *what);

#endif

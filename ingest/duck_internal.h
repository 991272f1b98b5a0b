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
    json_t *functions;   /* of duck_function; NULL: not asked for yet */
    unsigned threads;
    pthread_mutex_t feed_lock; /* of the feeds' failures */
    struct duck_feed_slot {
        const struct duck_feed *feed; /* NULL: none has this number */
        struct st_report failure;     /* its first */
    } feeds[STORE_SOURCES_MAX];
};

/* Makes "#read" and "#keep" known. */
enum st duck_register_feed(struct duck *d) ST_MUST_USE;
/* Makes "#shaped" known. */
enum st duck_register_shaped(struct duck *d) ST_MUST_USE;

struct duck_statement {
    struct duck *duck;
    duckdb_prepared_statement prepared;
    char *sql;
    const char *names[DUCK_COLUMNS_MAX];
};

/* A failure while rows are read, by its class alone. */
enum st duck_fail_class(duckdb_error_type type, const char *what);

#endif

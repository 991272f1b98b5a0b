/* What the files of the collector share. */
#ifndef EVERLINE_INGEST_COLLECT_INTERNAL_H
#define EVERLINE_INGEST_COLLECT_INTERNAL_H

#include "ingest/collect.h"

#include <pthread.h>

#define COLLECT_RULE_NAME 96

struct collect_rule {
    char name[COLLECT_RULE_NAME];
    uint64_t count;
};

/* What one thread works with, while it has a chunk of rows. */
struct collect_worker {
    const struct collector *shared;
    struct store_hasher *hasher;
    struct store_keys *many;
    struct sort_lane *lane;
    struct buf payload;
    const struct duck_column *columns; /* of the chunk */
    size_t kept[STORE_KEYS_MAX]; /* rows of it whose keys are summed at once, and their keys */
    unsigned char keys[STORE_KEYS_MAX][DIGEST_BYTES];
    const unsigned char *input; /* of the row's next term */
    uint64_t *broken_rules;     /* rows, by rule; each row counts once */
    uint64_t broken_checks[STORE_CHECKS_MAX];
    size_t broken_rule;    /* by the row that was looked at last */
    struct rejects places; /* of a placed plan */
    struct collect_worker *next_idle;
};

struct collector {
    const struct store_definition *definition;
    const struct plan *plan;
    bool has_judged; /* the payload */
    /* key_<field>..., of a series key_<sort>, cast_<field>..., row_size, dimensions_<rollup>...,
     * not_finite, <check>... */
    struct collect_rule *rules;
    size_t rule_count;
    size_t sort, first_cast, row_size, first_dimensions, not_finite, first_check;
    struct collect_worker *workers;
    size_t worker_count;
    const struct ingest_progress *progress;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t is_idle;
    struct collect_worker *idle;
    uint64_t prepared;
};

/* All rows of a chunk. */
enum st collect_chunk(struct collect_worker *w, const struct duck_column *columns,
                      size_t rows) ST_MUST_USE;

#endif

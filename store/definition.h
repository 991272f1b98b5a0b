/* Dataset definitions (DESIGN section 4): parsed once, immutable, freed whole. What is known
 * without SQL is checked here; SQL is checked by the ingest's short-lived child. */
#ifndef EVERLINE_STORE_DEFINITION_H
#define EVERLINE_STORE_DEFINITION_H

#include "base/cron.h"
#include "base/json.h"
#include "base/status.h"
#include "store/name.h"
#include "store/normalize.h"
#include "store/row.h"

#define STORE_SOURCES_MAX 16
#define STORE_COLUMNS_MAX 2048 /* of a source; an ingest reads no more */
#define STORE_KEY_FIELDS_MAX 16
#define STORE_GUESSES_MAX 70
#define STORE_ROLLUPS_MAX 32
#define STORE_DIMENSIONS_MAX 8
#define STORE_METRICS_MAX 32
#define STORE_SETS_MAX 128  /* grouping sets of all rollups */
#define STORE_CHECKS_MAX 62 /* row checks are the bits of a BIGINT */
#define STORE_GATES_MAX 32
#define STORE_DEFINITION_MAX (256u << 10) /* bytes of JSON */

enum store_format { STORE_CSV, STORE_PARQUET, STORE_NDJSON };

struct store_column {
    char name[128]; /* as in the header */
    char type[64];  /* DuckDB's type name, as declared */
};

/* What a CSV file is written with. Bytes of ASCII. */
struct store_dialect {
    char delimiter;
    char quote;         /* 0: fields are not quoted */
    char escape;        /* before a quote, or itself, within quotes; the quote: it is doubled */
    char null_text[32]; /* a field of just this is null */
    char (*names)[128]; /* without a header line: the columns in their order; owned */
    size_t name_count;  /* 0: there is a header line */
};

struct store_source {
    char name[STORE_NAME_SIZE];
    enum store_format format;
    struct store_dialect dialect; /* CSV */
    struct store_column *columns; /* declared; others are text */
    size_t column_count;
    bool columns_complete;
    double max_reject_ratio; /* of its records, those that cannot be parsed */
};

enum store_protect { STORE_PROTECT_NONE, STORE_PROTECT_HMAC_SHA256 };

struct store_key_field {
    char name[STORE_NAME_SIZE];
    const struct store_normalizer *normalizer; /* `exact` when not said */
};

struct store_key_spec {
    struct store_key_field fields[STORE_KEY_FIELDS_MAX];
    size_t field_count;
    enum store_protect protect;
    unsigned guess_limit;  /* different values of the guessed fields a day; 0: any number */
    uint32_t guess_fields; /* bits: which of `fields` they are */
    /* A key with a sort is a series, of many records in this order: a field of the definition's
     * `record`, integer, DATE or TIMESTAMP. NULL: a key has one record. */
    const struct store_field *sort;
};

enum store_bucket {
    STORE_BUCKET_NONE,
    STORE_BUCKET_HOUR,
    STORE_BUCKET_DAY,
    STORE_BUCKET_MONTH,
    STORE_BUCKET_QUARTER,
    STORE_BUCKET_YEAR
};

/* count(*), count(x), sum(x), min(x), max(x), avg(x), distinct(x), quantile(x, q); a ratio is one
 * over another of these. */
enum store_aggregate {
    STORE_COUNT_ALL,
    STORE_COUNT,
    STORE_SUM,
    STORE_MIN,
    STORE_MAX,
    STORE_AVG,
    STORE_DISTINCT,
    STORE_QUANTILE
};

struct store_term {
    enum store_aggregate aggregate;
    const char
        *expression; /* DuckDB scalar expression; NULL for count(*); owned by the definition */
    double quantile; /* from 0 to 1 */
};

struct store_metric {
    char name[STORE_NAME_SIZE];
    bool ratio; /* terms[0] / terms[1] */
    struct store_term terms[2];
};

struct store_rollup {
    char name[STORE_NAME_SIZE];
    /* Dimension types: that of the record field of the same name, VARCHAR otherwise. */
    struct store_field dimensions[STORE_DIMENSIONS_MAX];
    size_t dimension_count;
    enum store_bucket bucket; /* NONE: no time */
    struct store_field time;  /* STORE_DATE or STORE_TIMESTAMP (HOUR needs TIMESTAMP) */
    struct store_metric *metrics;
    size_t metric_count;
    size_t term_count; /* sum over metrics: 1, or 2 for a ratio */
    unsigned min_cell; /* cells of fewer records are hidden; 0: none is */
    /* What is stored: this rollup over some of its dimensions each, with or without its time; the
     * metrics are shared. A set has no sets. */
    struct store_rollup *sets;
    size_t set_count;
    bool timeless; /* of a set: the rollup has a time, the set has not */
};

/* What becomes of rows, or of the batch, that break a check. */
enum store_effect { STORE_EFFECT_REJECT, STORE_EFFECT_WARN, STORE_EFFECT_FAIL };
const char *store_effect_name(enum store_effect effect); /* "reject" ... */

enum store_check_kind {
    STORE_CHECK_ROW,       /* `expression` is not false of any row (null passes, as in SQL) */
    STORE_CHECK_METRIC,    /* a metric of all records lies within min and max */
    STORE_CHECK_UNIQUE,    /* `expression` lists columns that no two different rows share */
    STORE_CHECK_REFERENCE, /* what is in one column is also in another of a source */
};

struct store_limits {
    bool has_min, has_max;
    double min, max;
};

struct store_check {
    char name[STORE_NAME_SIZE];
    enum store_check_kind kind;
    enum store_effect effect;
    const char *member; /* of the definition that has the SQL: "expect", "not_null" ... */
    char *expression;   /* DuckDB's; owned */
    char *condition;    /* UNIQUE: which rows count, those without a null; owned */
    double max_ratio;   /* of rows (UNIQUE, REFERENCE: of the values): more break the check */
    size_t metric;      /* in definition->judged */
    struct store_limits limits;
    /* "" as from_source: a prepared column */
    char from_source[STORE_NAME_SIZE], from_column[128];
    char to_source[STORE_NAME_SIZE], to_column[128];
};

/* What may change between the current version and the next. */
struct store_gate {
    char name[STORE_NAME_SIZE];
    size_t metric; /* in definition->judged */
    struct store_limits limits;
    bool has_change, has_change_ratio;
    double max_change, max_change_ratio;
    char *text; /* the metric as JSON, sorted: by it a value is found again; owned */
};

/* Of records with the same key that are not the same. */
enum store_duplicates { STORE_DUPLICATES_FAIL, STORE_DUPLICATES_FIRST, STORE_DUPLICATES_LAST };

struct store_definition {
    json_t *document; /* as given, owned */
    char name[STORE_NAME_SIZE];
    const char *description; /* or "" */
    struct store_source *sources;
    size_t source_count;
    const char *prepare;
    struct store_key_spec key;
    struct store_field *record; /* declared record fields, in order */
    size_t record_count;
    /* What a row in a segment holds: for `protect: none` the key fields (VARCHAR) come first. */
    struct store_field *row;
    size_t row_count;
    struct store_rollup *rollups;
    size_t rollup_count;
    struct store_rollup *sets; /* of all rollups, one after the other */
    size_t set_count;
    double max_reject_ratio; /* of the prepared rows, those that cannot be cast or keyed */
    enum store_duplicates on_duplicate;
    char duplicate_order[STORE_NAME_SIZE]; /* a prepared column; "" with FAIL */
    struct store_check *checks;
    size_t check_count;
    struct store_gate *gates;
    size_t gate_count;
    /* The metrics of checks and gates, over all records: a rollup without dimensions that is
     * computed with the others and not stored. */
    struct store_rollup judged;
    unsigned keep_versions, keep_days;
    bool require_promotion;
    bool require_purpose; /* lookups must say what for */
    bool scheduled;       /* at these times, from the files that /schedule/sources names */
    struct cron schedule;
    bool watch_inbox; /* a batch that lies complete in INBOX/TENANT/NAME is ingested */
};

/* `document` is borrowed (a reference is taken). ST_INVALID with code INVALID_DEFINITION and the
 * JSON pointer as place: unknown members, wrong types, unknown normaliser, key field in `record` or
 * in a dimension of a protected dataset, reserved or duplicate names, a metric that is not of the
 * closed list, ... */
enum st store_definition_parse(struct store_definition **out, json_t *document) ST_MUST_USE;
void store_definition_free(struct store_definition *d);

/* Would replacing `old` by `next` remove or retype a field that is served (record field, rollup,
 * dimension, metric)? ST_CONFLICT, code BREAKING_CHANGE, place its pointer in `old`. */
enum st store_definition_compatible(const struct store_definition *old,
                                    const struct store_definition *next) ST_MUST_USE;

size_t store_sort_index(const struct store_definition *d); /* of key.sort in `row` */
const struct store_rollup *store_definition_rollup(const struct store_definition *d,
                                                   const char *name); /* NULL: none */
/* The grouping set of exactly these dimensions (in any order), with the rollup's time unless
 * `timeless`. NULL: none. */
const struct store_rollup *store_rollup_set(const struct store_rollup *r, const char *const *names,
                                            size_t count, bool timeless);

#endif

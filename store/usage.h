/* What was used, per day (UTC), dataset, operation and subject of a tenant: added up in the catalog
 * by every server process, and by whoever ends an attempt of a job, so that it could be billed.
 * Sums are exact, also when a tenant has more subjects than are told apart. */
#ifndef EVERLINE_STORE_USAGE_H
#define EVERLINE_STORE_USAGE_H

#include "store/store.h"

#include <string.h>

struct catalog_txn;

#define STORE_SUBJECT_SIZE 256
#define STORE_DAY_SIZE 11 /* "2026-11-21" */

struct store_usage {
    char day[STORE_DAY_SIZE];
    char tenant[STORE_NAME_SIZE];
    char dataset[STORE_NAME_SIZE]; /* "": none */
    char subject[STORE_SUBJECT_SIZE];
    const char *operation; /* of the contract; static, or borrowed from a row */
    uint64_t requests, keys, matches, bytes;
    uint64_t job_ms; /* that jobs were at work */
};

#define STORE_USAGE_JOB "runJob" /* what jobs do has no operation of the contract */
/* Of a row that is damaged: nothing but its day is known. */
#define STORE_USAGE_UNREADABLE "unreadable"
/* Subjects of a tenant and day that have rows of their own, unless the tenant's row says, and the
 * subject of the rows that the rest have together. */
#define STORE_USAGE_SUBJECTS 10000
#define STORE_USAGE_OTHERS "*"

/* Is it of a subject that has a name of its own? */
static inline bool store_usage_is_named(const struct store_usage *u)
{
    return u->subject[0] && strcmp(u->subject, STORE_USAGE_OTHERS) != 0;
}

/* Adds one, in a transaction of another's. Failure is the transaction's. Room-private. */
void usage_add(struct catalog_txn *t, const struct store_usage *row);

/* Adds all of them in one commit: all or none is counted. */
enum st store_usage_add(struct store *s, const struct store_usage *rows, size_t count) ST_MUST_USE;

/* ST_INVALID unless it is NULL, or a day: 2026-01-31. */
enum st store_usage_check_day(const char *day) ST_MUST_USE;

/* Rows of a tenant, with "job_seconds" of three decimals, from day `from` to day `to` (both
 * included; NULL: from the first, to the last), by day; after the row of key `after` ("" at first),
 * at most `limit`. `next` gets the key to go on after, "" at the end. */
enum st store_usage_list(json_t **items, char next[256], struct store *s, const char *tenant,
                         const char *from, const char *to, const char *after,
                         size_t limit) ST_MUST_USE;

#endif

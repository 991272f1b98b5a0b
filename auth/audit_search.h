/* Reading a tenant's audit, newest first, over all of its chains. */
#ifndef EVERLINE_AUTH_AUDIT_SEARCH_H
#define EVERLINE_AUTH_AUDIT_SEARCH_H

#include "auth/audit_chain.h"
#include "base/clock.h"
#include "base/json.h"

/* NULL, or "": whatever it is. */
struct audit_query {
    const char *event, *dataset, *outcome, *subject, *token_id, *request_id;
    const char *key;                                 /* HMAC, as lines have it */
    char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE]; /* as lines have them: from (inclusive), to
                                                        (exclusive) */
    size_t limit;
    uint64_t max_bytes; /* of lines that are looked at, and one line: AUDIT_SEARCH_BYTES */
    /* May this dataset's lines be seen? NULL: those of none. */
    bool (*sees_fn)(const char *dataset, void *ctx);
    void *sees_ctx;
};

/* What can be asked for by name, as the contract has it ("dataset", ..., "from", "to"), and what is
 * asked for: `value` is borrowed, NULL is nothing. ST_INVALID: it is no time. */
#define AUDIT_PARAMETERS 9
const char *audit_parameter(size_t i);
enum st audit_query_set(struct audit_query *query, size_t i, const char *value) ST_MUST_USE;

/* Where a page ends: the next one begins with what is older. */
struct audit_place {
    char at[AUDIT_AT_TEXT + 1]; /* "": from the newest */
    unsigned chain;
    uint64_t sequence;
};

/* Asked now and then; a failure ends the search. */
typedef enum st (*audit_go_on_fn)(void *ctx);

/* Lines as JSON arrays, each with "chain" added and "hash" left out. *more: `place` is where it
 * goes on, further back than it began. */
#define AUDIT_SEARCH_BYTES (256u << 20)
enum st audit_search(json_t **items, bool *more, struct audit_place *place, const char *directory,
                     const char *tenant, const struct audit_query *query, audit_go_on_fn go_on_fn,
                     void *ctx) ST_MUST_USE;

#endif

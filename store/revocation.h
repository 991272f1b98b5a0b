/* Tokens that are not to be taken any more, though their signature is right: one by its id (`jti`),
 * or all of a subject (`sub`) that were issued until now. Kept in the catalog until the token has
 * expired anyway; every serving process has them in its view within a tick of the keeper.
 *
 * Ids and subjects are kept as SHA-256 only: nobody reads names from a copy of the catalog. */
#ifndef EVERLINE_STORE_REVOCATION_H
#define EVERLINE_STORE_REVOCATION_H

#include "store/store.h"
#include "store/view.h"

#define STORE_REVOCATIONS_MAX 10000 /* of a tenant, that have not expired */
#define STORE_SKEW_S 60             /* a token may be taken that long after it has expired */

struct catalog_txn;

struct store_revocation {
    const char *tenant;
    const char *token_id; /* one of the two, */
    const char *subject;  /* the other is NULL */
    int64_t expires_us;   /* when no such token can be in time any more; 0: kept for ever */
};

/* What a token is revoked by. `issued_s` is its `iat`, INT64_MIN without one: such a token of a
 * revoked subject is out. Empty texts are in no revocation. */
struct store_token {
    const char *tenant, *token_id, *subject;
    int64_t issued_s;
};

/* Durable when it returns ST_OK; *row is {"revoked_at","expires_at"} ("expires_at" may be null). A
 * second one of the same replaces the first. ST_NOT_FOUND, UNKNOWN_TENANT; ST_INVALID,
 * INVALID_VALUE: neither or both, or the time is over; ST_FULL, QUOTA. */
enum st store_revoke(json_t **row, struct store *s, const struct store_revocation *r,
                     const struct store_actor *actor) ST_MUST_USE;

/* All tokens of a tenant that were issued until now, or have no `iat`: in the transaction that
 * deletes it, so that one of that name that is made later takes none of them. */
void store_revoke_all(struct catalog_txn *t, const char *tenant);
/* Sets the earliest `iat` that store_revoke_all leaves to the tenant; 0: any. */
enum st store_tokens_since(int64_t *since_s, struct store *s, const char *tenant) ST_MUST_USE;

/* By the catalog, on the catalog thread; and by a view. */
enum st store_is_revoked(bool *revoked, struct store *s,
                         const struct store_token *token) ST_MUST_USE;
bool store_view_is_revoked(const struct store_view *v, const struct store_token *token);

/* Changes exactly when a revocation is added; only grows. */
uint64_t store_view_revocations_epoch(const struct store_view *v);

#endif

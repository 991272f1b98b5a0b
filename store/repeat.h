/* Idempotency-Key: what was answered to a request that had one, for STORE_REPEAT_HOURS. It is kept
 * in the part of the group of commits (store/keeper.h, struct store_wait) in which the request's
 * change is made: after a crash there are both or neither.
 */
#ifndef EVERLINE_STORE_REPEAT_H
#define EVERLINE_STORE_REPEAT_H

#include "store/store.h"

#define STORE_REPEAT_HOURS 24
#define STORE_REPEATS_MAX 10000             /* that a tenant has */
#define STORE_REPEATS_BYTES_MAX (64u << 20) /* as stored: with so many it gets no more */
/* That an owner has of them: whatever one does, the others have as many left. An upload and an
 * ingest every minute fit. */
#define STORE_REPEATS_OWNER_MAX (STORE_REPEATS_MAX / 2)
#define STORE_REPEATS_OWNER_BYTES_MAX (STORE_REPEATS_BYTES_MAX / 2)
#define STORE_REPEAT_ANSWER_MAX                                                                    \
    (512u << 10) /* bytes; the longest is a job's that has many sources */

/* Neither the subject, the key nor the request is kept, only what they hash to. */
struct store_repeat {
    const char *tenant;
    unsigned char owner[DIGEST_BYTES]; /* the token's subject: whose share of the tenant's it is */
    unsigned char key[DIGEST_BYTES];   /* the key, and to what the token is narrowed */
    unsigned char request[DIGEST_BYTES]; /* all that makes it the same request */
    int64_t now_us;
};

/* *answer: what was kept for the request, a new reference; NULL: it has not come before. Who then
 * keeps an answer in the same group does so before anybody else can, of any process. ST_REUSED,
 * code IDEMPOTENCY_KEY_REUSED: another request came with the key; ST_FULL, code QUOTA: the
 * tenant, or the owner, has as many as it may have. */
enum st store_repeat_find(json_t **answer, struct store *s,
                          const struct store_repeat *r) ST_MUST_USE;

/* ST_TOO_LARGE, code ANSWER_TOO_LARGE. */
enum st store_repeat_keep(struct store *s, const struct store_repeat *r,
                          const json_t *answer) ST_MUST_USE;

#endif

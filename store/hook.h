/* Webhooks: what a tenant is told of the ends of its jobs. A message is written in the transaction
 * that ends the job, and stays until it was delivered or given up; several servers deliver, each
 * message one of them at a time. At least once: a receiver knows a message again by its id. */
#ifndef EVERLINE_STORE_HOOK_H
#define EVERLINE_STORE_HOOK_H

#include "store/store.h"

#define STORE_HOOK_ID_SIZE 80
#define STORE_HOOK_URL_SIZE 512
#define STORE_HOOK_KEY_BYTES 32
#define STORE_HOOKS_MAX 1000 /* of a tenant, that wait; of more, the oldest is given up */

struct store_hook {
    char id[STORE_HOOK_ID_SIZE]; /* the same for every try */
    char tenant[STORE_NAME_SIZE];
    char url[STORE_HOOK_URL_SIZE];
    char *payload;  /* JSON; owned */
    unsigned tries; /* with this one */
};

/* What a sender remembers from one look to the next; begins zeroed. */
struct store_hook_round {
    uint64_t seen;                  /* what the catalog was */
    int64_t next_us;                /* when the first message is due; INT64_MAX: there are none */
    int64_t looked_us;              /* when it looked last: a clock can be set back */
    char last[STORE_NAME_SIZE + 1]; /* "TENANT/": whose turn it was last */
};

/* Of the tenants that have a message that is due, in turns, the one that is due first; nobody else
 * gets it until a minute has passed. Those of a tenant whose row is damaged are passed over, and
 * wait as long; one that is damaged is dropped; one that would wait for longer than it can, as the
 * clock was set back, is due. ST_NOT_FOUND: none is due. store_hook_release. */
enum st store_hook_take(struct store_hook *out, struct store_hook_round *round, struct store *s,
                        int64_t now_us) ST_MUST_USE;
void store_hook_release(struct store_hook *h); /* accepts a zeroed struct */

/* It was delivered, or has to be tried again: *last says that it was given up. After a failure the
 * tenant's other messages wait for a minute, and all that wait do so until `until_us` (0: as they
 * do): who does not answer, or slowly, holds up nobody else for long. */
enum st store_hook_delivered(struct store *s, const struct store_hook *h, int64_t now_us,
                             int64_t until_us) ST_MUST_USE;
enum st store_hook_failed(bool *last, struct store *s, const struct store_hook *h, int64_t now_us,
                          int64_t until_us) ST_MUST_USE;

/* The key that signs a tenant's messages: KEYS/<tenant>/webhook.key. _create keeps one that is
 * there. */
enum st store_hook_key_create(struct store *s, const char *tenant) ST_MUST_USE;
enum st store_hook_key_read(struct secret *out, const char *keys_dir,
                            const char *tenant) ST_MUST_USE;

#endif

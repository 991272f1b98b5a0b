/* JWK Sets of issuers, from files and URLs, kept fresh by a thread of their own: no request ever
 * waits for an issuer.
 *
 * A set is fetched when a tenant first names it, before it expires (Cache-Control: max-age, within
 * a minute and a day; five minutes without; a file every minute), and when a token names a key id
 * that nobody knows, at most once a minute. A set that cannot be had or read leaves the last good
 * one in force. Who names the same location shares the set: it is fetched once. */
#ifndef EVERLINE_AUTH_JWKS_H
#define EVERLINE_AUTH_JWKS_H

#include "auth/keyset.h"
#include "base/metrics.h"
#include "base/network.h"

#define AUTH_JWKS_LOCATION_MAX 512

struct auth_jwks;

struct auth_jwks_options {
    const char *ca_file; /* PEM of who may vouch for servers; NULL: the system's */
    /* auth/http.h; borrowed */
    const struct network_list *outgoing;
    uint64_t timeout_ms;           /* of a fetch; 0: ten seconds */
    struct metrics *metrics;       /* may be NULL */
    void (*changed_fn)(void *ctx); /* on the thread: a set has come or is another one now */
    void *ctx;
};

/* ST_INVALID, BAD_JWKS: neither an absolute path, nor https://, nor http:// on loopback. */
enum st auth_jwks_check(const char *location) ST_MUST_USE;

enum st auth_jwks_start(struct auth_jwks **out,
                        const struct auth_jwks_options *options) ST_MUST_USE;
/* After it changed_fn is not called any more; a fetch under way is cut off. Accepts NULL. */
void auth_jwks_stop(struct auth_jwks *j);
void auth_jwks_free(struct auth_jwks *j); /* stopped, or NULL */

/* Without a thread: fetches it now, and adds its keys. Blocks. */
enum st auth_jwks_load(struct auth_keyset *set, const char *tenant, const char *location,
                       const struct auth_jwks_options *options) ST_MUST_USE;

/* Exactly these locations are wanted from now on; others are forgotten. Any thread. */
enum st auth_jwks_want(struct auth_jwks *j, const char *const *locations, size_t count) ST_MUST_USE;

/* Adds the keys that `location` has by now, for `tenant`; those whose ids the tenant's own files
 * have taken are left out. */
enum st auth_jwks_add(struct auth_jwks *j, struct auth_keyset *set, const char *tenant,
                      const char *location) ST_MUST_USE;

void auth_jwks_ask(struct auth_jwks *j);    /* a key id was unknown; any thread, never blocks */
void auth_jwks_reload(struct auth_jwks *j); /* all of them, now */

/* After an attempt, until the next one: four fifths of how long the set may be kept (`max_age_s` of
 * its answer, -1: it did not say), or after failures in a row ten seconds, doubled with each, up to
 * five minutes. */
uint64_t auth_jwks_pause_ms(const char *location, int64_t max_age_s, unsigned failures);

struct auth_jwks_state {
    size_t sources, failing; /* failing: the last attempt did not succeed */
    bool settled;            /* each was tried at least once, and changed_fn has heard of it */
};
void auth_jwks_look(struct auth_jwks_state *out, struct auth_jwks *j);

#endif

/* What the files of api/ share about a running server. Room-private. */
#ifndef EVERLINE_API_INTERNAL_H
#define EVERLINE_API_INTERNAL_H

#include "api/audit.h"
#include "api/check.h"
#include "api/exchange.h"
#include "api/export.h"
#include "api/listener.h"
#include "api/metrics.h"
#include "api/overload.h"
#include "api/repeat.h"
#include "api/route.h"
#include "api/server.h"
#include "api/settings.h"
#include "api/usage.h"
#include "auth/cache.h"
#include "auth/jwks.h"
#include "auth/keyset.h"
#include "base/clock.h"

#include <stdatomic.h>

#define API_REPLY_MAX (64u << 20)
#define API_BATCH_KEYS 1000         /* unless the tenant's row says otherwise */
#define API_TOKENS_BYTES (4u << 20) /* of verified tokens that a worker remembers */

/* What one worker thread has for itself. */
struct api_worker {
    _Alignas(64) struct auth_cache *tokens; /* that it has verified */
    struct api_exchange *spare;             /* of its last request; or NULL */
    struct api_responses *responses;        /* that it has sent */
    struct api_gzip *gzip;                  /* NULL until it compresses */
    unsigned char random[16 << 10];         /* for request ids */
    size_t random_left;
    int64_t date_s; /* that `date` is of */
    char date[CLOCK_HTTP_DATE_SIZE];
    struct api_overload overload;
};

struct api_server {
    struct api_options options;
    struct api_listeners listeners;
    _Atomic(struct api_settings *) settings;
    _Atomic bool settings_failed; /* to be read again: those of before are in force */
    struct store_keeper *keeper;
    _Atomic(struct store_keeper *) reloadable; /* the same, once it can be told of new keys */
    struct auth_jwks *jwks;                    /* NULL: this process serves nobody */
    _Atomic bool issuers_asked;                /* all there were at the start */
    struct api_helpers *helpers;
    struct api_pool *pool;
    struct api_workers *ingest_workers;
    struct api_watch *watch;
    struct api_hooks *hooks;
    struct network_list outgoing; /* where JWK Sets and webhooks may be beside public addresses */
    _Atomic(struct auth_limits *) limits; /* NULL: nobody has any, or they cannot be counted */
    struct api_usage *usage;              /* NULL: there is no server */
    struct api_audit *audit;              /* NULL: there is no server */
    struct api_followers *followers;      /* NULL: there is no server */
    const char *run_name;                 /* of this process in DATA/run */
    struct api_links *links;
    struct metrics *metrics;
    struct api_metrics counts;
    char keys_dir[FS_PATH_MAX];
    struct api_worker *workers; /* by slot */
    unsigned slots;             /* request threads of all listeners */
    uint64_t keys_made;         /* the catalog thread's */
    _Atomic bool stopping;
    _Atomic bool closing;      /* nothing is begun any more: what comes gets 503 */
    struct api_places exports; /* that are being sent */
    struct api_places checks;  /* of definitions, that run */
    struct api_repeats repeats;
    _Atomic unsigned in_flight; /* requests whose reply has not gone out */
    /* Of them, those that another thread works on, or will. Who raises it looks at `closing`
     * afterwards, and whoever has set `closing` looks at it: one of the two sees the other. */
    _Atomic unsigned suspended;
    _Atomic unsigned late_requests;   /* that began after `stopping` */
    _Atomic uint64_t keys_generation; /* raised by SIGHUP: keysets are read again */
};

/* The keys that vouch for tokens, hung on every view; shared by views between which no tenant and
 * no key changed. */
struct api_keys {
    struct auth_keyset *set;
    uint64_t tenants_epoch, generation;
    uint64_t epoch; /* its number: another one is another set, or other tenants */
    unsigned bad;   /* tenants whose files could not be loaded: their keys of before are in force */
    _Atomic unsigned uses;
};

/* store_keeper's extend_fn and release_fn; ctx is the struct api_server. */
enum st api_keys_extend(void **extension, const struct store_view *next,
                        const struct store_view *previous, void *ctx);
void api_keys_release(void *extension, void *ctx);

/* The tenants' JWK Sets have changed: has the keeper make a new view. ctx is the server. */
void api_keys_changed(void *ctx);

/* Metrics, and the keeper with its first view. What was made is released by the caller, also after
 * a failure. */
enum st api_start_keeper(struct api_server *server, unsigned slots) ST_MUST_USE;

/* Who calls, and whether the route lets them: ST_UNKNOWN_CALLER or ST_DENIED. `authorization` is
 * the header's value or NULL. The request's view must be entered. */
enum st api_gate(struct auth_identity *identity, const struct api_request *request,
                 const char *authorization) ST_MUST_USE;

/* The lines that this thread logs belong to this request; NULL: to none. */
void api_log_request(const struct api_request *request);

/* Turns the thread's last failure into a problem document (RFC 9457) in `reply`. */
void api_problem(struct api_reply *reply, const struct api_request *request, enum st status);
/* What a problem with this status was before it went out, as far as the status says. */
enum st api_problem_status(unsigned http);

void api_reply_init(struct api_reply *reply);
void api_reply_release(struct api_reply *reply);
/* Of the whole reply: its body or one of its headers may have had no room. */
enum st api_reply_status(const struct api_reply *reply) ST_MUST_USE;

/* Runs the handler of a data route inside the request's view. */
void api_run_data(struct api_reply *reply, struct api_request *request);
/* Runs what comes before a control route's handler; false: it failed, and `reply` is the answer. */
bool api_run_before(struct api_reply *reply, struct api_request *request);
/* Runs the handler of a control route on the catalog thread. */
void api_run_control(struct api_reply *reply, struct api_request *request, struct store *s,
                     struct store_wait *wait);
/* Runs the long part of a control route, for which there is `request->work`. */
void api_run_later(struct api_reply *reply, struct api_request *request);

/* ---- metering ---- */

/* Keys that were looked up for this request's answer. */
void api_count_lookups(struct api_request *request, uint64_t matches, uint64_t misses);
/* Whose a request is and what of, with nothing counted yet. */
void api_usage_of(struct store_usage *out, const struct api_request *request, unsigned status);
/* Counts the request, which is answered with so many bytes. */
void api_count_request(const struct api_request *request, unsigned status, uint64_t bytes);

/* ---- the audit ---- */

/* Notes an act that has been answered, whatever came of it. */
void api_note_act(const struct api_request *request, unsigned status);
/* Notes a lookup, before it is answered: protected datasets, and those that require a purpose.
 * `found` has a byte per key. ST_INVALID, PURPOSE_REQUIRED; ST_UNAVAILABLE, AUDIT_UNAVAILABLE. */
enum st api_note_lookup(const struct api_request *request, const struct store_served *d,
                        const unsigned char *keys, const unsigned char *found,
                        size_t count) ST_MUST_USE;
/* Does it say what for, where the dataset requires that? ST_INVALID, PURPOSE_REQUIRED. */
enum st api_check_purpose(const struct api_request *request,
                          const struct store_definition *d) ST_MUST_USE;
/* Notes that a key was refused because too many values were tried. */
enum st api_note_guess(const struct api_request *request, const struct store_served *d,
                       const unsigned char *key) ST_MUST_USE;
/* What a handler says of its act. The reason is cut at API_REASON_MAX. */
void api_act_says(const struct api_request *request, uint64_t version, const char *reason);

/* ---- shared by handlers ---- */

/* Who does it, for events: `text` holds the name. */
#define API_ACTOR_SIZE (AUTH_SUBJECT_MAX + STORE_NAME_SIZE + 16)
struct store_actor api_actor(char text[API_ACTOR_SIZE], const struct api_request *request);
/* If-Match: a list of strong tags, which are sequences of the head (RFC 9110 section 13.1.1); none:
 * it is not there, or "*". ST_PRECONDITION, code HEAD_MOVED: it names no head, or is no list of at
 * most STORE_IF_MAX. */
enum st api_if_head(struct store_if *out, const struct api_request *request) ST_MUST_USE;
/* Takes the reference of `value`. */
enum st api_reply_json(struct api_reply *reply, unsigned status, json_t *value) ST_MUST_USE;

/* A dataset that the token's `datasets` do not name is one that is not there. */
enum st api_visible(const struct api_request *request) ST_MUST_USE;
/* Makes the report of an unknown dataset the one that everybody gets: nobody learns from the text
 * whether a name is somebody else's. Returns `st`. */
enum st api_hide_name(enum st st) ST_MUST_USE;
/* Makes the place of a reason that is missing or none the query's, where others have a body.
 * Returns `st`. */
enum st api_reason_in_query(enum st st) ST_MUST_USE;

/* The version that the request reads, ready to be read. When it fails with `request->pin` set, the
 * version has to be opened first, and the handler is run again. */
enum st api_dataset(const struct store_served **out, struct api_request *request) ST_MUST_USE;
/* What `version` and `as_of` say; 0: nothing. */
enum st api_asked_version(uint64_t *version, int64_t *as_of_us,
                          const struct api_request *request) ST_MUST_USE;
/* Who may not write versions does not see one that is HELD. */
enum st api_may_read(const struct api_request *request, uint64_t version,
                     const char *state) ST_MUST_USE;
/* The key that the path names, hashed. ST_CONFLICT, NOT_ADDRESSABLE: protected, or of several
 * fields. */
enum st api_path_key(unsigned char key[STORE_KEY_BYTES], const struct store_served *d,
                     const struct api_request *request) ST_MUST_USE;
enum st api_body_object(json_t **out, const struct api_request *request) ST_MUST_USE;
int64_t api_query_limit(const struct api_request *request);

/* {"items":[...],"next":...,"complete":...}: takes the reference of `items`. `next` may be NULL. */
enum st api_list(struct api_reply *reply, json_t *items, const char *next) ST_MUST_USE;
/* This strong ETag, quotes included; true when If-None-Match has it (the reply is 304). */
bool api_tag(struct api_reply *reply, const struct api_request *request, const char *tag);
/* Does If-Match name this tag, or that of the same by gzip? */
bool api_matches(const char *if_match, const char *tag);
/* A strong ETag over dataset, version, operation, `query` and `part`; true when If-None-Match has
 * it (the reply is 304). */
bool api_etag(struct api_reply *reply, const struct api_request *request,
              const struct store_served *d, const char *query, const char *part);
void api_version_headers(struct api_reply *reply, const struct store_served *d);
void api_version_headers_of(struct api_reply *reply, uint64_t version, const char *state,
                            bool is_protected);

#endif

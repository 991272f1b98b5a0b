#include "store/revocation_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "store/internal.h"
#include "store/view_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys are tenant/jti/SHA-256, tenant/sub/SHA-256 and, of a deleted tenant, tenant/all/SHA-256 of
 * nothing; values {"until_s","revoked_at","expires_s","actor","reason"}. A counter is raised with
 * every change, so that a round of the keeper reads the table only when there is something new in
 * it. */

#define COUNTER "revocations"
#define ALL "all"

static void make_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *kind,
                     const char *text)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];

    digest_sha256(digest, text, strlen(text));
    digest_hex(hex, digest, sizeof digest);
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s/%s", tenant, kind, hex);
}

static int64_t seconds_of(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

/* Those that have expired go when another one comes. Their tokens have, too. */
static void make_room(struct catalog_txn *t, const char *tenant, int64_t now_s)
{
    char prefix[STORE_NAME_SIZE + 1], key[CATALOG_KEY_SIZE] = "";
    unsigned count = 0;
    json_t *row;

    snprintf(prefix, sizeof prefix, "%s/", tenant);
    while (catalog_after_any(&row, t, CATALOG_REVOCATIONS, prefix, key)) {
        int64_t expires_s = seconds_of(row, "expires_s");
        if (expires_s && expires_s < now_s)
            catalog_delete(t, CATALOG_REVOCATIONS, key);
        else
            count++;
        json_decref(row);
    }
    if (count >= STORE_REVOCATIONS_MAX)
        catalog_fail(t, st_hint(st_fail(ST_FULL, "QUOTA", "the tenant has %u revocations", count),
                                "give them an end, or rotate the key that signed the tokens"));
}

static enum st check(const struct store_revocation *r, int64_t now_us)
{
    if ((r->token_id && *r->token_id) == (r->subject && *r->subject))
        return st_fail(ST_INVALID, "INVALID_VALUE", "either a token's id or a subject is revoked");
    if (r->expires_us && r->expires_us < now_us)
        return st_place(st_fail(ST_INVALID, "INVALID_VALUE", "the tokens have expired already"),
                        "/expires_at");
    return ST_OK;
}

/* An end within a second is that second's; the skew is what verification allows. */
static json_int_t end_s(const struct store_revocation *r)
{
    return r->expires_us ? r->expires_us / 1000000 + 1 + STORE_SKEW_S : 0;
}

enum st store_revoke(json_t **row, struct store *s, const struct store_revocation *r,
                     const struct store_actor *actor)
{
    int64_t now_us = clock_wall_us();
    const char *kind = r->subject ? "sub" : "jti";
    char key[CATALOG_KEY_SIZE];
    struct store_tenant tenant;
    struct catalog_txn t;
    enum st st = check(r, now_us);

    *row = NULL;
    if (!st)
        st = store_tenant_get(&tenant, s, r->tenant);
    if (st)
        return st;
    make_key(key, r->tenant, kind, r->subject ? r->subject : r->token_id);
    json_t *value =
        json_pack("{s:I, s:o, s:I, s:s}", "until_s", (json_int_t)(now_us / 1000000), "revoked_at",
                  store_time_json(now_us), "expires_s", end_s(r), "actor", actor->name);
    catalog_begin_write(&t, &s->catalog);
    if (actor->reason && !utf8_is_valid(actor->reason, strlen(actor->reason)))
        catalog_fail(&t, st_fail(ST_INVALID, "INVALID_VALUE", "the reason is not UTF-8"));
    else if (actor->reason)
        store_set(&t, value, "reason", json_string(actor->reason));
    make_room(&t, r->tenant, now_us / 1000000);
    catalog_put(&t, CATALOG_REVOCATIONS, key, value);
    catalog_next_number(&t, COUNTER);
    st = catalog_commit(&t);
    if (!st) {
        *row = json_pack("{s:o, s:o}", "revoked_at", store_time_json(now_us), "expires_at",
                         r->expires_us ? store_time_json(r->expires_us) : json_null());
        st = *row ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    }
    json_decref(value);
    return st;
}

void store_revoke_all(struct catalog_txn *t, const char *tenant)
{
    int64_t now_us = clock_wall_us();
    char key[CATALOG_KEY_SIZE];
    json_t *value = json_object();

    make_key(key, tenant, ALL, "");
    store_set(t, value, "until_s", json_integer(now_us / 1000000));
    store_set(t, value, "revoked_at", store_time_json(now_us));
    catalog_put(t, CATALOG_REVOCATIONS, key, value);
    catalog_next_number(t, COUNTER);
    json_decref(value);
}

enum st store_tokens_since(int64_t *since_s, struct store *s, const char *tenant)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    make_key(key, tenant, ALL, "");
    catalog_begin_read(&t, &s->catalog);
    json_t *row = catalog_get(&t, CATALOG_REVOCATIONS, key);
    *since_s = row ? seconds_of(row, "until_s") + 1 : 0;
    json_decref(row);
    return catalog_end(&t);
}

/* ---- in a view ---- */

/* False: the counter is damaged. */
static bool read_epoch(uint64_t *epoch, struct catalog_txn *t)
{
    json_t *row;
    bool known = catalog_get_any(&row, t, CATALOG_COUNTERS, COUNTER);

    *epoch = (uint64_t)json_integer_value(json_object_get(row, "next"));
    json_decref(row);
    return known;
}

/* Of one that is damaged only the key is known: it has no end, and stops nothing else. */
static int64_t end_of(const char *key, const json_t *row)
{
    size_t tenant_len = strcspn(key, "/");

    if (row)
        return seconds_of(row, "until_s");
    log_failure(LOG_LEVEL_ERROR, "revocation_damaged",
                "tokens of tenant %.*s that it may be of are refused", (int)tenant_len, key);
    return INT64_MAX;
}

static void load_all(struct revocations *r, struct catalog_txn *t)
{
    char key[CATALOG_KEY_SIZE] = "";
    size_t room = 0;
    json_t *row;

    while (catalog_after_any(&row, t, CATALOG_REVOCATIONS, "", key)) {
        if (r->count == room) {
            room = room ? 2 * room : 64;
            struct revoked *grown = reallocarray(r->list, room, sizeof *grown);
            if (!grown) {
                catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
                json_decref(row);
                return;
            }
            r->list = grown;
        }
        memcpy(r->list[r->count].key, key, sizeof key);
        r->list[r->count++].until_s = end_of(key, row);
        json_decref(row);
    }
}

static bool is_same(const struct revocations *a, const struct revocations *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same =
            a->list[i].until_s == b->list[i].until_s && strcmp(a->list[i].key, b->list[i].key) == 0;
    return same;
}

static struct revocations *shared(struct revocations *previous)
{
    previous->views++;
    return previous;
}

/* Nobody knows whether there is something new: the table is read each time. */
static void tell_uncounted(const struct revocations *previous)
{
    if (!previous || !previous->uncounted)
        log_event(LOG_LEVEL_ERROR, "revocations_damaged",
                  "the counter of revocations is damaged: they are all read again with every "
                  "change, until the next one");
}

struct revocations *revocations_load(struct catalog_txn *t, struct revocations *previous)
{
    uint64_t epoch;
    bool counted = read_epoch(&epoch, t);

    if (counted && previous && previous->epoch == epoch)
        return shared(previous);
    struct revocations *r = calloc(1, sizeof *r);
    if (!r) {
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
        return NULL;
    }
    r->views = 1;
    load_all(r, t);
    if (!counted)
        tell_uncounted(previous);
    if (!counted && previous && is_same(r, previous)) {
        revocations_release(r);
        previous->uncounted = true;
        return shared(previous);
    }
    r->epoch = counted ? epoch : previous ? previous->epoch + 1 : 1;
    r->uncounted = !counted;
    return r;
}

void revocations_release(struct revocations *r)
{
    if (!r || --r->views > 0)
        return;
    free(r->list);
    free(r);
}

static int by_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct revoked *)item)->key);
}

/* The row of a key, if there is one: its until_s. */
typedef bool (*find_fn)(int64_t *until_s, const char *key, void *ctx);

static bool is_revoked(const struct store_token *token, find_fn find, void *ctx)
{
    char key[CATALOG_KEY_SIZE];
    int64_t until_s;

    if (*token->token_id) {
        make_key(key, token->tenant, "jti", token->token_id);
        if (find(&until_s, key, ctx))
            return true;
    }
    make_key(key, token->tenant, ALL, "");
    if (find(&until_s, key, ctx) && token->issued_s <= until_s)
        return true;
    if (!*token->subject)
        return false;
    make_key(key, token->tenant, "sub", token->subject);
    return find(&until_s, key, ctx) && token->issued_s <= until_s;
}

static bool find_in_view(int64_t *until_s, const char *key, void *ctx)
{
    const struct revocations *r = ctx;
    const struct revoked *found =
        r->count ? bsearch(key, r->list, r->count, sizeof *r->list, by_key) : NULL;

    if (found)
        *until_s = found->until_s;
    return found != NULL;
}

bool store_view_is_revoked(const struct store_view *v, const struct store_token *token)
{
    return v->revocations->count > 0 && is_revoked(token, find_in_view, v->revocations);
}

uint64_t store_view_revocations_epoch(const struct store_view *v)
{
    return v->revocations->epoch;
}

/* ---- in the catalog ---- */

static bool find_in_catalog(int64_t *until_s, const char *key, void *ctx)
{
    json_t *row = catalog_get(ctx, CATALOG_REVOCATIONS, key);
    bool found = row != NULL;

    *until_s = seconds_of(row, "until_s");
    json_decref(row);
    return found;
}

enum st store_is_revoked(bool *revoked, struct store *s, const struct store_token *token)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &s->catalog);
    *revoked = is_revoked(token, find_in_catalog, &t);
    return catalog_end(&t);
}

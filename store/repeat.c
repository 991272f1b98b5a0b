#include "store/repeat_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

/* Keys are tenant/owner/SHA-256, values {"sha256","at_us","answer"}; those of before owners were
 * counted are tenant/SHA-256. The rows `tenant` and `tenant:owner` count what these have, so that
 * nobody has to look at all of it: {"rows","bytes"}, changed with them. Where one is missing or
 * damaged, it is made anew. */

#define HOUR_US 3600000000LL

static void make_key(char out[CATALOG_KEY_SIZE], const struct store_repeat *r)
{
    char owner[DIGEST_HEX_SIZE], hex[DIGEST_HEX_SIZE];

    digest_hex(owner, r->owner, sizeof r->owner);
    digest_hex(hex, r->key, sizeof r->key);
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s/%s", r->tenant, owner, hex);
}

bool repeat_is_over(const json_t *row, int64_t now_us)
{
    const json_t *at_us = json_object_get(row, "at_us"); /* a counter has none */

    return !row || (at_us && now_us - json_integer_value(at_us) >= STORE_REPEAT_HOURS * HOUR_US);
}

/* ---- what a tenant has, and the owner of a key ---- */

enum { OF_TENANT, OF_OWNER, COUNTERS };

struct counter {
    char key[CATALOG_KEY_SIZE];
    struct catalog_sum kept;
};

static struct catalog_sum count_anew(struct catalog_txn *t, const char *counter)
{
    char prefix[CATALOG_KEY_SIZE];

    store_dataset_key(prefix, counter, "");
    char *colon = strchr(prefix, ':');
    if (colon)
        *colon = '/';
    return catalog_sum(t, CATALOG_REPEATS, prefix);
}

static void count(struct counter *c, struct catalog_txn *t)
{
    json_t *row = catalog_get_whole(t, CATALOG_REPEATS, c->key);
    const json_t *rows = json_object_get(row, "rows"), *bytes = json_object_get(row, "bytes");
    if (json_is_integer(rows) && json_is_integer(bytes))
        c->kept = (struct catalog_sum){(uint64_t)json_integer_value(rows),
                                       (uint64_t)json_integer_value(bytes)};
    else
        c->kept = count_anew(t, c->key);
    json_decref(row);
}

/* The counters that a row is in, and how many: one of before owners were counted is in the first.
 */
static size_t count_for(struct counter counters[COUNTERS], struct catalog_txn *t, const char *key)
{
    size_t n = 0;

    for (const char *end = strchr(key, '/'); end && n < COUNTERS; end = strchr(end + 1, '/')) {
        struct counter *c = &counters[n++];
        snprintf(c->key, sizeof c->key, "%.*s", (int)(end - key), key);
        char *slash = strchr(c->key, '/');
        if (slash)
            *slash = ':';
        count(c, t);
    }
    return n;
}

static void put_count(struct catalog_txn *t, const struct counter *c)
{
    json_t *row = json_object();

    store_set(t, row, "rows", json_integer((json_int_t)c->kept.rows));
    store_set(t, row, "bytes", json_integer((json_int_t)c->kept.bytes));
    if (c->kept.rows > 0)
        catalog_put(t, CATALOG_REPEATS, c->key, row);
    else
        catalog_delete(t, CATALOG_REPEATS, c->key);
    json_decref(row);
}

/* Puts the row, or deletes it: NULL. */
static void change(struct catalog_txn *t, const char *key, const json_t *row)
{
    struct counter counters[COUNTERS];
    size_t n = count_for(counters, t, key);
    struct catalog_sum before = catalog_sum(t, CATALOG_REPEATS, key);

    for (struct counter *c = counters; c < counters + n; c++)
        if (c->kept.rows < before.rows || c->kept.bytes < before.bytes)
            c->kept = count_anew(t, c->key); /* somebody of before there were counters was here */
    if (row)
        catalog_put(t, CATALOG_REPEATS, key, row);
    else
        catalog_delete(t, CATALOG_REPEATS, key);
    struct catalog_sum after = catalog_sum(t, CATALOG_REPEATS, key);
    for (struct counter *c = counters; c < counters + n; c++) {
        c->kept.rows += after.rows - before.rows;
        c->kept.bytes += after.bytes - before.bytes;
        put_count(t, c);
    }
}

void repeat_forget(struct catalog_txn *t, const char *key)
{
    change(t, key, NULL);
}

void repeat_lose(struct catalog_txn *t, const char *key, int64_t now_us)
{
    if (!strchr(key, '/')) {
        catalog_delete(t, CATALOG_REPEATS, key);
        return;
    }
    json_t *row = json_object();
    store_set(t, row, "at_us", json_integer(now_us));
    change(t, key, row);
    json_decref(row);
}

static void forget_all(struct catalog_txn *t, const char *prefix)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *row;

    while (catalog_after_any(&row, t, CATALOG_REPEATS, prefix, key)) {
        catalog_delete(t, CATALOG_REPEATS, key);
        json_decref(row);
    }
}

void repeat_forget_tenant(struct catalog_txn *t, const char *tenant)
{
    char prefix[CATALOG_KEY_SIZE];

    store_dataset_key(prefix, tenant, "");
    forget_all(t, prefix);
    snprintf(prefix, sizeof prefix, "%s:", tenant);
    forget_all(t, prefix);
    catalog_delete(t, CATALOG_REPEATS, tenant);
}

/* What a counter may come to. */
static const struct {
    const char *whose;
    uint64_t rows, bytes;
} BOUNDS[COUNTERS] = {
    [OF_TENANT] = {"tenant", STORE_REPEATS_MAX, STORE_REPEATS_BYTES_MAX},
    [OF_OWNER] = {"token's subject", STORE_REPEATS_OWNER_MAX, STORE_REPEATS_OWNER_BYTES_MAX},
};

static void check_room(struct catalog_txn *t, const char *key)
{
    struct counter counters[COUNTERS];
    size_t n = count_for(counters, t, key);

    for (size_t i = 0; i < n && !t->status; i++) {
        if (counters[i].kept.bytes >= BOUNDS[i].bytes)
            catalog_fail(t, st_hint(st_fail(ST_FULL, "QUOTA",
                                            "what was answered to the %s's Idempotency-Keys within "
                                            "%d hours has %u MiB",
                                            BOUNDS[i].whose, STORE_REPEAT_HOURS,
                                            (unsigned)(BOUNDS[i].bytes >> 20)),
                                    "send the request without one"));
        else if (counters[i].kept.rows >= BOUNDS[i].rows)
            catalog_fail(
                t, st_hint(st_fail(ST_FULL, "QUOTA",
                                   "the %s has used %u Idempotency-Keys within %d hours",
                                   BOUNDS[i].whose, (unsigned)BOUNDS[i].rows, STORE_REPEAT_HOURS),
                           "send the request without one"));
    }
}

static enum st is_damaged(void)
{
    return st_hint(st_fail(ST_UNAVAILABLE, "IDEMPOTENCY_KEY_DAMAGED",
                           "what was answered to this Idempotency-Key is damaged"),
                   "look whether it was done; if not, send it with a new key");
}

static void check_same(struct catalog_txn *t, const json_t *row, const struct store_repeat *r)
{
    const char *sha256 = json_string_value(json_object_get(row, "sha256"));
    char hex[DIGEST_HEX_SIZE];

    digest_hex(hex, r->request, sizeof r->request);
    if (!sha256)
        catalog_fail(t, is_damaged());
    else if (strcmp(sha256, hex) != 0)
        catalog_fail(t, st_hint(st_fail(ST_REUSED, "IDEMPOTENCY_KEY_REUSED",
                                        "the Idempotency-Key came with another request before"),
                                "use a new key for a new request"));
}

static json_t *get_row(struct catalog_txn *t, const char *key)
{
    json_t *row;

    if (!catalog_get_any(&row, t, CATALOG_REPEATS, key)) {
        log_failure(LOG_LEVEL_ERROR, "repeat_damaged", "an Idempotency-Key is refused");
        catalog_fail(t, is_damaged());
    }
    return row;
}

/* The key's row, or the one that it has from before owners were counted. */
static json_t *find_row(struct catalog_txn *t, const char *key, const struct store_repeat *r)
{
    char hex[DIGEST_HEX_SIZE], before[CATALOG_KEY_SIZE];
    json_t *row = get_row(t, key);

    if (row)
        return row;
    digest_hex(hex, r->key, sizeof r->key);
    store_dataset_key(before, r->tenant, hex);
    return get_row(t, before);
}

/* The transaction writes nothing: it sees what others of its group have written, and has the
 * writers' lock taken. */
enum st store_repeat_find(json_t **answer, struct store *s, const struct store_repeat *r)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    *answer = NULL;
    make_key(key, r);
    catalog_begin_write(&t, &s->catalog);
    json_t *row = find_row(&t, key, r);
    bool known = row && !repeat_is_over(row, r->now_us);
    if (known)
        check_same(&t, row, r);
    else
        check_room(&t, key);
    enum st st = catalog_end(&t);
    if (!st && known)
        *answer = json_incref(json_object_get(row, "answer"));
    json_decref(row);
    return st;
}

enum st store_repeat_keep(struct store *s, const struct store_repeat *r, const json_t *answer)
{
    char key[CATALOG_KEY_SIZE], hex[DIGEST_HEX_SIZE];
    struct catalog_txn t;

    if (json_dumpb(answer, NULL, 0, JSON_COMPACT) > STORE_REPEAT_ANSWER_MAX)
        return st_hint(st_fail(ST_TOO_LARGE, "ANSWER_TOO_LARGE",
                               "the answer is too large to be kept for an Idempotency-Key"),
                       "nothing was changed: send the request without one");
    make_key(key, r);
    digest_hex(hex, r->request, sizeof r->request);
    catalog_begin_write(&t, &s->catalog);
    json_t *row = json_object();
    store_set(&t, row, "sha256", json_string(hex));
    store_set(&t, row, "at_us", json_integer(r->now_us));
    store_set(&t, row, "answer", json_deep_copy(answer));
    change(&t, key, row);
    json_decref(row);
    return catalog_commit(&t);
}

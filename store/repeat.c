#include "store/repeat_internal.h"

#include "base/clock.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

/* Keys are tenant/SHA-256, values {"sha256","at_us","answer"}. The row of a tenant's name counts
 * what it has, so that nobody has to look at all of it: {"rows","bytes"}, changed with them. Where
 * it is missing or damaged, it is made anew. */

#define HOUR_US 3600000000LL

static void make_key(char out[CATALOG_KEY_SIZE], const struct store_repeat *r)
{
    char hex[DIGEST_HEX_SIZE];

    digest_hex(hex, r->key, sizeof r->key);
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s", r->tenant, hex);
}

bool repeat_is_over(const json_t *row, int64_t now_us)
{
    const json_t *at_us = json_object_get(row, "at_us"); /* a counter has none */

    return !row || (at_us && now_us - json_integer_value(at_us) >= STORE_REPEAT_HOURS * HOUR_US);
}

/* ---- what a tenant has ---- */

static struct catalog_sum count_anew(struct catalog_txn *t, const char *tenant)
{
    char prefix[CATALOG_KEY_SIZE];

    store_dataset_key(prefix, tenant, "");
    return catalog_sum(t, CATALOG_REPEATS, prefix);
}

static struct catalog_sum count(struct catalog_txn *t, const char *tenant)
{
    json_t *row = NULL;

    if (!t->status) {
        row = catalog_get(t, CATALOG_REPEATS, tenant);
        if (t->status == ST_CORRUPT)
            catalog_forgive(t);
    }
    const json_t *rows = json_object_get(row, "rows"), *bytes = json_object_get(row, "bytes");
    struct catalog_sum kept = {(uint64_t)json_integer_value(rows),
                               (uint64_t)json_integer_value(bytes)};
    if (!json_is_integer(rows) || !json_is_integer(bytes))
        kept = count_anew(t, tenant);
    json_decref(row);
    return kept;
}

static void put_count(struct catalog_txn *t, const char *tenant, const struct catalog_sum *kept)
{
    json_t *row = json_object();

    store_set(t, row, "rows", json_integer((json_int_t)kept->rows));
    store_set(t, row, "bytes", json_integer((json_int_t)kept->bytes));
    catalog_put(t, CATALOG_REPEATS, tenant, row);
    json_decref(row);
}

/* Puts the row, or deletes it: NULL. */
static void change(struct catalog_txn *t, const char *key, const json_t *row)
{
    char tenant[STORE_NAME_SIZE];

    snprintf(tenant, sizeof tenant, "%.*s", (int)strcspn(key, "/"), key);
    struct catalog_sum kept = count(t, tenant);
    struct catalog_sum before = catalog_sum(t, CATALOG_REPEATS, key);
    if (kept.rows < before.rows || kept.bytes < before.bytes)
        kept = count_anew(t, tenant); /* somebody of before there were counters was here */
    if (row)
        catalog_put(t, CATALOG_REPEATS, key, row);
    else
        catalog_delete(t, CATALOG_REPEATS, key);
    struct catalog_sum after = catalog_sum(t, CATALOG_REPEATS, key);
    kept.rows += after.rows - before.rows;
    kept.bytes += after.bytes - before.bytes;
    if (kept.rows > 0)
        put_count(t, tenant, &kept);
    else
        catalog_delete(t, CATALOG_REPEATS, tenant);
}

void repeat_forget(struct catalog_txn *t, const char *key)
{
    if (strchr(key, '/'))
        change(t, key, NULL);
    else
        catalog_delete(t, CATALOG_REPEATS, key); /* a damaged counter */
}

void repeat_forget_tenant(struct catalog_txn *t, const char *tenant)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *row;

    store_dataset_key(prefix, tenant, "");
    while (catalog_after_any(&row, t, CATALOG_REPEATS, prefix, key)) {
        catalog_delete(t, CATALOG_REPEATS, key);
        json_decref(row);
    }
    catalog_delete(t, CATALOG_REPEATS, tenant);
}

static void check_room(struct catalog_txn *t, const char *tenant)
{
    struct catalog_sum kept = count(t, tenant);

    if (kept.bytes >= STORE_REPEATS_BYTES_MAX)
        catalog_fail(
            t, st_hint(st_fail(ST_FULL, "QUOTA",
                               "what was answered to the tenant's Idempotency-Keys within %d hours "
                               "has %u MiB",
                               STORE_REPEAT_HOURS, STORE_REPEATS_BYTES_MAX >> 20),
                       "send the request without one"));
    else if (kept.rows >= STORE_REPEATS_MAX)
        catalog_fail(t, st_hint(st_fail(ST_FULL, "QUOTA",
                                        "the tenant has used %d Idempotency-Keys within %d hours",
                                        STORE_REPEATS_MAX, STORE_REPEAT_HOURS),
                                "send the request without one"));
}

static void check_same(struct catalog_txn *t, const json_t *row, const struct store_repeat *r)
{
    const char *sha256 = json_string_value(json_object_get(row, "sha256"));
    char hex[DIGEST_HEX_SIZE];

    digest_hex(hex, r->request, sizeof r->request);
    if (!sha256 || strcmp(sha256, hex) != 0)
        catalog_fail(t, st_hint(st_fail(ST_REUSED, "IDEMPOTENCY_KEY_REUSED",
                                        "the Idempotency-Key came with another request before"),
                                "use a new key for a new request"));
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
    json_t *row = catalog_get(&t, CATALOG_REPEATS, key);
    bool known = row && !repeat_is_over(row, r->now_us);
    if (known)
        check_same(&t, row, r);
    else
        check_room(&t, r->tenant);
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

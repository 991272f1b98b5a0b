#include "store/usage.h"

#include "store/catalog.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

/* Keys are tenant/day/16 digits of the SHA-256 of what else a row is of: a subject can be longer
 * than a key. */

static void make_key(char out[CATALOG_KEY_SIZE], const struct store_usage *u)
{
    unsigned char digest[DIGEST_BYTES];
    char text[STORE_NAME_SIZE * 2 + STORE_SUBJECT_SIZE + 2], hex[33];
    int n = snprintf(text, sizeof text, "%s/%.63s/%s", u->dataset, u->operation, u->subject);

    digest_sha256(digest, text, (size_t)n);
    digest_hex(hex, digest, 16);
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s/%s", u->tenant, u->day, hex);
}

static void add_number(struct catalog_txn *t, json_t *row, const char *name, uint64_t amount)
{
    json_int_t before = json_integer_value(json_object_get(row, name));

    store_set(t, row, name, json_integer(before + (json_int_t)amount));
}

void usage_add(struct catalog_txn *t, const struct store_usage *u)
{
    char key[CATALOG_KEY_SIZE];

    make_key(key, u);
    json_t *row = catalog_get(t, CATALOG_USAGE, key);
    if (!row)
        row = json_pack("{s:s, s:s*, s:s, s:s*}", "day", u->day, "dataset",
                        u->dataset[0] ? u->dataset : NULL, "operation", u->operation, "subject",
                        u->subject[0] ? u->subject : NULL);
    if (!row) {
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
        return;
    }
    add_number(t, row, "requests", u->requests);
    add_number(t, row, "keys", u->keys);
    add_number(t, row, "matches", u->matches);
    add_number(t, row, "bytes", u->bytes);
    add_number(t, row, "job_ms", u->job_ms);
    if (!t->status)
        catalog_put(t, CATALOG_USAGE, key, row);
    json_decref(row);
}

enum st store_usage_add(struct store *s, const struct store_usage *rows, size_t count)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    for (size_t i = 0; i < count && !t.status; i++)
        usage_add(&t, &rows[i]);
    return catalog_commit(&t);
}

/* Kept in milliseconds, so that sums are exact. */
static void show_seconds(struct catalog_txn *t, json_t *row)
{
    json_int_t ms = json_integer_value(json_object_get(row, "job_ms"));

    json_object_del(row, "job_ms");
    store_set(t, row, "job_seconds", json_real((double)ms / 1000));
}

enum st store_usage_list(json_t **items, char next[256], struct store *s, const char *tenant,
                         const char *from, const char *to, const char *after, size_t limit)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    json_t *row;

    *items = json_array();
    next[0] = '\0';
    snprintf(prefix, sizeof prefix, "%s/", tenant);
    snprintf(key, sizeof key, "%s%s", prefix, *after ? after : from ? from : "");
    catalog_begin_read(&t, &s->catalog);
    while ((row = catalog_after(&t, CATALOG_USAGE, prefix, key))) {
        const char *rest = key + strlen(prefix);
        if (to && strncmp(rest, to, STORE_DAY_SIZE - 1) > 0) {
            json_decref(row);
            break;
        }
        if (json_array_size(*items) == limit) {
            json_decref(row);
            break;
        }
        show_seconds(&t, row);
        if (json_array_append_new(*items, row) != 0)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
        else if (json_array_size(*items) == limit)
            snprintf(next, 256, "%s", rest);
    }
    if (!row)
        next[0] = '\0';
    enum st st = catalog_end(&t);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}

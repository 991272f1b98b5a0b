#include "store/usage.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/catalog.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

/* Keys are tenant/day/16 digits of the SHA-256 of the subject/16 of that of what else a row is of,
 * without the last slash: a subject can be longer than a key, and all rows of one stand together.
 *
 * A tenant's tokens can have as many subjects as it likes. How many of a day have rows of their own
 * is counted, and those that come when there are enough share rows. */

#define DIGITS 16u

static void add_hash(char *out, const char *text)
{
    unsigned char digest[DIGEST_BYTES];

    digest_sha256(digest, text, strlen(text));
    digest_hex(out, digest, DIGITS / 2);
}

/* *subject_len: of that part of the key which all rows of the subject have. */
static void make_key(char out[CATALOG_KEY_SIZE], size_t *subject_len, const struct store_usage *u)
{
    char rest[2 * STORE_NAME_SIZE + 1];
    int len = snprintf(out, CATALOG_KEY_SIZE - 2 * DIGITS, "%s/%s/", u->tenant, u->day);

    *subject_len = (size_t)len + DIGITS;
    snprintf(rest, sizeof rest, "%s/%.63s", u->dataset, u->operation);
    add_hash(out + len, u->subject);
    add_hash(out + *subject_len, rest);
}

static json_int_t most_subjects(struct catalog_txn *t, const char *tenant)
{
    json_t *row;

    (void)store_tenant_row(&row, t, tenant); /* a damaged one has the usual number */
    json_int_t most =
        json_integer_value(json_object_get(json_object_get(row, "limits"), "max_usage_subjects"));
    json_decref(row);
    return most ? most : STORE_USAGE_SUBJECTS;
}

/* Has the subject a row of that day, or may it have one? Then it is counted. When the counter is
 * damaged nobody knows whether there are enough. */
static bool may_have_rows(struct catalog_txn *t, const struct store_usage *u, const char *prefix)
{
    char key[CATALOG_KEY_SIZE] = "", counter[CATALOG_KEY_SIZE];
    json_t *row;
    bool known = catalog_after_any(&row, t, CATALOG_USAGE, prefix, key);

    json_decref(row);
    if (known || t->status)
        return true;
    snprintf(counter, sizeof counter, "usage/%s/%s", u->tenant, u->day);
    bool counted = catalog_get_any(&row, t, CATALOG_COUNTERS, counter);
    json_int_t count = json_integer_value(json_object_get(row, "subjects"));
    json_decref(row);
    if (!counted || t->status || count >= most_subjects(t, u->tenant))
        return false;
    row = json_pack("{s:I}", "subjects", count + 1);
    if (row)
        catalog_put(t, CATALOG_COUNTERS, counter, row);
    else
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    json_decref(row);
    return true;
}

static void add_number(struct catalog_txn *t, json_t *row, const char *name, uint64_t amount)
{
    json_int_t before = json_integer_value(json_object_get(row, name));

    store_set(t, row, name, json_integer(before + (json_int_t)amount));
}

static json_t *new_row(struct catalog_txn *t, const struct store_usage *u)
{
    json_t *row = json_object();

    store_set(t, row, "day", json_string(u->day));
    if (u->dataset[0])
        store_set(t, row, "dataset", json_string(u->dataset));
    store_set(t, row, "operation", json_string(u->operation));
    if (u->subject[0])
        store_set(t, row, "subject", json_string(u->subject));
    return row;
}

/* NULL: there is none yet. Of one that is damaged nobody knows what it said: it begins anew, and
 * tells that it is not all. */
static json_t *get_row(struct catalog_txn *t, const char *key, const struct store_usage *u)
{
    if (t->status)
        return NULL;
    json_t *row = catalog_get(t, CATALOG_USAGE, key);
    if (t->status != ST_CORRUPT)
        return row;
    log_failure(LOG_LEVEL_ERROR, "usage_damaged",
                "what tenant %s has used on %s by %s is counted anew in one row", u->tenant, u->day,
                u->operation);
    catalog_forgive(t);
    if (t->status)
        return NULL;
    row = new_row(t, u);
    store_set(t, row, "incomplete", json_true());
    return row;
}

static void add_to(struct catalog_txn *t, const char *key, json_t *row, const struct store_usage *u)
{
    add_number(t, row, "requests", u->requests);
    add_number(t, row, "keys", u->keys);
    add_number(t, row, "matches", u->matches);
    add_number(t, row, "bytes", u->bytes);
    add_number(t, row, "job_ms", u->job_ms);
    if (!t->status)
        catalog_put(t, CATALOG_USAGE, key, row);
}

void usage_add(struct catalog_txn *t, const struct store_usage *u)
{
    char key[CATALOG_KEY_SIZE], prefix[CATALOG_KEY_SIZE];
    struct store_usage shared;
    size_t subject_len;

    make_key(key, &subject_len, u);
    json_t *row = get_row(t, key, u);
    if (!row && !t->status && store_usage_is_named(u)) {
        snprintf(prefix, sizeof prefix, "%.*s", (int)subject_len, key);
        if (!may_have_rows(t, u, prefix)) {
            shared = *u;
            strcpy(shared.subject, STORE_USAGE_OTHERS);
            u = &shared;
            make_key(key, &subject_len, u);
            row = get_row(t, key, u);
        }
    }
    if (!row && !t->status)
        row = new_row(t, u);
    if (row)
        add_to(t, key, row, u);
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

/* Of a damaged row only the key is known, of which the day can be read. */
static json_t *unreadable_row(struct catalog_txn *t, const char *day)
{
    json_t *row = json_pack("{s:s#, s:s, s:i, s:i, s:i, s:i, s:b}", "day", day, STORE_DAY_SIZE - 1,
                            "operation", STORE_USAGE_UNREADABLE, "requests", 0, "keys", 0,
                            "matches", 0, "bytes", 0, "incomplete", 1);

    if (!row)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    return row;
}

enum st store_usage_check_day(const char *day)
{
    char text[32];
    int64_t at_us;

    if (!day)
        return ST_OK;
    snprintf(text, sizeof text, "%.11sT00:00:00Z", day);
    return clock_parse(&at_us, text)
               ? st_fail(ST_INVALID, "INVALID_TIME", "not a day such as 2026-01-31")
               : ST_OK;
}

enum st store_usage_list(json_t **items, char next[256], struct store *s, const char *tenant,
                         const char *from, const char *to, const char *after, size_t limit)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    bool more;
    json_t *row;

    *items = json_array();
    next[0] = '\0';
    snprintf(prefix, sizeof prefix, "%s/", tenant);
    snprintf(key, sizeof key, "%s%s", prefix, *after ? after : from ? from : "");
    catalog_begin_read(&t, &s->catalog);
    while ((more = catalog_after_any(&row, &t, CATALOG_USAGE, prefix, key))) {
        const char *rest = key + strlen(prefix);
        bool past = to && strncmp(rest, to, STORE_DAY_SIZE - 1) > 0;
        if (past || json_array_size(*items) == limit) {
            more = !past;
            json_decref(row);
            break;
        }
        if (!row)
            row = unreadable_row(&t, rest);
        show_seconds(&t, row);
        if (json_array_append_new(*items, row) != 0)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
        else if (json_array_size(*items) == limit)
            snprintf(next, 256, "%s", rest);
    }
    if (!more)
        next[0] = '\0';
    enum st st = catalog_end(&t);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}

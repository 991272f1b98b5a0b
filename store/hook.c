#include "store/hook.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"
#include "store/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CATALOG_HOOKS: tenant/MESSAGE -> {"payload","tries","due_us"}. Taking one moves its time on, so
 * that whoever dies with it in hand delays it, and no more. The URL is the tenant's of the moment:
 * messages of a tenant without one are not written, and those that wait then go. */

#define PAUSE_US 60000000

/* After the first try, the second ...: those that Standard Webhooks names, three days in all. */
static const int64_t AGAIN_S[] = {5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400};
enum { TRIES = 1 + sizeof AGAIN_S / sizeof AGAIN_S[0] };
#define OTHERS_US (10 * PAUSE_US) /* more than a message ever waits for a tenant's others */

/* ---- writing one ---- */

static const char *text_or_null(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* One line for people, in chat hooks: names, numbers and codes, no value of a record. */
static void describe(char out[512], const json_t *job, const char *state)
{
    const json_t *result = json_object_get(job, "result");
    const json_t *error = json_object_get(result, "error");
    const char *dataset = queue_text(job, "dataset"), *outcome = text_or_null(result, "outcome");
    const char *code = text_or_null(error ? error : json_object_get(job, "error"), "code");
    json_int_t version = queue_number(result, "version");

    if (strcmp(state, "succeeded") == 0)
        snprintf(out, 512, "%s: version %lld is built (%s)", dataset, (long long)version,
                 outcome ? outcome : "succeeded");
    else if (strcmp(state, "held") == 0)
        snprintf(out, 512, "%s: version %lld is HELD and waits for a promotion", dataset,
                 (long long)version);
    else
        snprintf(out, 512, "%s: job %s %s (%s)", dataset, queue_text(job, "job"), state,
                 code ? code : "no reason");
}

static void copy(struct catalog_txn *t, json_t *data, const char *name, json_t *value)
{
    if (value)
        store_set(t, data, name, json_incref(value));
}

static json_t *payload_of(struct catalog_txn *t, const json_t *job, const char *state)
{
    static const char *const COPIED[] = {"job",     "tenant",     "dataset",  "state",
                                         "attempt", "created_at", "ended_at", "actor"};
    const json_t *result = json_object_get(job, "result");
    json_t *error = json_object_get(result, "error"), *data = json_object();
    char text[512], type[64];

    for (size_t i = 0; i < sizeof COPIED / sizeof COPIED[0]; i++)
        copy(t, data, COPIED[i], json_object_get(job, COPIED[i]));
    copy(t, data, "version", json_object_get(result, "version"));
    copy(t, data, "outcome", json_object_get(result, "outcome"));
    copy(t, data, "error", error ? error : json_object_get(job, "error"));
    describe(text, job, state);
    snprintf(type, sizeof type, "job.%s", state);
    return json_pack("{s:s, s:O, s:o, s:s}", "type", type, "timestamp",
                     json_object_get(job, "ended_at"), "data", data, "text", text);
}

/* Keys are in the order of jobs: the first is the oldest. */
static void make_room(struct catalog_txn *t, const char *tenant)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *message = NULL;

    store_dataset_key(prefix, tenant, "");
    if (catalog_sum(t, CATALOG_HOOKS, prefix).rows < STORE_HOOKS_MAX)
        return;
    if (catalog_after_any(&message, t, CATALOG_HOOKS, prefix, key))
        catalog_delete(t, CATALOG_HOOKS, key);
    json_decref(message);
    log_event(LOG_LEVEL_ERROR, "webhook", "%s is given up: %d wait for the tenant's webhook", key,
              STORE_HOOKS_MAX);
}

void hook_add(struct catalog_txn *t, const json_t *job)
{
    const char *tenant = queue_text(job, "tenant"), *state = queue_text(job, "state");
    char key[CATALOG_KEY_SIZE];
    json_t *row;
    bool known = store_tenant_row(&row, t, tenant); /* else it is decided when it is sent */
    bool wanted = (!known || *queue_text(row, "webhook")) && strcmp(state, "canceled") != 0;

    json_decref(row);
    if (!wanted)
        return;
    make_room(t, tenant);
    json_t *payload = payload_of(t, job, state), *message = json_object();
    char *text = payload ? jx_text(payload, false) : NULL;
    snprintf(key, sizeof key, "%s/msg_%s_%lld_%s", tenant, queue_text(job, "job"),
             (long long)queue_number(job, "attempt"), state);
    store_set(t, message, "payload", text ? json_string(text) : NULL);
    store_set(t, message, "tries", json_integer(0));
    store_set(t, message, "due_us", json_integer(clock_wall_us()));
    catalog_put(t, CATALOG_HOOKS, key, message);
    free(text);
    json_decref(payload);
    json_decref(message);
}

/* ---- delivering ---- */

static void hook_key(char out[CATALOG_KEY_SIZE], const struct store_hook *h)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s", h->tenant, h->id);
}

/* What is further off than it can be was put off by a clock that has been set back: it is due. */
static int64_t due_at(const json_t *message, int64_t now_us)
{
    json_int_t due_us = queue_number(message, "due_us"), tries = queue_number(message, "tries");
    int64_t again_us = tries > 0 && tries < TRIES ? AGAIN_S[tries - 1] * 1000000 : 0;

    return due_us - now_us > again_us + OTHERS_US ? now_us : due_us;
}

/* When a tenant's turn is: a damaged message is before all others, then come the tenants behind the
 * one that had its turn last. */
static int turn_of(const char *key, int64_t due_us, const char *last)
{
    return due_us == 0 ? 0 : strncmp(key, last, strlen(last)) > 0 ? 1 : 2;
}

static bool has_same_tenant(const char *a, const char *b)
{
    size_t len = strcspn(a, "/") + 1;

    return strncmp(a, b, len) == 0;
}

/* The key of the one whose turn is next: of a tenant's that are due, the first; the tenants take
 * turns. round->next_us is when one of all is due first. */
static bool find_first(char out[CATALOG_KEY_SIZE], struct store_hook_round *round,
                       struct catalog_txn *t, int64_t now_us)
{
    char key[CATALOG_KEY_SIZE] = "";
    int64_t first_us = 0;
    int first = 3; /* none yet */
    json_t *message;

    round->next_us = INT64_MAX;
    while (catalog_after_any(&message, t, CATALOG_HOOKS, "", key)) {
        int64_t due_us = due_at(message, now_us); /* 0: damaged */
        int turn = turn_of(key, due_us, round->last);
        json_decref(message);
        if (due_us < round->next_us)
            round->next_us = due_us;
        if (due_us <= now_us &&
            (turn < first || (turn == first && has_same_tenant(key, out) && due_us < first_us))) {
            first = turn;
            first_us = due_us;
            memcpy(out, key, CATALOG_KEY_SIZE);
        }
    }
    return first < 3;
}

/* False: where to is not known, because the tenant's row is damaged. */
static bool fill(struct store_hook *out, struct catalog_txn *t, const char *key,
                 const json_t *message)
{
    size_t tenant_len = strcspn(key, "/");
    json_t *row;

    snprintf(out->tenant, sizeof out->tenant, "%.*s", (int)tenant_len, key);
    snprintf(out->id, sizeof out->id, "%s", key + tenant_len + 1);
    bool known = store_tenant_row(&row, t, out->tenant);
    snprintf(out->url, sizeof out->url, "%s", queue_text(row, "webhook"));
    json_decref(row);
    out->payload = strdup(queue_text(message, "payload"));
    out->tries = (unsigned)queue_number(message, "tries") + 1;
    if (!out->payload)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    return known;
}

static void put_off(struct catalog_txn *t, const char *key, json_t *message, int64_t due_us)
{
    store_set(t, message, "due_us", json_integer(due_us));
    catalog_put(t, CATALOG_HOOKS, key, message);
}

/* Those of a tenant that are due before: also what a clock that has been set back has dated. */
static void put_off_all(struct catalog_txn *t, const char *tenant, int64_t now_us, int64_t due_us)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *message;

    store_dataset_key(prefix, tenant, "");
    while (catalog_after_any(&message, t, CATALOG_HOOKS, prefix, key)) {
        if (message && due_at(message, now_us) < due_us)
            put_off(t, key, message, due_us);
        json_decref(message);
    }
}

/* Nobody knows what it said. */
static void drop(struct catalog_txn *t, const char *key)
{
    log_failure(LOG_LEVEL_ERROR, "hook_damaged", "%s is not sent", key);
    catalog_delete(t, CATALOG_HOOKS, key);
}

/* False: somebody else has it, or nobody knows where to, and it waits with the tenant's others. */
static bool take_up(struct store_hook *out, struct catalog_txn *t, const char *key, int64_t now_us)
{
    json_t *message;
    bool whole = catalog_get_any(&message, t, CATALOG_HOOKS, key);
    bool due = message && due_at(message, now_us) <= now_us;
    bool found = due && fill(out, t, key, message);

    if (!whole) {
        drop(t, key);
    } else if (found) {
        store_set(t, message, "tries", json_integer(out->tries));
        put_off(t, key, message, now_us + PAUSE_US);
    } else if (due) {
        put_off_all(t, out->tenant, now_us, now_us + PAUSE_US);
        store_hook_release(out);
    }
    json_decref(message);
    return found;
}

enum st store_hook_take(struct store_hook *out, struct store_hook_round *round, struct store *s,
                        int64_t now_us)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    *out = (struct store_hook){0};
    bool idle = round->next_us > now_us && round->looked_us <= now_us;
    if (round->seen && !catalog_moved(&s->catalog, round->seen) && idle)
        return ST_NOT_FOUND;
    round->looked_us = now_us;
    catalog_begin_read(&t, &s->catalog);
    round->seen = catalog_txn_id(&t);
    bool due = find_first(key, round, &t, now_us);
    enum st st = catalog_end(&t);
    if (st || !due)
        return st ? st : ST_NOT_FOUND;
    /* All that waits was read while others could write; it is read again only if they did. */
    catalog_begin_write(&t, &s->catalog);
    bool found = take_up(out, &t, key, now_us);
    while (!found && find_first(key, round, &t, now_us))
        found = take_up(out, &t, key, now_us);
    st = catalog_commit(&t);
    if (st || !found)
        store_hook_release(out);
    else
        snprintf(round->last, sizeof round->last, "%s/", out->tenant);
    return st || found ? st : ST_NOT_FOUND;
}

void store_hook_release(struct store_hook *h)
{
    free(h->payload);
    *h = (struct store_hook){0};
}

enum st store_hook_delivered(struct store *s, const struct store_hook *h, int64_t now_us,
                             int64_t until_us)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    hook_key(key, h);
    catalog_begin_write(&t, &s->catalog);
    catalog_delete(&t, CATALOG_HOOKS, key);
    if (until_us)
        put_off_all(&t, h->tenant, now_us, until_us);
    return catalog_commit(&t);
}

static int64_t later(int64_t a_us, int64_t b_us)
{
    return a_us > b_us ? a_us : b_us;
}

enum st store_hook_failed(bool *last, struct store *s, const struct store_hook *h, int64_t now_us,
                          int64_t until_us)
{
    int64_t others_us = later(now_us + PAUSE_US, until_us);
    char mine[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    *last = h->tries >= TRIES;
    if (*last)
        return store_hook_delivered(s, h, now_us, others_us);
    hook_key(mine, h);
    catalog_begin_write(&t, &s->catalog);
    put_off_all(&t, h->tenant, now_us, others_us);
    json_t *message = catalog_get(&t, CATALOG_HOOKS, mine);
    if (message)
        put_off(&t, mine, message, later(now_us + AGAIN_S[h->tries - 1] * 1000000, until_us));
    json_decref(message);
    return catalog_commit(&t);
}

/* ---- the key ---- */

static enum st key_path(char out[FS_PATH_MAX], const char *keys_dir, const char *tenant)
{
    enum st st = store_name_check("tenant", tenant);

    return st ? st : fs_path(out, "%s/%s/webhook.key", keys_dir, tenant);
}

enum st store_hook_key_create(struct store *s, const char *tenant)
{
    char path[FS_PATH_MAX], directory[FS_PATH_MAX];
    enum st st = key_path(path, s->keys_dir, tenant);

    if (!st && access(path, F_OK) == 0) /* also where nobody may write */
        return ST_OK;
    if (!st)
        st = fs_path(directory, "%s/%s", s->keys_dir, tenant);
    if (!st)
        st = fs_mkdir_all(directory, 0700);
    if (!st)
        st = store_key_file_create(path);
    return st == ST_CONFLICT ? ST_OK : st;
}

enum st store_hook_key_read(struct secret *out, const char *keys_dir, const char *tenant)
{
    char path[FS_PATH_MAX];
    enum st st = key_path(path, keys_dir, tenant);

    if (!st)
        st = secret_read_file(out, path);
    if (!st && out->len < STORE_HOOK_KEY_BYTES) {
        secret_release(out);
        st = st_fail(ST_INVALID, "BAD_KEY", "webhook.key of tenant \"%s\" is shorter than %d bytes",
                     tenant, STORE_HOOK_KEY_BYTES);
    }
    return st;
}

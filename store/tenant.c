#include "store/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/head_file.h"
#include "store/hook.h"
#include "store/repeat_internal.h"
#include "store/revocation.h"

#include <stdio.h>
#include <string.h>

/* A tenant's row. Its keys are files under KEYS/<tenant>: hmac/<id>.key for protected datasets,
 * tokens/ for what auth/ loads. The row only says which HMAC key new versions use; every segment
 * names its own. */

#define HMAC_KEY_BYTES 32

const char *const store_tenant_classes[] = {STORE_TENANT_CLASSES, NULL};

enum st store_tenant_class_parse(uint32_t *out, const char *name)
{
    for (uint32_t i = 0; store_tenant_classes[i]; i++)
        if (strcmp(store_tenant_classes[i], name) == 0) {
            *out = i;
            return ST_OK;
        }
    return st_hint(
        st_fail(ST_INVALID, "INVALID_VALUE", "there is no class of tenants of that name"),
        "standard, priority, trial or internal");
}

void store_tenant_init(struct store_tenant *t, const char *name)
{
    memset(t, 0, sizeof *t); /* padding too: rows are compared bytewise */
    t->enabled = true;
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->issuer, sizeof t->issuer, "everline");
    snprintf(t->audience, sizeof t->audience, "everline");
}

/* Members of "limits". */
static const struct limit {
    const char *name;
    size_t offset;
    bool wide; /* uint64_t, else uint32_t */
} LIMITS[] = {
#define NARROW(member)                                                                             \
    {                                                                                              \
#member, offsetof(struct store_tenant, member), false                                      \
    }
#define WIDE(member)                                                                               \
    {                                                                                              \
#member, offsetof(struct store_tenant, member), true                                       \
    }
    NARROW(max_batch_keys),
    NARROW(max_datasets),
    NARROW(max_concurrent_jobs),
    NARROW(max_queued_jobs),
    WIDE(max_upload_bytes),
    WIDE(max_audit_bytes),
    NARROW(max_versions),
    WIDE(max_stored_bytes),
    NARROW(max_usage_subjects),
    NARROW(requests_per_second),
    NARROW(requests_burst),
    WIDE(requests_per_day),
    NARROW(subject_requests_per_second),
    NARROW(subject_requests_burst),
    WIDE(subject_requests_per_day),
};
enum { LIMIT_COUNT = sizeof LIMITS / sizeof LIMITS[0] };

static uint64_t get_limit(const struct store_tenant *t, const struct limit *l)
{
    const void *at = (const char *)t + l->offset;

    return l->wide ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static void set_limit(struct store_tenant *t, const struct limit *l, int64_t value)
{
    void *at = (char *)t + l->offset;

    if (l->wide)
        *(uint64_t *)at = (uint64_t)value;
    else
        *(uint32_t *)at = (uint32_t)value;
}

enum st store_tenant_to_json(json_t **out, const struct store_tenant *t)
{
    json_t *limits = json_object();

    *out = NULL;
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        if (json_object_set_new(limits, LIMITS[i].name,
                                json_integer((json_int_t)get_limit(t, &LIMITS[i]))) != 0) {
            json_decref(limits); /* a limit that is left out is none */
            return st_fail(ST_NOMEM, NULL, "out of memory");
        }
    *out = json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "tenant", t->name,
                     "enabled", t->enabled ? 1 : 0, "class", store_tenant_classes[t->class],
                     "issuer", t->issuer, "audience", t->audience, "jwks", t->jwks, "webhook",
                     t->webhook, "hmac_key_id", t->hmac_key_id, "hmac_key_check", t->hmac_key_check,
                     "limits", limits);
    return *out ? ST_OK
                : st_fail(ST_INVALID, "INVALID_TENANT",
                          "issuer or audience of the tenant is not valid UTF-8");
}

enum st store_tenant_limits_from_json(struct store_tenant *t, const json_t *limits,
                                      const char *pointer)
{
    const char *names[LIMIT_COUNT + 1] = {NULL};
    enum st st = ST_OK;

    for (size_t i = 0; i < LIMIT_COUNT; i++)
        names[i] = LIMITS[i].name;
    if (limits)
        st = jx_only(limits, pointer, names);
    for (size_t i = 0; !st && limits && i < LIMIT_COUNT; i++) {
        int64_t value = 0;
        st = jx_integer(&value, limits, pointer, LIMITS[i].name, 0, 0,
                        LIMITS[i].wide ? INT64_MAX : UINT32_MAX);
        set_limit(t, &LIMITS[i], value);
    }
    return st;
}

enum st store_tenant_from_json(struct store_tenant *t, const json_t *row)
{
    const char *name, *issuer, *audience, *jwks = "", *webhook = "", *key_id, *key_check = NULL;
    const char *class = NULL;
    uint32_t class_index = 0;
    json_t *limits = NULL;
    bool enabled;
    enum st st = jx_need_string(&name, row, "", "tenant");

    if (!st)
        st = jx_boolean(&enabled, row, "", "enabled", false);
    if (!st)
        st = jx_string(&class, row, "", "class", store_tenant_classes[0]);
    if (!st)
        st = store_tenant_class_parse(&class_index, class);
    if (!st)
        st = jx_need_string(&issuer, row, "", "issuer");
    if (!st)
        st = jx_need_string(&audience, row, "", "audience");
    if (!st)
        st = jx_string(&jwks, row, "", "jwks", "");
    if (!st)
        st = jx_string(&webhook, row, "", "webhook", "");
    if (!st)
        st = jx_need_string(&key_id, row, "", "hmac_key_id");
    if (!st)
        st = jx_string(&key_check, row, "", "hmac_key_check", "");
    if (!st)
        st = jx_object(&limits, row, "", "limits");
    if (!st) {
        store_tenant_init(t, name);
        st = store_tenant_limits_from_json(t, limits, "/limits");
    }
    if (st)
        return st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "a tenant's row is damaged");
    t->enabled = enabled;
    t->class = class_index;
    snprintf(t->issuer, sizeof t->issuer, "%s", issuer);
    snprintf(t->audience, sizeof t->audience, "%s", audience);
    snprintf(t->jwks, sizeof t->jwks, "%s", jwks);
    snprintf(t->webhook, sizeof t->webhook, "%s", webhook);
    snprintf(t->hmac_key_id, sizeof t->hmac_key_id, "%s", key_id);
    snprintf(t->hmac_key_check, sizeof t->hmac_key_check, "%s", key_check);
    return ST_OK;
}

/* A key is registered when it is first named in the row: with what it makes of its own id. */
static enum st key_check(char out[33], const struct secret *key, const char *id)
{
    unsigned char digest[DIGEST_BYTES];
    struct digest_hmac *hmac = NULL;
    char text[STORE_NAME_SIZE + 32];
    int len = snprintf(text, sizeof text, "everline key check/%s", id);
    enum st st = digest_hmac_new(&hmac, key);

    if (!st) {
        digest_hmac_sum(digest, hmac, text, (size_t)len);
        digest_hex(out, digest, 16);
    }
    digest_hmac_free(hmac);
    return st;
}

static enum st register_key(struct store_tenant *t, const struct store *s)
{
    struct secret key = {0};

    if (!t->hmac_key_id[0] || t->hmac_key_check[0])
        return ST_OK;
    enum st st = store_hmac_key_read(&key, s->keys_dir, t->name, t->hmac_key_id);
    if (st == ST_NOT_FOUND)
        return ST_OK; /* the keys directory is not here: another time */
    if (!st)
        st = key_check(t->hmac_key_check, &key, t->hmac_key_id);
    secret_release(&key);
    return st;
}

enum st store_tenant_hmac_key(struct secret *out, const struct store *s,
                              const struct store_tenant *t)
{
    char check[33];
    enum st st = store_hmac_key_read(out, s->keys_dir, t->name, t->hmac_key_id);

    if (!st)
        st = key_check(check, out, t->hmac_key_id);
    if (!st && t->hmac_key_check[0] && strcmp(check, t->hmac_key_check) != 0)
        st = st_hint(st_fail(ST_CORRUPT, "KEY_CHANGED",
                             "HMAC key \"%s\" of tenant \"%s\" is not the one that was registered",
                             t->hmac_key_id, t->name),
                     "put the right key file back into the keys directory");
    if (st)
        secret_release(out);
    return st;
}

bool store_tenant_row(json_t **row, struct catalog_txn *t, const char *name)
{
    return catalog_get_any(row, t, CATALOG_TENANTS, name);
}

enum st store_tenant_put(struct store *s, const struct store_tenant *tenant)
{
    struct catalog_txn t;
    struct store_tenant registered = *tenant;
    enum st st = store_name_check("tenant", tenant->name);

    if (!st)
        st = register_key(&registered, s);
    if (!st && tenant->webhook[0]) /* before the row: who sees it finds what signs */
        st = store_hook_key_create(s, tenant->name);
    if (st)
        return st;
    json_t *row = NULL;
    st = store_tenant_to_json(&row, &registered);
    if (st)
        return st;
    catalog_begin_write(&t, &s->catalog);
    catalog_put(&t, CATALOG_TENANTS, tenant->name, row);
    head_file_write_tenant(&t, s->heads_dir, tenant->name,
                           row); /* before the commit, as a head's */
    json_decref(row);
    return catalog_commit(&t);
}

enum st store_tenant_delete(struct store *s, const char *name)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;

    store_dataset_key(prefix, name, "");
    catalog_begin_write(&t, &s->catalog);
    json_t *dataset = catalog_after(&t, CATALOG_DEFINITIONS, prefix, key);
    if (dataset)
        catalog_fail(&t,
                     st_hint(st_fail(ST_CONFLICT, "TENANT_NOT_EMPTY", "the tenant has datasets"),
                             "disable it: then its tokens are refused"));
    json_decref(dataset);
    catalog_delete(&t, CATALOG_TENANTS, name);
    store_revoke_all(&t, name);
    repeat_forget_tenant(&t, name);
    head_file_remove_tenant(&t, s->heads_dir, name);
    return catalog_commit(&t);
}

enum st store_tenant_get(struct store_tenant *out, struct store *s, const char *name)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &s->catalog);
    json_t *row = catalog_get(&t, CATALOG_TENANTS, name);
    enum st st = catalog_end(&t);
    if (!st && !row)
        st = st_hint(st_fail(ST_NOT_FOUND, "UNKNOWN_TENANT", "there is no tenant \"%s\"", name),
                     "list them: everline tenant list --data %s", s->data_dir);
    if (!st)
        st = store_tenant_from_json(out, row);
    json_decref(row);
    return st;
}

enum st store_tenant_list(json_t **items, struct store *s)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *row;

    *items = json_array();
    catalog_begin_read(&t, &s->catalog);
    while (catalog_after_any(&row, &t, CATALOG_TENANTS, "", key)) {
        if (store_name_check("tenant", key)) {
            log_event(
                LOG_LEVEL_ERROR, "tenant_damaged",
                "the name of a tenant is damaged: it is not listed until the catalog is rebuilt");
            json_decref(row);
            continue;
        }
        if (!row)
            row = json_pack("{s:s, s:s}", "tenant", key, "problem", "CATALOG_DAMAGED");
        if (json_array_append_new(*items, row) != 0)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
    }
    enum st st = catalog_end(&t);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}

enum st store_key_file_create(const char *path)
{
    unsigned char key[HMAC_KEY_BYTES];
    char hex[HMAC_KEY_BYTES * 2 + 2];
    enum st st = digest_random(key, sizeof key);

    if (st)
        return st;
    digest_hex(hex, key, sizeof key);
    hex[HMAC_KEY_BYTES * 2] = '\n';
    st = fs_write_new(path, hex, HMAC_KEY_BYTES * 2 + 1, 0600);
    secret_wipe(key, sizeof key);
    secret_wipe(hex, sizeof hex);
    return st;
}

/* Ids count the days and a random tail: they sort by age and never collide with a removed one. */
enum st store_hmac_key_create(char id[STORE_NAME_SIZE], struct store *s, const char *tenant)
{
    unsigned char tail[4];
    char path[FS_PATH_MAX], text[CLOCK_TEXT_SIZE], tail_hex[sizeof tail * 2 + 1];
    enum st st = store_name_check("tenant", tenant);

    if (!st)
        st = digest_random(tail, sizeof tail);
    if (st)
        return st;
    digest_hex(tail_hex, tail, sizeof tail);
    clock_format(text, clock_wall_us());
    snprintf(id, STORE_NAME_SIZE, "hmac-%.10s-%s", text, tail_hex);
    st = fs_path(path, "%s/%s/hmac", s->keys_dir, tenant);
    if (!st)
        st = fs_mkdir_all(path, 0700);
    if (!st)
        st = fs_path(path, "%s/%s/hmac/%s.key", s->keys_dir, tenant, id);
    return st ? st : store_key_file_create(path);
}

enum st store_hmac_key_read(struct secret *out, const char *keys_dir, const char *tenant,
                            const char *id)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/%s/hmac/%s.key", keys_dir, tenant, id);

    if (!st)
        st = secret_read_file(out, path);
    if (st == ST_NOT_FOUND)
        st = st_fail(ST_NOT_FOUND, "KEY_MISSING", "it is not in the keys directory");
    if (!st && out->len < HMAC_KEY_BYTES) {
        secret_release(out);
        st = st_fail(ST_INVALID, "BAD_KEY",
                     "HMAC key \"%s\" of tenant \"%s\" is shorter than %d bytes", id, tenant,
                     HMAC_KEY_BYTES);
    }
    return st ? st_wrap(st, "HMAC key \"%s\" of tenant \"%s\"", id, tenant) : ST_OK;
}

enum st store_token_keys_dir(char out[FS_PATH_MAX], const char *keys_dir, const char *tenant)
{
    enum st st = store_name_check("tenant", tenant);

    return st ? st : fs_path(out, "%s/%s/tokens", keys_dir, tenant);
}

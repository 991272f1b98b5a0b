#include "store/anchor.h"

#include "store/catalog.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys are tenant/%06chain, values {"sequence","hash","first"}. */

static void make_key(char out[CATALOG_KEY_SIZE], const char *tenant, unsigned chain)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%06u", tenant, chain);
}

static enum st read_row(struct store_anchor *out, const json_t *row)
{
    const char *hash = json_string_value(json_object_get(row, "hash"));

    out->sequence = (uint64_t)json_integer_value(json_object_get(row, "sequence"));
    out->first = (uint64_t)json_integer_value(json_object_get(row, "first"));
    return hash ? digest_unhex(out->hash, DIGEST_BYTES, hash)
                : st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "an anchor of the audit is damaged");
}

static void put_one(struct catalog_txn *t, const struct store_anchor *a)
{
    char key[CATALOG_KEY_SIZE], hex[DIGEST_HEX_SIZE];
    struct store_anchor old = {.first = 1};

    make_key(key, a->tenant, a->chain);
    json_t *row = catalog_get(t, CATALOG_ANCHORS, key);
    if (row && read_row(&old, row))
        catalog_fail(t, ST_CORRUPT);
    json_decref(row);
    const struct store_anchor *newer = a->sequence >= old.sequence ? a : &old;
    digest_hex(hex, newer->hash, DIGEST_BYTES);
    row = json_pack("{s:I, s:s, s:I}", "sequence", (json_int_t)newer->sequence, "hash", hex,
                    "first", (json_int_t)(a->first > old.first ? a->first : old.first));
    if (!row)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    catalog_put(t, CATALOG_ANCHORS, key, row);
    json_decref(row);
}

enum st store_anchor_put(struct store *s, const struct store_anchor *anchors, size_t count)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    for (size_t i = 0; i < count && !t.status; i++)
        put_one(&t, &anchors[i]);
    return catalog_commit(&t);
}

enum st store_anchor_get(struct store_anchor *out, struct store *s, const char *tenant,
                         unsigned chain)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    *out = (struct store_anchor){.chain = chain, .first = 1};
    snprintf(out->tenant, sizeof out->tenant, "%s", tenant);
    make_key(key, tenant, chain);
    catalog_begin_read(&t, &s->catalog);
    json_t *row = catalog_get(&t, CATALOG_ANCHORS, key);
    enum st st = catalog_end(&t);
    if (!st && row)
        st = read_row(out, row);
    json_decref(row);
    return st;
}

enum st store_anchor_list(struct store_anchor **out, size_t *count, struct store *s,
                          const char *tenant)
{
    char prefix[STORE_NAME_SIZE + 1], key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *row;

    *out = NULL;
    *count = 0;
    snprintf(prefix, sizeof prefix, "%s/", tenant);
    catalog_begin_read(&t, &s->catalog);
    while ((row = catalog_after(&t, CATALOG_ANCHORS, prefix, key))) {
        struct store_anchor *grown = reallocarray(*out, *count + 1, sizeof *grown);
        if (!grown) {
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
        } else {
            *out = grown;
            struct store_anchor *a = &grown[(*count)++];
            *a = (struct store_anchor){.chain = (unsigned)atoi(key + strlen(prefix))};
            snprintf(a->tenant, sizeof a->tenant, "%s", tenant);
            if (read_row(a, row))
                catalog_fail(&t, ST_CORRUPT);
        }
        json_decref(row);
    }
    enum st st = catalog_end(&t);
    if (st) {
        free(*out);
        *out = NULL;
        *count = 0;
    }
    return st;
}

enum st store_anchor_tenants(json_t *names, struct store *s)
{
    char key[CATALOG_KEY_SIZE] = "", name[STORE_NAME_SIZE];
    struct catalog_txn t;
    json_t *row;

    catalog_begin_read(&t, &s->catalog);
    while (catalog_after_any(&row, &t, CATALOG_ANCHORS, "", key)) {
        json_decref(row);
        if (sscanf(key, "%63[^/]/", name) == 1)
            store_set(&t, names, name, json_true());
    }
    return catalog_end(&t);
}

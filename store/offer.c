#include "store/offer.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static void offer_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *dataset,
                      const char *owner)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s/%s", tenant, dataset, owner);
}

/* Ties an acknowledgement to this offer and no earlier one. */
static void offer_nonce(char out[OFFER_NONCE_SIZE], const struct offer *o)
{
    snprintf(out, OFFER_NONCE_SIZE, "%s.%u.%llu", o->owner, o->attempt,
             (unsigned long long)o->version);
}

static json_t *segments_json(const struct offer *o)
{
    json_t *list = json_array();

    for (size_t i = 0; i < o->segment_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:I}", "sha256", o->segments[i].sha256,
                                              "bytes", (json_int_t)o->segments[i].bytes));
    return list;
}

void offer_write(struct catalog_txn *t, const struct offer *o)
{
    char key[CATALOG_KEY_SIZE], nonce[OFFER_NONCE_SIZE];
    json_t *candidate = json_object();

    offer_withdraw(t, o->tenant, o->dataset, o->owner);
    offer_key(key, o->tenant, o->dataset, o->owner);
    offer_nonce(nonce, o);
    store_set(t, candidate, "tenant", json_string(o->tenant));
    store_set(t, candidate, "dataset", json_string(o->dataset));
    store_set(t, candidate, "version", json_integer((json_int_t)o->version));
    store_set(t, candidate, "owner", json_string(o->owner));
    store_set(t, candidate, "nonce", json_string(nonce));
    store_set(t, candidate, "boot", json_string(clock_boot_id()));
    store_set(t, candidate, "made_ms", json_integer((json_int_t)clock_boot_ms()));
    store_set(t, candidate, "segments", segments_json(o));
    catalog_put(t, CATALOG_CANDIDATES, key, candidate);
    json_decref(candidate);
}

void offer_withdraw(struct catalog_txn *t, const char *tenant, const char *dataset,
                    const char *owner)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *ack;

    offer_key(prefix, tenant, dataset, owner);
    catalog_delete(t, CATALOG_CANDIDATES, prefix);
    strcat(prefix, "/");
    while ((ack = catalog_after(t, CATALOG_ACKS, prefix, key))) {
        catalog_delete(t, CATALOG_ACKS, key);
        json_decref(ack);
    }
}

bool offer_age(uint64_t *age_ms, struct catalog_txn *t, const struct offer *o)
{
    char key[CATALOG_KEY_SIZE], nonce[OFFER_NONCE_SIZE];

    offer_key(key, o->tenant, o->dataset, o->owner);
    offer_nonce(nonce, o);
    json_t *candidate = catalog_get(t, CATALOG_CANDIDATES, key);
    const char *theirs = json_string_value(json_object_get(candidate, "nonce"));
    const char *boot = json_string_value(json_object_get(candidate, "boot"));
    bool made = theirs && boot && strcmp(theirs, nonce) == 0 && strcmp(boot, clock_boot_id()) == 0;
    if (made)
        *age_ms =
            clock_boot_ms() - (uint64_t)json_integer_value(json_object_get(candidate, "made_ms"));
    json_decref(candidate);
    return made;
}

/* ST_OK: this server has it; ST_NOT_FOUND: not yet; ST_CORRUPT: it refused it. */
static enum st read_ack(struct catalog_txn *t, const struct offer *o, const char *server)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE], nonce[OFFER_NONCE_SIZE];
    enum st st = ST_NOT_FOUND;

    offer_key(prefix, o->tenant, o->dataset, o->owner);
    snprintf(key, sizeof key, "%.200s/%.48s", prefix, server);
    offer_nonce(nonce, o);
    json_t *ack = catalog_get(t, CATALOG_ACKS, key);
    const char *theirs = json_string_value(json_object_get(ack, "nonce"));
    if (theirs && strcmp(theirs, nonce) == 0) {
        const char *message = json_string_value(json_object_get(ack, "message"));
        st = json_is_true(json_object_get(ack, "ok"))
                 ? ST_OK
                 : st_fail(ST_CORRUPT, "CANDIDATE_REFUSED", "a server refused the version: %s",
                           message ? message : "no reason given");
    }
    json_decref(ack);
    return st;
}

enum st offer_look(size_t *servers, struct store *s, const struct offer *o)
{
    struct fs_list list = {0};
    struct catalog_txn t;
    enum st st = run_list(&list, s->run_dir, RUN_SERVER);

    if (st)
        return st;
    if (servers)
        *servers = list.count;
    catalog_begin_read(&t, &s->catalog);
    for (size_t i = 0; !st && !t.status && i < list.count; i++)
        st = read_ack(&t, o, list.names[i]);
    enum st end = catalog_end(&t);
    fs_list_free(&list);
    return end ? end : st;
}

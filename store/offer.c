#include "store/offer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct process_offer {
    uint64_t number, version;
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    bool asked; /* since the last look */
    bool over;
    struct process_offer *next;
};

static void offer_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *dataset,
                      const char *owner, uint64_t number)
{
    int n = snprintf(out, CATALOG_KEY_SIZE, "%s/%s/%s", tenant, dataset, owner);

    if (number)
        snprintf(out + n, CATALOG_KEY_SIZE - (size_t)n, ".%llu", (unsigned long long)number);
}

/* Ties an acknowledgement to this offer and no earlier one. */
static void offer_nonce(char out[OFFER_NONCE_SIZE], const struct offer *o)
{
    snprintf(out, OFFER_NONCE_SIZE, "%s.%u.%llu.%llu", o->owner, o->attempt,
             (unsigned long long)o->number, (unsigned long long)o->version);
}

/* NULL: out of memory. Servers open what it names, and say that they have the version. */
static json_t *segments_json(const struct offer *o)
{
    json_t *list = json_array();

    for (size_t i = 0; i < o->segment_count; i++)
        if (json_array_append_new(list, json_pack("{s:s, s:I}", "sha256", o->segments[i].sha256,
                                                  "bytes", (json_int_t)o->segments[i].bytes)) !=
            0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

void offer_write(struct catalog_txn *t, const struct offer *o)
{
    char key[CATALOG_KEY_SIZE], nonce[OFFER_NONCE_SIZE];
    json_t *candidate = json_object();

    offer_withdraw(t, o->tenant, o->dataset, o->owner, o->number);
    offer_key(key, o->tenant, o->dataset, o->owner, o->number);
    offer_nonce(nonce, o);
    store_set(t, candidate, "tenant", json_string(o->tenant));
    store_set(t, candidate, "dataset", json_string(o->dataset));
    store_set(t, candidate, "version", json_integer((json_int_t)o->version));
    store_set(t, candidate, "owner", json_string(o->owner));
    store_set(t, candidate, "nonce", json_string(nonce));
    store_set(t, candidate, "segments", segments_json(o));
    catalog_put(t, CATALOG_CANDIDATES, key, candidate);
    json_decref(candidate);
}

void offer_withdraw(struct catalog_txn *t, const char *tenant, const char *dataset,
                    const char *owner, uint64_t number)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *ack;

    offer_key(prefix, tenant, dataset, owner, number);
    catalog_delete(t, CATALOG_CANDIDATES, prefix);
    strcat(prefix, "/");
    while (catalog_after_any(&ack, t, CATALOG_ACKS, prefix, key)) {
        catalog_delete(t, CATALOG_ACKS, key);
        json_decref(ack);
    }
}

/* ST_OK: this server has it; ST_NOT_FOUND: not yet; ST_CORRUPT: it refused it. */
static enum st read_ack(struct catalog_txn *t, const struct offer *o, const char *server)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE], nonce[OFFER_NONCE_SIZE];
    enum st st = ST_NOT_FOUND;

    offer_key(prefix, o->tenant, o->dataset, o->owner, o->number);
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

/* ---- of this process ---- */

static enum st write_offer(struct store *s, const struct offer *o)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    offer_write(&t, o);
    return catalog_commit(&t);
}

enum st offer_make(struct offer *o, struct store *s)
{
    struct process_offer *made = calloc(1, sizeof *made);

    if (!made)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    o->owner = s->run.name;
    o->number = made->number = ++s->offers_made;
    made->version = o->version;
    made->asked = true;
    snprintf(made->tenant, sizeof made->tenant, "%s", o->tenant);
    snprintf(made->dataset, sizeof made->dataset, "%s", o->dataset);
    enum st st = write_offer(s, o);
    if (catalog_is_busy(st)) { /* it is not there; after other failures it may be */
        free(made);
        return st;
    }
    made->next = s->offers;
    s->offers = made;
    return st;
}

bool offer_ask(struct store *s, uint64_t number, uint64_t version)
{
    struct process_offer *o = s->offers;

    while (o && (o->number != number || o->version != version || o->over))
        o = o->next;
    if (o)
        o->asked = true;
    return o != NULL;
}

static bool is_there(struct catalog_txn *t, const struct store *s, const struct process_offer *o)
{
    char key[CATALOG_KEY_SIZE];

    offer_key(key, o->tenant, o->dataset, s->run.name, o->number);
    json_t *candidate = catalog_get(t, CATALOG_CANDIDATES, key);
    json_decref(candidate);
    return candidate != NULL;
}

/* What a move withdrew with the head is not there any more. */
static enum st is_any_there(bool *any, struct store *s)
{
    struct catalog_txn t;

    *any = false;
    catalog_begin_read(&t, &s->catalog);
    for (const struct process_offer *o = s->offers; o; o = o->next)
        *any |= o->over && is_there(&t, s, o);
    return catalog_end(&t);
}

static enum st withdraw_those_over(struct store *s)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    for (const struct process_offer *o = s->offers; o; o = o->next)
        if (o->over)
            offer_withdraw(&t, o->tenant, o->dataset, s->run.name, o->number);
    return catalog_commit(&t);
}

static void forget_those_over(struct store *s)
{
    for (struct process_offer **at = &s->offers; *at;) {
        struct process_offer *o = *at;
        if (o->over) {
            *at = o->next;
            free(o);
        } else {
            at = &o->next;
        }
    }
}

enum st offers_tidy(struct store *s)
{
    bool over = false, there = false;

    for (struct process_offer *o = s->offers; o; o = o->next) {
        o->over |= !o->asked;
        o->asked = false;
        over |= o->over;
    }
    if (!over)
        return ST_OK;
    enum st st = is_any_there(&there, s);
    if (!st && there)
        st = withdraw_those_over(s);
    if (!st)
        forget_those_over(s);
    return st;
}

void offers_close(struct store *s)
{
    struct st_report before;

    if (!s->offers)
        return;
    st_save(&before, ST_OK);
    for (struct process_offer *o = s->offers; o; o = o->next)
        o->asked = false;
    s->catalog.lock.wait_ms = 0;
    if (offers_tidy(s)) /* a sweep takes them when this process has ended */
        forget_those_over(s);
    (void)st_restore(&before);
}

#include "api/repeat.h"

#include "api/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whoever has the same key waits for nothing: while the first one is in flight, from its head to
 * its answer, the others of this process are refused; one of another process comes to the catalog
 * before or after it, and finds there what was kept (store/repeat.h).
 *
 * Only what took place is kept. What was refused has changed nothing, and can be mended and sent
 * again with its key.
 *
 * A key belongs to the token's subject (or, without one, to the key that signed it) and to the
 * datasets that the token is narrowed to: an answer is given only to who could have had it. */

/* ---- what a key and a request hash to ---- */

static void mix(unsigned char hash[DIGEST_BYTES], const char *text)
{
    digest_chain(hash, text, strlen(text));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void digest_key(struct store_repeat *id, const struct auth_identity *who, const char *key,
                       size_t key_len)
{
    const char *names[AUTH_DATASETS_MAX];
    unsigned char *hash = id->key;

    memset(hash, 0, DIGEST_BYTES);
    mix(hash, who->subject[0] ? "subject" : "kid");
    mix(hash, who->subject[0] ? who->subject : who->kid);
    memcpy(id->owner, hash, DIGEST_BYTES);
    mix(hash, who->datasets_listed ? "narrowed" : "whole");
    for (unsigned i = 0; i < who->dataset_count; i++)
        names[i] = who->datasets[i];
    qsort(names, who->dataset_count, sizeof names[0], by_name);
    for (unsigned i = 0; i < who->dataset_count; i++)
        mix(hash, names[i]);
    mix(hash, "key");
    digest_chain(hash, key, key_len);
}

static void digest_request(struct api_repeat *r, const struct api_request *request)
{
    unsigned char *hash = r->id.request;

    if (r->digested)
        return;
    memset(hash, 0, DIGEST_BYTES);
    mix(hash, request->route->method);
    mix(hash, r->target);
    mix(hash, request->if_match ? request->if_match : "");
    mix(hash, request->received ? "file" : "body");
    if (request->received)
        digest_chain(hash, request->received->sha256, DIGEST_BYTES);
    else
        digest_chain(hash, request->body ? request->body : "", request->body_len);
    r->digested = true;
}

/* ---- in flight ---- */

static struct api_repeat **bucket_of(struct api_repeats *all, const struct api_repeat *r)
{
    return &all->buckets[r->id.key[0] % API_REPEAT_BUCKETS];
}

static bool is_same(const struct api_repeat *a, const struct api_repeat *b)
{
    return memcmp(a->id.key, b->id.key, DIGEST_BYTES) == 0 &&
           strcmp(a->id.tenant, b->id.tenant) == 0;
}

static bool add(struct api_repeats *all, struct api_repeat *r)
{
    struct api_repeat **bucket = bucket_of(all, r), *at;

    pthread_mutex_lock(&all->mutex);
    for (at = *bucket; at && !is_same(at, r); at = at->next) {
    }
    r->in_flight = !at;
    if (!at) {
        r->next = *bucket;
        *bucket = r;
    }
    pthread_mutex_unlock(&all->mutex);
    return r->in_flight;
}

/* The length of a value without the whitespace around it, which is not part of it: RFC 9110 section
 * 5.5. */
static size_t trim(const char **value)
{
    *value += strspn(*value, " \t");
    size_t len = strlen(*value);
    while (len > 0 && ((*value)[len - 1] == ' ' || (*value)[len - 1] == '\t'))
        len--;
    return len;
}

enum st api_repeat_enter(struct api_request *request, struct api_repeat *r, const char *target)
{
    const char *key = request->route->repeatable ? request->idempotency_key : NULL;

    if (!key)
        return ST_OK;
    size_t len = trim(&key);
    if (len == 0 || len > API_REPEAT_KEY_MAX)
        return st_place(st_fail(ST_INVALID, "INVALID_PARAMETER",
                                "an Idempotency-Key has 1 to %d bytes", API_REPEAT_KEY_MAX),
                        "header/Idempotency-Key");
    *r = (struct api_repeat){.id.tenant = request->identity->tenant, .target = target};
    digest_key(&r->id, request->identity, key, len);
    if (!add(&request->server->repeats, r))
        return st_hint(st_fail(ST_CONFLICT, "IDEMPOTENCY_KEY_IN_FLIGHT",
                               "a request with the Idempotency-Key has not been answered yet"),
                       "send it again when that one has ended: the answer will be its");
    request->repeat = r;
    return ST_OK;
}

void api_repeat_leave(struct api_repeats *all, struct api_repeat *r)
{
    struct api_repeat **at = bucket_of(all, r);

    if (!r->in_flight)
        return;
    pthread_mutex_lock(&all->mutex);
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    pthread_mutex_unlock(&all->mutex);
    r->in_flight = false;
}

/* ---- the answer of before ---- */

/* {"status","body","headers","dataset","sequence","version","target"}: the answer, what it waits
 * for to be served, and what the audit has of the act. */

static const char *const KEPT_HEADERS[] = {"ETag", "Location"};
enum { KEPT_HEADER_COUNT = sizeof KEPT_HEADERS / sizeof KEPT_HEADERS[0] };

static json_t *keep_headers(const struct api_reply *reply)
{
    json_t *headers = json_object();

    for (size_t i = 0; headers && i < reply->header_count; i++) {
        const struct api_pair *h = &reply->headers[i];
        size_t j = 0;

        while (j < KEPT_HEADER_COUNT && strcmp(h->name, KEPT_HEADERS[j]) != 0)
            j++;
        assert(j < KEPT_HEADER_COUNT); /* what handlers begin to set has its row above */
        if (json_object_set_new(headers, h->name, json_string(h->value)) != 0) {
            json_decref(headers);
            headers = NULL;
        }
    }
    return headers;
}

static enum st keep(const struct api_reply *reply, struct api_request *request, struct store *s,
                    const struct store_wait *wait)
{
    const struct api_act *act = request->act;
    json_t *answer =
        json_pack("{s:i, s:s%, s:o, s:s, s:I, s:I, s:s}", "status", (int)reply->status, "body",
                  reply->body.data, reply->body.len, "headers", keep_headers(reply), "dataset",
                  wait->dataset, "sequence", (json_int_t)wait->sequence, "version",
                  (json_int_t)act->version, "target", act->target);

    if (!answer)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    enum st st = store_repeat_keep(s, &request->repeat->id, answer);
    json_decref(answer);
    return st;
}

static const char *text_of(const json_t *answer, const char *name)
{
    const char *text = json_string_value(json_object_get(answer, name));

    return text ? text : "";
}

static uint64_t number_of(const json_t *answer, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(answer, name));
}

static void give_again(struct api_reply *reply, struct api_request *request,
                       struct store_wait *wait, const json_t *answer)
{
    const json_t *headers = json_object_get(answer, "headers");
    struct api_act *act = request->act;

    reply->status = (unsigned)number_of(answer, "status");
    buf_addstr(&reply->body, text_of(answer, "body"));
    for (size_t i = 0; i < KEPT_HEADER_COUNT; i++)
        if (json_object_get(headers, KEPT_HEADERS[i]))
            api_reply_text(reply, KEPT_HEADERS[i], text_of(headers, KEPT_HEADERS[i]));
    snprintf(wait->tenant, sizeof wait->tenant, "%s", request->identity->tenant);
    snprintf(wait->dataset, sizeof wait->dataset, "%s", text_of(answer, "dataset"));
    wait->sequence = number_of(answer, "sequence");
    act->repeated = true;
    act->version = number_of(answer, "version");
    snprintf(act->target, sizeof act->target, "%s", text_of(answer, "target"));
}

/* ---- running ---- */

static enum st find(bool *known, struct api_reply *reply, struct api_request *request,
                    struct store *s, struct store_wait *wait)
{
    struct api_repeat *r = request->repeat;
    json_t *answer = NULL;

    digest_request(r, request);
    r->id.now_us = clock_wall_us();
    enum st st = store_repeat_find(&answer, s, &r->id);
    *known = !st && answer;
    if (*known)
        give_again(reply, request, wait, answer);
    json_decref(answer);
    return st;
}

enum st api_repeat_run(struct api_reply *reply, struct api_request *request, struct store *s,
                       struct store_wait *wait)
{
    bool known = false;
    enum st st = request->repeat ? find(&known, reply, request, s, wait) : ST_OK;

    if (!st && !known)
        st = request->route->control(reply, request, s, wait);
    if (!st && !wait->again)
        st = api_reply_status(reply);
    if (!st && !known && !wait->again && request->repeat)
        st = keep(reply, request, s, wait);
    wait->undo = st != ST_OK;
    return st;
}

#include "api/limit.h"

#include "base/log.h"

#include <string.h>

/* ---- the table ---- */

static bool is_wanted(const struct store_view *view)
{
    const struct store_tenant *t;
    const struct store_served *d;

    for (size_t i = 0; (t = store_view_tenant_at(view, i)); i++)
        if (t->requests_per_second || t->requests_per_day || t->subject_requests_per_second ||
            t->subject_requests_per_day)
            return true;
    for (size_t i = 0; (d = store_view_dataset_at(view, i)); i++)
        if (d->definition && d->definition->key.guess_limit)
            return true;
    return false;
}

void api_limits_want(struct api_server *server, const struct store_view *view)
{
    struct auth_limits *opened = NULL;
    char path[FS_PATH_MAX];

    if (!server->options.listen || atomic_load(&server->limits) || !is_wanted(view))
        return;
    enum st st = fs_path(path, "%s/limits.table", server->options.store.data_dir);
    if (!st)
        st = auth_limits_open(&opened, path);
    if (st)
        log_failure(LOG_LEVEL_ERROR, "limits", "who has limits is not answered");
    else
        atomic_store(&server->limits, opened);
}

static enum st find_table(struct auth_limits **out, const struct api_request *request)
{
    *out = atomic_load_explicit(&request->server->limits, memory_order_acquire);
    return *out ? ST_OK
                : st_hint(st_fail(ST_UNAVAILABLE, "LIMITS_UNAVAILABLE",
                                  "requests that have a limit cannot be counted"),
                          "the server's log says why");
}

/* ---- requests ---- */

static void note_quota(struct api_request *request, const struct auth_quota *q, const char *who,
                       const struct auth_rate *rate)
{
    struct api_quota *known = &request->quota;

    if (!q->limited || (known->who && known->state.left <= q->left && !q->retry_s))
        return;
    known->state = *q;
    known->who = who;
    known->allowed = q->by_day ? rate->per_day : rate->burst ? rate->burst : rate->per_second;
    known->window_s = q->by_day ? 86400 : 1;
    if (!q->by_day && rate->burst && rate->per_second)
        known->window_s = (rate->burst + rate->per_second - 1) / rate->per_second;
}

static enum st refuse(struct api_request *request, const char *who)
{
    const struct auth_quota *q = &request->quota.state;

    log_event(LOG_LEVEL_DEBUG, "limited", "%s: the limit of the %s", request->route->operation,
              who);
    return st_hint(st_fail(ST_LIMITED, q->by_day ? "DAY_LIMIT" : "RATE_LIMIT",
                           "the %s has made as many requests as it may %s", who,
                           q->by_day ? "today" : "for now"),
                   "try again after %u seconds", q->retry_s);
}

uint32_t api_batch_keys(const struct store_tenant *t)
{
    return t && t->max_batch_keys ? t->max_batch_keys : API_BATCH_KEYS;
}

enum st api_limit_take(struct api_request *request, uint64_t count)
{
    const struct auth_identity *id = request->identity;
    const struct store_tenant *t = store_view_tenant(request->view, id->tenant);
    struct auth_limits *limits;
    struct auth_quota q;

    if (!t || count == 0)
        return ST_OK;
    const struct auth_rate whole = {t->requests_per_second, t->requests_burst, t->requests_per_day,
                                    api_batch_keys(t)};
    const struct auth_rate each = {t->subject_requests_per_second, t->subject_requests_burst,
                                   t->subject_requests_per_day, api_batch_keys(t)};
    if (!whole.per_second && !whole.per_day && !each.per_second && !each.per_day)
        return ST_OK;
    enum st st = find_table(&limits, request);
    if (st)
        return st;
    const char *subject = id->subject[0] ? id->subject : id->kid;
    int64_t now_us = request->now_us;
    bool passes = auth_limits_take(&q, limits, id->tenant, "", &whole, count, now_us);
    note_quota(request, &q, "tenant", &whole);
    if (!passes)
        return refuse(request, "tenant");
    passes = auth_limits_take(&q, limits, id->tenant, subject, &each, count, now_us);
    note_quota(request, &q, "subject", &each);
    if (passes)
        return ST_OK;
    auth_limits_return(limits, id->tenant, "", &whole, count, now_us);
    return refuse(request, "subject");
}

/* `"who";NAME=COUNT;NAME=SECONDS` */
static void add_header(struct api_reply *reply, const char *name, const char *who,
                       const char *count_name, uint64_t count, const char *time_name, uint32_t s)
{
    char text[96];
    struct buf b;

    buf_init_fixed(&b, text, sizeof text);
    buf_addch(&b, '"');
    buf_addstr(&b, who);
    buf_addstr(&b, count_name);
    buf_addu64(&b, count);
    buf_addstr(&b, time_name);
    buf_addu64(&b, s);
    api_reply_text(reply, name, text);
}

void api_limit_headers(struct api_reply *reply, const struct api_request *request)
{
    const struct api_quota *q = &request->quota;

    if (reply->status == 429)
        api_reply_header(reply, "Retry-After", "%u", q->state.retry_s ? q->state.retry_s : 1);
    if (!q->who)
        return;
    add_header(reply, "RateLimit-Policy", q->who, "\";q=", q->allowed, ";w=", q->window_s);
    add_header(reply, "RateLimit", q->who, "\";r=", q->state.left, ";t=", q->state.reset_s);
}

/* ---- guesses ---- */

/* The key that the current version is under, also while it is not open. */
static const char *current_key_id(const struct api_request *request)
{
    const struct store_tenant *t = store_view_tenant(request->view, request->current->tenant);

    return request->current->key_id[0] ? request->current->key_id : t ? t->hmac_key_id : "";
}

/* Do two versions have the same base for a key? Otherwise each has entries of its own
 * (store/key.c), and what was tried in one is not known in the other. */
static bool has_same_bases(const struct store_key_spec *a, const struct store_key_spec *b)
{
    if (a->field_count != b->field_count || a->guess_fields != b->guess_fields)
        return false;
    for (size_t i = 0; i < a->field_count; i++)
        if (strcmp(a->fields[i].name, b->fields[i].name) != 0 ||
            a->fields[i].normalizer != b->fields[i].normalizer)
            return false;
    return true;
}

/* A version that counts apart from the current one, or to a higher number, is no way around it. */
static enum st check_older(const struct api_request *request, const struct store_served *d)
{
    const struct store_definition *current = request->current->definition;
    const struct store_key_spec *key = &d->definition->key;

    if (!current || !current->key.guess_limit ||
        (key->guess_limit && key->guess_limit <= current->key.guess_limit &&
         has_same_bases(key, &current->key) && strcmp(d->key_id, current_key_id(request)) == 0) ||
        auth_identity_has_scope(request->identity, AUTH_VERSIONS_WRITE))
        return ST_OK;
    return st_hint(st_fail(ST_DENIED, "SCOPE_MISSING",
                           "version %llu does not limit guesses at a key as the current one does",
                           (unsigned long long)d->version),
                   "the scope versions:write lets you look keys up in it");
}

enum st api_guess_check(struct api_request *request, const struct store_served *d,
                        const unsigned char *keys, const unsigned char *bases, size_t count)
{
    unsigned limit = d->definition->key.guess_limit;
    struct auth_limits *limits;

    if (d != request->current && check_older(request, d))
        return ST_DENIED;
    if (!limit)
        return ST_OK;
    int64_t now_us = request->now_us;
    enum st st = find_table(&limits, request);
    size_t i = 0;
    for (; !st && i < count; i++)
        st = auth_limits_guess(limits, d->tenant, bases + i * STORE_KEY_BYTES,
                               keys + i * STORE_KEY_BYTES, limit, now_us);
    if (st != ST_LIMITED)
        return st;
    struct st_report report;
    st_save(&report, st);
    request->quota.state.retry_s = (uint32_t)(86400 - now_us / 1000000 % 86400);
    st = api_note_guess(request, d, keys + (i - 1) * STORE_KEY_BYTES);
    log_event(LOG_LEVEL_WARN, "guess", "tenant %s: the values of a key of %s are being tried",
              d->tenant, d->dataset);
    return st ? st : st_restore(&report);
}

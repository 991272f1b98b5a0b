#include "api/limit.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
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

enum st api_limit_take(struct api_request *request, uint64_t count)
{
    const struct auth_identity *id = request->identity;
    const struct store_tenant *t = store_view_tenant(request->view, id->tenant);
    struct auth_limits *limits;
    struct auth_quota q;

    if (!t || count == 0)
        return ST_OK;
    const struct auth_rate whole = {t->requests_per_second, t->requests_burst, t->requests_per_day};
    const struct auth_rate each = {t->subject_requests_per_second, t->subject_requests_burst,
                                   t->subject_requests_per_day};
    if (!whole.per_second && !whole.per_day && !each.per_second && !each.per_day)
        return ST_OK;
    enum st st = find_table(&limits, request);
    if (st)
        return st;
    const char *subject = id->subject[0] ? id->subject : id->kid;
    int64_t now_us = clock_wall_us();
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

void api_limit_headers(struct api_reply *reply, const struct api_request *request)
{
    const struct api_quota *q = &request->quota;

    if (reply->status == 429)
        api_reply_header(reply, "Retry-After", "%u", q->state.retry_s ? q->state.retry_s : 1);
    if (!q->who)
        return;
    api_reply_header(reply, "RateLimit-Policy", "\"%s\";q=%llu;w=%u", q->who,
                     (unsigned long long)q->allowed, q->window_s);
    api_reply_header(reply, "RateLimit", "\"%s\";r=%llu;t=%u", q->who,
                     (unsigned long long)q->state.left, q->state.reset_s);
}

/* ---- guesses ---- */

enum st api_guess_check(struct api_request *request, const struct store_served *d,
                        const unsigned char *keys, const unsigned char *bases, size_t count)
{
    unsigned limit = d->definition->key.guess_limit;
    struct auth_limits *limits;

    if (!limit)
        return ST_OK;
    int64_t now_us = clock_wall_us();
    enum st st = find_table(&limits, request);
    size_t i = 0;
    for (; !st && i < count; i++)
        st = auth_limits_guess(limits, bases + i * STORE_KEY_BYTES, keys + i * STORE_KEY_BYTES,
                               limit, now_us);
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

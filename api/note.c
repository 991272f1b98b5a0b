#include "api/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

/* What the audit is told of requests. */

#define PURPOSE_MAX 200

void api_act_says(const struct api_request *request, uint64_t version, const char *reason)
{
    if (!request->act)
        return;
    request->act->version = version;
    snprintf(request->act->reason, sizeof request->act->reason, "%.*s",
             reason ? utf8_cut(reason, API_REASON_MAX) : 0, reason ? reason : "");
}

static struct audit_record begin(const struct api_request *request, int64_t at_us)
{
    const struct auth_identity *id = request->identity;

    return (struct audit_record){.at_us = at_us,
                                 .event = request->route->operation,
                                 .tenant = id->tenant,
                                 .subject = id->subject,
                                 .token_id = id->token_id,
                                 .address = request->address,
                                 .request_id = request->request_id,
                                 .purpose = request->purpose};
}

static bool is_of_dataset(const struct api_route *route)
{
    return route->segment_count > 2 && strcmp(route->segments[1], "datasets") == 0 &&
           !route->segments[2];
}

/* The act is done, and its answer must tell so: when there is no room for it just now, the log has
 * it. That no act begins while the audit fails was seen to before. */
void api_note_act(const struct api_request *request, unsigned status)
{
    const struct api_route *route = request->route;
    struct audit_record r = begin(request, clock_wall_us());

    r.status = status;
    /* 500 is that of a commit that may or may not have happened (api/problem.c). */
    r.outcome = status == 500            ? "unknown"
                : status >= 400          ? "refused"
                : request->act->repeated ? "repeated"
                                         : "done";
    if (is_of_dataset(route))
        r.dataset = request->path_params[0];
    r.target = request->act->target[0] ? request->act->target
               : r.dataset             ? NULL
                                       : request->path_params[0];
    r.version = request->act->version;
    r.reason = request->act->reason;
    if (api_audit_push(request->server->audit, request->slot, &r))
        log_failure(LOG_LEVEL_ERROR, "audit", "%s, status %u", route->operation, status);
}

enum st api_check_purpose(const struct api_request *request, const struct store_definition *d)
{
    size_t len = request->purpose ? strlen(request->purpose) : 0;

    if (d->require_purpose && len == 0)
        return st_hint(st_place(st_fail(ST_INVALID, "PURPOSE_REQUIRED",
                                        "lookups in this dataset must say what for"),
                                "header/X-Purpose"),
                       "send it as the header X-Purpose");
    if (len > PURPOSE_MAX)
        return st_place(
            st_fail(ST_INVALID, "INVALID_PARAMETER", "X-Purpose has at most %d bytes", PURPOSE_MAX),
            "header/X-Purpose");
    return ST_OK;
}

/* With keys: their HMACs, by what protects them. */
static struct audit_record begin_keys(const struct api_request *request,
                                      const struct store_served *d, const unsigned char *keys,
                                      const unsigned char *found, size_t count)
{
    bool is_protected = d->definition->key.protect != STORE_PROTECT_NONE;
    const struct store_tenant *t = store_view_tenant(request->view, d->tenant);
    struct audit_record r = begin(request, request->now_us);

    r.dataset = d->dataset;
    r.version = d->version;
    r.keys = keys;
    r.found = found;
    r.key_count = (uint32_t)count;
    r.key_id = is_protected ? d->key_id : t ? t->hmac_key_id : "";
    return r;
}

enum st api_note_guess(const struct api_request *request, const struct store_served *d,
                       const unsigned char *key)
{
    struct audit_record r = begin_keys(request, d, key, (const unsigned char *)"", 1);

    r.event = "keyGuessed";
    r.outcome = "limited";
    return api_audit_push(request->server->audit, request->slot, &r);
}

enum st api_note_lookup(const struct api_request *request, const struct store_served *d,
                        const unsigned char *keys, const unsigned char *found, size_t count)
{
    bool is_protected = d->definition->key.protect != STORE_PROTECT_NONE;
    enum st st = api_check_purpose(request, d->definition);

    if (st || (!is_protected && !d->definition->require_purpose))
        return st;
    struct audit_record r = begin_keys(request, d, keys, found, count);
    r.outcome = count > 1 ? "batch" : found[0] ? "match" : "no_match";
    return api_audit_push(request->server->audit, request->slot, &r);
}

/* ---- metering ---- */

void api_count_lookups(struct api_request *request, uint64_t matches, uint64_t misses)
{
    api_metrics_lookups(&request->server->counts, matches, misses);
    request->keys += matches + misses;
    request->matches += matches;
}

static void copy(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);

    memcpy(to, from, len);
    to[len] = '\0';
}

void api_usage_of(struct store_usage *out, const struct api_request *request, unsigned status)
{
    const struct api_route *route = request->route;

    out->operation = route->operation;
    out->requests = out->keys = out->matches = out->bytes = out->job_ms = 0;
    copy(out->tenant, sizeof out->tenant, request->identity->tenant);
    copy(out->subject, sizeof out->subject, request->identity->subject);
    /* A name that nobody has is no row: who guesses names would make rows. What was refused may
     * have been refused before anybody looked for the dataset. */
    out->dataset[0] = '\0';
    if (is_of_dataset(route) && (request->keys || status < 400))
        copy(out->dataset, sizeof out->dataset, request->path_params[0]);
}

void api_count_request(const struct api_request *request, unsigned status, uint64_t bytes)
{
    struct store_usage u;

    api_usage_of(&u, request, status);
    u.requests = 1;
    u.keys = request->keys;
    u.matches = request->matches;
    u.bytes = bytes;
    api_usage_count(request->server->usage, request->slot, &u, request->now_us);
}

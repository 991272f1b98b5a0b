#include "api/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/revocation.h"

#include <stdio.h>
#include <string.h>

/* Revoking tokens of one's own tenant. */

#define REASON_MAX 1000

static enum st read_text(const char **out, const json_t *body, const char *name, size_t max_bytes)
{
    enum st st = jx_string(out, body, "", name, NULL);

    if (!st && *out && (!**out || strlen(*out) > max_bytes))
        st = st_place(
            st_fail(ST_INVALID, "INVALID_VALUE", "\"%s\" has 1 to %zu bytes", name, max_bytes),
            "/%s", name);
    return st;
}

static enum st read_revocation(struct store_revocation *r, const char **reason, const json_t *body)
{
    static const char *const MEMBERS[] = {"jti", "subject", "expires_at", "reason", NULL};
    const char *expires_at;
    enum st st = jx_only(body, "", MEMBERS);

    if (!st)
        st = read_text(&r->token_id, body, "jti", AUTH_TOKEN_ID_MAX - 1);
    if (!st)
        st = read_text(&r->subject, body, "subject", AUTH_SUBJECT_MAX - 1);
    if (!st)
        st = jx_string(&expires_at, body, "", "expires_at", NULL);
    if (!st)
        st = read_text(reason, body, "reason", REASON_MAX);
    if (!st && expires_at && clock_parse(&r->expires_us, expires_at))
        st = st_place(st_wrap(ST_INVALID, "\"expires_at\""), "/expires_at");
    return st;
}

enum st api_op_revoke(struct api_reply *reply, struct api_request *request, struct store *s,
                      struct store_wait *wait)
{
    struct store_revocation r = {.tenant = request->identity->tenant};
    char name[AUTH_SUBJECT_MAX + 16];
    struct store_actor actor = {.name = name, .request_id = request->request_id};
    json_t *body = NULL, *row = NULL;
    enum st st = api_body_object(&body, request);

    (void)wait; /* this process has it in its view before the answer goes out */
    snprintf(name, sizeof name, "token:%s",
             request->identity->subject[0] ? request->identity->subject : request->identity->kid);
    if (!st)
        st = read_revocation(&r, &actor.reason, body);
    if (!st)
        api_act_says(request, 0, actor.reason);
    if (!st)
        st = store_revoke(&row, s, &r, &actor);
    if (!st) {
        log_event(LOG_LEVEL_INFO, "revoked", "tenant %s: %s", r.tenant,
                  r.subject ? "the tokens of a subject" : "a token");
        jx_write(&reply->body, row, false);
    }
    json_decref(body);
    json_decref(row);
    return st;
}

#include "api/commands.h"
#include "api/internal.h"
#include "auth/http.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* Tenants, for who runs the platform. A PUT says all of a tenant: what it leaves out is as it is in
 * a new one. The ETag names the row. */

static enum st write_tenant(struct api_reply *reply, char tag[40], const struct store_tenant *t)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[33];
    json_t *row = NULL;
    enum st st = store_tenant_to_json(&row, t);

    if (st)
        return st;
    json_object_del(row, "hmac_key_check");
    buf_reset(&reply->body);
    jx_write(&reply->body, row, true);
    json_decref(row);
    st = buf_status(&reply->body);
    if (st)
        return st;
    digest_sha256(digest, reply->body.data, reply->body.len);
    digest_hex(hex, digest, 16);
    snprintf(tag, 40, "\"%s\"", hex);
    return ST_OK;
}

static enum st find(struct store_tenant *t, const struct api_request *request, struct store *s)
{
    enum st st = store_tenant_get(t, s, request->path_params[0]);

    return st == ST_NOT_FOUND
               ? st_fail(ST_NOT_FOUND, "UNKNOWN_TENANT", "there is no tenant of that name")
               : st;
}

/* RFC 9110 section 13.1.1. */
static enum st check_if_match(struct api_reply *reply, const struct api_request *request,
                              const struct store_tenant *t)
{
    char tag[40];

    if (!request->if_match)
        return ST_OK;
    enum st st = t ? write_tenant(reply, tag, t) : ST_OK;
    buf_reset(&reply->body);
    if (!st && (!t || !api_matches(request->if_match, tag)))
        st =
            st_hint(st_fail(ST_PRECONDITION, "TENANT_CHANGED", "If-Match does not name the tenant"),
                    "send the ETag of GET /v1/tenants/{tenant}");
    return st;
}

enum st api_op_list_tenants(struct api_reply *reply, struct api_request *request, struct store *s,
                            struct store_wait *wait)
{
    size_t limit = (size_t)api_query_limit(request), i;
    const char *cursor = api_query(request, "cursor"), *last = NULL;
    json_t *all = NULL, *items = json_array(), *row;
    bool more = false;
    enum st st = store_tenant_list(&all, s);

    (void)wait;
    json_array_foreach(all, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "tenant"));
        if (cursor && strcmp(name, cursor) <= 0)
            continue;
        more = json_array_size(items) == limit;
        if (more)
            break;
        json_object_del(row, "hmac_key_check");
        last = name;
        if (json_array_append(items, row) != 0) {
            st = st_fail(ST_NOMEM, NULL, "out of memory");
            break;
        }
    }
    if (st)
        json_decref(items);
    else
        st = api_list(reply, items, more ? last : NULL);
    json_decref(all);
    return st;
}

enum st api_op_get_tenant(struct api_reply *reply, struct api_request *request, struct store *s,
                          struct store_wait *wait)
{
    struct store_tenant t;
    char tag[40];
    enum st st = find(&t, request, s);

    (void)wait;
    if (!st)
        st = write_tenant(reply, tag, &t);
    if (!st)
        api_tag(reply, request, tag);
    return st;
}

static enum st read_text(char *to, size_t size, const json_t *body, const char *name,
                         const char *preset)
{
    const char *text;
    enum st st = jx_string(&text, body, "", name, preset);

    if (!st && strlen(text) >= size)
        st = st_place(
            st_fail(ST_INVALID, "INVALID_VALUE", "\"%s\" has at most %zu bytes", name, size - 1),
            "/%s", name);
    if (!st)
        strcpy(to, text);
    return st;
}

/* Nobody names a file of this machine over HTTP, nor what only the server can reach. */
static enum st read_url(char *to, size_t size, const json_t *body, const char *name,
                        const struct network_list *outgoing)
{
    enum st st = read_text(to, size, body, name, "");

    if (!st && *to && !auth_http_takes(to))
        st = st_place(st_fail(ST_INVALID, "INVALID_VALUE", "\"%s\" must be an https:// URL", name),
                      "/%s", name);
    if (!st && *to && !auth_http_may_ask(to, outgoing))
        st = st_hint(st_place(st_fail(ST_INVALID, "INVALID_VALUE",
                                      "the address of \"%s\" is not a public one", name),
                              "/%s", name),
                     "serve with --outgoing and its network, if it is to be asked");
    return st;
}

static enum st read_tenant(struct store_tenant *t, const struct api_request *request,
                           const json_t *body)
{
    const struct network_list *outgoing = &request->server->outgoing;
    static const char *const MEMBERS[] = {"enabled", "class",   "issuer", "audience",
                                          "jwks",    "webhook", "limits", NULL};
    const char *class;
    json_t *limits;
    enum st st = jx_only(body, "", MEMBERS);

    if (!st)
        st = jx_boolean(&t->enabled, body, "", "enabled", true);
    if (!st)
        st = jx_string(&class, body, "", "class", store_tenant_classes[0]);
    if (!st && store_tenant_class_parse(&t->class, class))
        st = st_place(ST_INVALID, "/class");
    if (!st)
        st = read_text(t->issuer, sizeof t->issuer, body, "issuer", "everline");
    if (!st)
        st = read_text(t->audience, sizeof t->audience, body, "audience", "everline");
    if (!st)
        st = read_url(t->jwks, sizeof t->jwks, body, "jwks", outgoing);
    if (!st)
        st = read_url(t->webhook, sizeof t->webhook, body, "webhook", outgoing);
    if (!st)
        st = jx_object(&limits, body, "", "limits");
    return st ? st : store_tenant_limits_from_json(t, limits, "/limits");
}

enum st api_op_put_tenant(struct api_reply *reply, struct api_request *request, struct store *s,
                          struct store_wait *wait)
{
    struct store_tenant t, wanted;
    json_t *body = NULL;
    char tag[40];
    enum st st = store_name_check("tenant", request->path_params[0]);

    (void)wait;
    if (!st)
        st = api_body_object(&body, request);
    if (!st) /* before anything is made */
        st = read_tenant(&wanted, request, body);
    if (!st) {
        enum st found = store_tenant_get(&t, s, request->path_params[0]);
        st = found && found != ST_NOT_FOUND ? found
                                            : check_if_match(reply, request, found ? NULL : &t);
    }
    if (!st)
        st = commands_make_tenant(&t, s, request->path_params[0]);
    if (!st)
        st = read_tenant(&t, request, body);
    if (!st)
        st = store_tenant_put(s, &t);
    if (!st)
        st = write_tenant(reply, tag, &t);
    if (!st)
        api_reply_text(reply, "ETag", tag);
    json_decref(body);
    return st;
}

enum st api_op_delete_tenant(struct api_reply *reply, struct api_request *request, struct store *s,
                             struct store_wait *wait)
{
    struct store_tenant t;
    enum st st = find(&t, request, s);

    (void)wait;
    api_act_says(request, 0, api_query(request, "reason"));
    if (!st)
        st = check_if_match(reply, request, &t);
    if (!st)
        st = store_tenant_delete(s, t.name);
    if (!st)
        reply->status = 204;
    return st;
}

#include "api/internal.h"
#include "api/limit.h"

#include "base/log.h"
#include "store/revocation.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The one gate before dispatch. The keys hang on the view, so that a request sees tenants and keys
 * of one moment. */

/* What a tenant's protected datasets would be built and looked up with. */
static enum st check_hmac_key(const struct store_tenant *t, const char *keys_dir)
{
    struct secret key = {0};
    enum st st = store_hmac_key_read(&key, keys_dir, t->name, t->hmac_key_id);

    secret_release(&key);
    return st ? st_hint(st,
                        "put the file as it was back into %s/%s/hmac, or: everline tenant put %s "
                        "--disable",
                        keys_dir, t->name, t->name)
              : ST_OK;
}

static enum st load_tenant(struct api_keys *keys, const struct store_tenant *t,
                           const struct api_server *server, bool first)
{
    char directory[FS_PATH_MAX];
    size_t count = 0;
    enum st st = store_token_keys_dir(directory, server->keys_dir, t->name);

    if (!st)
        st = auth_keyset_load(keys->set, t->name, directory, &count);
    if (!st && first && t->enabled && count == 0 && !t->jwks[0] && server->options.production)
        st = st_hint(st_fail(ST_INVALID, "KEYS_MISSING", "tenant %s has no token key in %s",
                             t->name, directory),
                     "put a key file KID.ES256.pem there, or: everline tenant put %s --disable",
                     t->name);
    if (!st && first && t->enabled && t->hmac_key_id[0] && server->options.production)
        st = check_hmac_key(t, server->keys_dir);
    return st;
}

/* Who names the same location shares its set. */
static enum st load_fetched(struct api_keys *keys, const struct store_view *view,
                            struct auth_jwks *jwks)
{
    const char **locations = NULL;
    const struct store_tenant *t;
    size_t count = 0;
    enum st st = ST_OK;

    while (store_view_tenant_at(view, count))
        count++;
    locations = calloc(count + 1, sizeof *locations);
    if (!locations)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    count = 0;
    for (size_t i = 0; (t = store_view_tenant_at(view, i)); i++)
        if (t->jwks[0])
            locations[count++] = t->jwks;
    st = auth_jwks_want(jwks, locations, count);
    free(locations);
    for (size_t i = 0; !st && (t = store_view_tenant_at(view, i)); i++)
        if (t->jwks[0])
            st = auth_jwks_add(jwks, keys->set, t->name, t->jwks);
    return st;
}

void api_keys_changed(void *ctx)
{
    struct api_server *server = ctx;

    atomic_fetch_add(&server->keys_generation, 1);
    struct store_keeper *keeper = atomic_load(&server->reloadable);
    if (keeper)
        store_keeper_reload(keeper);
}

/* A tenant's bad file is its own affair: it keeps the keys that it had, and the others get theirs.
 * At the start nobody has any, and the server does not start. */
static enum st load_keys(struct api_keys *keys, const struct store_view *view,
                         const struct api_server *server, const struct api_keys *old)
{
    const struct store_tenant *t;
    enum st st = auth_keyset_new(&keys->set);

    for (size_t i = 0; !st && (t = store_view_tenant_at(view, i)); i++) {
        st = load_tenant(keys, t, server, !old);
        if (!st || !old)
            continue;
        log_failure(LOG_LEVEL_ERROR, "keys",
                    "the token keys of tenant %s cannot be loaded; its old ones stay", t->name);
        keys->bad++;
        st = auth_keyset_keep(keys->set, t->name, old->set);
    }
    if (!st && server->jwks)
        st = load_fetched(keys, view, server->jwks);
    return st;
}

enum st api_keys_extend(void **extension, const struct store_view *next,
                        const struct store_view *previous, void *ctx)
{
    struct api_server *server = ctx;
    struct api_keys *old = previous ? store_view_extension(previous) : NULL;
    uint64_t epoch = store_view_tenants_epoch(next);
    uint64_t generation = atomic_load(&server->keys_generation);

    api_limits_want(server, next);
    if (old && old->tenants_epoch == epoch && old->generation == generation) {
        atomic_fetch_add(&old->uses, 1);
        *extension = old;
        return ST_OK;
    }
    struct api_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    keys->tenants_epoch = epoch;
    keys->generation = generation;
    keys->epoch = ++server->keys_made;
    atomic_init(&keys->uses, 1);
    enum st st = load_keys(keys, next, server, old);
    if (st) {
        api_keys_release(keys, ctx);
        return st;
    }
    *extension = keys;
    return ST_OK;
}

void api_keys_release(void *extension, void *ctx)
{
    struct api_keys *keys = extension;

    (void)ctx;
    if (atomic_fetch_sub(&keys->uses, 1) != 1)
        return;
    auth_keyset_free(keys->set);
    free(keys);
}

/* Whose token it is, once its signature is known to be right. */
struct caller {
    const struct store_view *view;
    bool damaged;
};

static bool tenant_policy(struct auth_policy *out, const char *tenant, void *ctx)
{
    struct caller *caller = ctx;
    const struct store_tenant *t = store_view_tenant(caller->view, tenant);

    caller->damaged = t && t->damaged;
    if (!t || t->damaged)
        return false;
    *out = (struct auth_policy){t->enabled, t->issuer, t->audience};
    return true;
}

static enum st check_revoked(const struct store_view *view, const struct auth_identity *id)
{
    const struct store_token token = {id->tenant, id->token_id, id->subject, id->issued_s};

    return store_view_is_revoked(view, &token)
               ? st_fail(ST_UNKNOWN_CALLER, NULL, "the token is revoked")
               : ST_OK;
}

static enum st identify(struct auth_identity *identity, const struct api_request *request,
                        const char *token)
{
    const struct api_keys *keys = store_view_extension(request->view);
    const struct api_metrics *counts = &request->server->counts;
    struct auth_cache *cache = request->server->workers[request->slot].tokens;
    size_t len = strlen(token);
    int64_t now_s = request->now_us / 1000000;

    /* Both only grow: when one of them moves, so does their sum. */
    uint64_t epoch = keys->epoch + store_view_revocations_epoch(request->view);

    if (auth_cache_find(identity, cache, epoch, token, len, now_s)) {
        metric_add(counts->tokens, 0, 1);
        return ST_OK;
    }
    struct caller caller = {.view = request->view};
    enum st st = auth_token_verify(identity, keys->set, token, len, now_s, tenant_policy, &caller);
    if (caller.damaged)
        st = st_hint(st_fail(ST_UNAVAILABLE, "TENANT_UNAVAILABLE", "the tenant cannot be served"),
                     "what the catalog says of it is damaged; its operator mends that with: "
                     "everline catalog rebuild");
    else if (!st)
        st = check_revoked(request->view, identity);
    else if (strcmp(st_code(), AUTH_UNKNOWN_KID) == 0)
        auth_jwks_ask(request->server->jwks);
    metric_add(counts->tokens, st ? 2 : 1, 1);
    if (!st)
        auth_cache_put(cache, epoch, token, len, identity);
    return st;
}

enum st api_gate(struct auth_identity *identity, const struct api_request *request,
                 const char *authorization)
{
    static const char SCHEME[] = "Bearer ";

    if (!authorization || strncasecmp(authorization, SCHEME, sizeof SCHEME - 1) != 0)
        return st_fail(ST_UNKNOWN_CALLER, NULL, "no bearer token");
    enum st st = identify(identity, request, authorization + sizeof SCHEME - 1);
    if (st)
        return st;
    if (auth_identity_has_scope(identity, (enum auth_scope)request->route->scope))
        return ST_OK;
    uint32_t missing = request->route->scope & ~identity->scopes;
    const char *scope = auth_scope_name((enum auth_scope)(missing & -missing)); /* the first */
    log_event(LOG_LEVEL_INFO, "denied", "%s: the token of tenant %s lacks %s",
              request->route->operation, identity->tenant, scope);
    return st_hint(st_fail(ST_DENIED, "SCOPE_MISSING", "the token lacks the scope %s", scope),
                   "ask for a token with that scope");
}

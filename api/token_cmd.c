#include "api/act.h"
#include "api/commands.h"

#include "auth/inspect.h"
#include "auth/jwks.h"
#include "auth/token.h"
#include "base/clock.h"
#include "store/revocation.h"

#include <stdio.h>
#include <string.h>

/* Tokens at the terminal: mint, inspect, verify, revoke. Here the reason why a token is refused is
 * told; the server tells its log only. */

enum st token_cmd(const struct cmd_args *args)
{
    const char *datasets[65] = {NULL};
    uint64_t ttl_ms = cmd_duration_ms(args, "ttl");
    uint32_t scopes = 0;
    struct store *s = NULL;
    struct buf token;
    enum st st =
        ttl_ms < 1000
            ? cmd_blame(st_fail(ST_USAGE, NULL, "--ttl: 1s or longer expected"), args, "ttl", NULL)
            : commands_of_option(auth_scopes_parse_strict(&scopes, cmd_string(args, "scope")), args,
                                 "scope");

    buf_init(&token, 8192);
    for (unsigned i = 0; !st && cmd_list(args, "dataset", i); i++) {
        if (i == 64)
            return st_fail(ST_USAGE, NULL, "--dataset: at most 64");
        datasets[i] = cmd_list(args, "dataset", i);
        st = store_name_check("dataset", datasets[i]);
    }
    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = commands_mint(&token, s, cmd_string(args, "tenant"), scopes,
                           cmd_string(args, "subject"), datasets[0] ? datasets : NULL, ttl_ms);
    if (!st)
        puts(token.data);
    buf_release_secret(&token);
    store_close(s);
    return st;
}

/* The operand, or with "-" what stands on stdin: arguments can be seen by other users. */
static enum st read_token(char out[AUTH_TOKEN_MAX + 2], const char *operand)
{
    size_t len;

    if (strcmp(operand, "-") == 0)
        len = fread(out, 1, AUTH_TOKEN_MAX + 1, stdin);
    else
        len = (size_t)snprintf(out, AUTH_TOKEN_MAX + 2, "%s", operand);
    while (len > 0 && len <= AUTH_TOKEN_MAX + 1 && strchr("\r\n ", out[len - 1]))
        len--;
    if (len > AUTH_TOKEN_MAX)
        return st_fail(ST_INVALID, "BAD_TOKEN", "the token is longer than %d bytes",
                       AUTH_TOKEN_MAX);
    out[len] = '\0';
    return ST_OK;
}

static bool policy(struct auth_policy *out, const char *tenant, void *ctx)
{
    static struct store_tenant row; /* one command a process */

    if (store_tenant_get(&row, ctx, tenant))
        return false;
    *out = (struct auth_policy){row.enabled, row.issuer, row.audience};
    return true;
}

static enum st check_revoked(struct store *s, const struct auth_identity *id)
{
    const struct store_token token = {id->tenant, id->token_id, id->subject, id->issued_s};
    bool revoked = false;
    enum st st = store_is_revoked(&revoked, s, &token);

    return st || !revoked ? st : st_fail(ST_UNKNOWN_CALLER, NULL, "the token is revoked");
}

/* As a server that serves this directory would, with the keys of the tenant that the token names.
 */
static enum st judge(struct auth_identity *id, struct store *s, const json_t *claims,
                     const char *token, const struct cmd_args *args)
{
    struct auth_jwks_options jwks = {.ca_file = cmd_string(args, "jwks-ca")};
    const char *tenant = json_string_value(json_object_get(claims, "tenant"));
    struct auth_keyset *keys = NULL;
    char directory[FS_PATH_MAX];
    struct store_tenant row;
    enum st st = cmd_range(&jwks.timeout_ms, args, "jwks-timeout", 1, COMMANDS_TIMEOUT_MAX_MS);

    if (!st)
        st = auth_keyset_new(&keys);
    if (!st && tenant && store_tenant_get(&row, s, tenant) == ST_OK) {
        st = store_token_keys_dir(directory, store_keys_dir(s), tenant);
        if (!st)
            st = auth_keyset_load(keys, tenant, directory, NULL);
        if (!st && row.jwks[0])
            st = auth_jwks_load(keys, tenant, row.jwks, &jwks);
    }
    if (!st)
        st =
            auth_token_verify(id, keys, token, strlen(token), clock_wall_us() / 1000000, policy, s);
    if (!st)
        st = check_revoked(s, id);
    auth_keyset_free(keys);
    return st;
}

/* A token, and the directory whose keys it is held against. */
struct token_case {
    char token[AUTH_TOKEN_MAX + 2];
    json_t *header, *claims;
    struct store *store;
};

/* Close it in any case. */
static enum st open_case(struct token_case *c, const struct cmd_args *args)
{
    *c = (struct token_case){.store = NULL};
    enum st st = read_token(c->token, cmd_operand(args, 0));

    if (!st)
        st = auth_token_inspect(&c->header, &c->claims, c->token, strlen(c->token));
    return st ? st : commands_open(&c->store, args, false);
}

static void close_case(struct token_case *c)
{
    json_decref(c->header);
    json_decref(c->claims);
    store_close(c->store);
}

enum st token_inspect_cmd(const struct cmd_args *args)
{
    struct auth_identity id;
    struct token_case c;
    enum st st = open_case(&c, args);

    if (st)
        goto done;
    enum st verdict = judge(&id, c.store, c.claims, c.token, args);
    if (verdict && verdict != ST_UNKNOWN_CALLER) {
        st = verdict;
        goto done;
    }
    json_t *report = json_pack("{s:O, s:O, s:b, s:s?}", "header", c.header, "claims", c.claims,
                               "valid", verdict == ST_OK, "reason", verdict ? st_message() : NULL);
    st = report ? commands_print(report) : st_fail(ST_NOMEM, NULL, "out of memory");
done:
    close_case(&c);
    return st;
}

/* A token that has expired is taken for a little longer: clocks differ. */
static void print_verdict(const struct auth_identity *id)
{
    long long left_s = (long long)(id->expires_s - clock_wall_us() / 1000000);

    printf("tenant %s, subject %s, key %s: ", id->tenant, id->subject[0] ? id->subject : "-",
           id->kid);
    if (left_s > 0)
        printf("good for %lld s\n", left_s);
    else
        printf("expired %lld s ago, and taken until %d s after\n", -left_s, AUTH_SKEW_S);
}

enum st token_verify_cmd(const struct cmd_args *args)
{
    struct auth_identity id;
    struct token_case c;
    enum st st = open_case(&c, args);

    if (!st)
        st = judge(&id, c.store, c.claims, c.token, args);
    if (!st)
        print_verdict(&id);
    close_case(&c);
    return st;
}

/* The id and the end of a token, whoever signed it: it will not be taken either way. */
static enum st revocation_of(struct store_revocation *r, json_t **claims, const char *operand)
{
    char token[AUTH_TOKEN_MAX + 2];
    json_t *header = NULL;
    enum st st = read_token(token, operand);

    if (!st)
        st = auth_token_inspect(&header, claims, token, strlen(token));
    json_decref(header);
    if (st)
        return st;
    r->token_id = json_string_value(json_object_get(*claims, "jti"));
    json_int_t expires_s = json_integer_value(json_object_get(*claims, "exp"));
    if (expires_s > 0 && expires_s < INT64_MAX / 1000000)
        r->expires_us = expires_s * 1000000;
    return r->token_id ? ST_OK
                       : st_hint(st_fail(ST_INVALID, "BAD_TOKEN", "the token has no `jti`"),
                                 "revoke its subject: --subject TEXT");
}

enum st token_revoke_cmd(const struct cmd_args *args)
{
    const char *operand = cmd_operand(args, 0), *expires_at = cmd_string(args, "expires-at");
    struct store_revocation r = {.tenant = cmd_string(args, "tenant"),
                                 .token_id = cmd_string(args, "jti"),
                                 .subject = cmd_string(args, "subject")};
    struct store_actor actor = commands_actor(args, cmd_string(args, "reason"));
    const struct audit_record record = {.event = "revoke", .reason = actor.reason};
    struct act act = {.lock = -1};
    json_t *claims = NULL, *row = NULL;
    struct store *s = NULL;
    enum st st = ST_OK;

    if ((operand != NULL) + (r.token_id != NULL) + (r.subject != NULL) != 1)
        return st_fail(ST_USAGE, NULL, "one of TOKEN, --jti and --subject says what is revoked");
    if (operand)
        st = revocation_of(&r, &claims, operand);
    if (!st && expires_at)
        st = commands_of_option(clock_parse(&r.expires_us, expires_at), args, "expires-at");
    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = act_begin(&act, s, r.tenant, &record);
    if (!st)
        st = store_revoke(&row, s, &r, &actor);
    st = act_end(&act, st);
    if (!st)
        printf("%s revoked\n", r.subject ? "the tokens of the subject are" : "the token is");
    json_decref(claims);
    json_decref(row);
    store_close(s);
    return st;
}

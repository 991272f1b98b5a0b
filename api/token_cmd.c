#include "api/cmd_util.h"

#include "auth/token.h"
#include "base/clock.h"

enum st api_cmd_token_mint(struct buf *out, struct store *s, const char *tenant,
                           const struct api_cmd_token *wanted)
{
    char directory[FS_PATH_MAX];
    struct store_tenant row;
    enum st st = store_tenant_get(&row, s, tenant);

    if (!st && !row.enabled)
        st = st_hint(st_fail(ST_CONFLICT, "TENANT_DISABLED", "tenant \"%s\" is disabled", tenant),
                     "everline tenant put %s --data %s enables it", tenant, store_data_dir(s));
    if (!st)
        st = store_token_keys_dir(directory, store_keys_dir(s), tenant);
    if (st)
        return st;
    return auth_token_mint(out, directory, NULL,
                           &(struct auth_mint){
                               .tenant = row.name,
                               .issuer = row.issuer,
                               .audience = row.audience,
                               .subject = wanted->subject,
                               .scopes = wanted->scopes,
                               .datasets = wanted->datasets,
                               .now_s = clock_wall_us() / 1000000,
                               .ttl_s = (int64_t)(wanted->ttl_ms / 1000),
                           });
}

static enum st run(const struct cmd_args *args)
{
    const char *datasets[AUTH_DATASETS_MAX + 2] = {NULL};
    struct api_cmd_token wanted = {.ttl_ms = cmd_duration_ms(args, "ttl"),
                                   .subject = cmd_string(args, "subject")};
    struct store *store = NULL;
    struct buf token;
    enum st st = auth_scopes_parse_strict(&wanted.scopes, cmd_string(args, "scope"));

    buf_init(&token, AUTH_TOKEN_MAX);
    if (st)
        goto done;
    for (unsigned i = 0; i <= AUTH_DATASETS_MAX && cmd_list(args, "datasets", i); i++) {
        datasets[i] = cmd_list(args, "datasets", i);
        wanted.datasets = datasets;
        if ((st = store_name_check("dataset", datasets[i])))
            goto done;
    }
    if (wanted.ttl_ms > 365ULL * 24 * 3600 * 1000) {
        st = st_fail(ST_USAGE, NULL, "--ttl: at most 365d");
        goto done;
    }
    st = api_cmd_store_open(&store, args);
    if (!st)
        st = api_cmd_token_mint(&token, store, cmd_string(args, "tenant"), &wanted);
    if (!st)
        puts(token.data);
done:
    buf_release(&token);
    store_close(store);
    return st;
}

static const struct cmd_option OPTIONS[] = {
    CMD_DATA,
    CMD_TENANT,
    {"scope", CMD_STRING, "SCOPES", "data:read", "what it may do, separated by spaces", false},
    {"ttl", CMD_DURATION, "TIME", "1h", "how long it is valid", false},
    {"subject", CMD_STRING, "NAME", NULL, "whom it is for; shown in events and the log", false},
    {"datasets", CMD_LIST, "NAME", NULL, "narrows it to this dataset; may be repeated", false},
    CMD_KEYS,
    CMD_END,
};

const struct cmd api_token_cmd = {
    .name = "token",
    .operands = "",
    .summary = "Mint a token of a tenant and print it",
    .about = "Signs with the tenant's newest key. Scopes: data:read analytics:read ingest:write\n"
             "versions:write audit:read tenant:admin platform:admin.",
    .example =
        "everline token --data data --tenant dev --scope \"data:read versions:write\" --ttl 1h",
    .options = OPTIONS,
    .run = run,
};

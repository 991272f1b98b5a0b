#include "api/act.h"
#include "api/commands.h"
#include "api/remote.h"

#include "auth/http.h"
#include "auth/jwks.h"
#include "store/hook.h"

#include <stdio.h>
#include <string.h>

static enum st change_text(char *to, size_t size, const struct cmd_args *args, const char *option)
{
    const char *value = cmd_string(args, option);

    if (!value)
        return ST_OK;
    if (strlen(value) >= size || !*value)
        return st_fail(ST_USAGE, NULL, "--%s: 1 to %zu bytes expected", option, size - 1);
    strcpy(to, value);
    return ST_OK;
}

static enum st change_number(uint64_t *to, const struct cmd_args *args, const char *option,
                             uint64_t max)
{
    return cmd_string(args, option) ? cmd_range(to, args, option, 0, max) : ST_OK;
}

static enum st change_narrow(uint32_t *to, const struct cmd_args *args, const char *option)
{
    uint64_t number = *to;
    enum st st = change_number(&number, args, option, UINT32_MAX);

    *to = (uint32_t)number;
    return st;
}

static enum st change_numbers(struct store_tenant *t, const struct cmd_args *args)
{
    const struct {
        uint32_t *to;
        const char *option;
    } narrow[] = {
        {&t->max_batch_keys, "max-batch-keys"},
        {&t->max_datasets, "max-datasets"},
        {&t->max_concurrent_jobs, "max-concurrent-jobs"},
        {&t->max_queued_jobs, "max-queued-jobs"},
        {&t->max_versions, "max-versions"},
        {&t->max_usage_subjects, "max-usage-subjects"},
        {&t->requests_per_second, "requests-per-second"},
        {&t->requests_burst, "requests-burst"},
        {&t->subject_requests_per_second, "subject-requests-per-second"},
        {&t->subject_requests_burst, "subject-requests-burst"},
    };
    const struct {
        uint64_t *to;
        const char *option;
    } wide[] = {
        {&t->max_upload_bytes, "max-upload-bytes"},
        {&t->max_audit_bytes, "max-audit-bytes"},
        {&t->max_stored_bytes, "max-stored-bytes"},
        {&t->requests_per_day, "requests-per-day"},
        {&t->subject_requests_per_day, "subject-requests-per-day"},
    };
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < sizeof narrow / sizeof narrow[0]; i++)
        st = change_narrow(narrow[i].to, args, narrow[i].option);
    for (size_t i = 0; !st && i < sizeof wide / sizeof wide[0]; i++)
        st = change_number(wide[i].to, args, wide[i].option, INT64_MAX);
    return st;
}

static enum st change_jwks(struct store_tenant *t, const struct cmd_args *args)
{
    const char *location = cmd_string(args, "jwks");
    enum st st = ST_OK;

    if (!location)
        return ST_OK;
    if (strcmp(location, "none") == 0)
        location = "";
    else
        st = auth_jwks_check(location);
    if (!st)
        snprintf(t->jwks, sizeof t->jwks, "%s", location);
    return st;
}

static enum st change_webhook(struct store_tenant *t, const struct cmd_args *args)
{
    const char *url = cmd_string(args, "webhook");

    if (!url)
        return ST_OK;
    if (strcmp(url, "none") == 0)
        url = "";
    else if (!auth_http_takes(url) || strlen(url) >= sizeof t->webhook)
        return st_hint(st_fail(ST_USAGE, NULL, "--webhook: this is no URL that can be told"),
                       "https://..., or http:// to this machine");
    snprintf(t->webhook, sizeof t->webhook, "%s", url);
    return ST_OK;
}

/* What the options say; the rest stays. */
static enum st change(struct store_tenant *t, const struct cmd_args *args)
{
    bool enable = cmd_flag(args, "enable"), disable = cmd_flag(args, "disable");
    enum st st = enable && disable
                     ? st_fail(ST_USAGE, NULL, "--enable and --disable are both there")
                     : change_text(t->issuer, sizeof t->issuer, args, "issuer");

    if (!st && cmd_string(args, "class"))
        st = store_tenant_class_parse(&t->class, cmd_string(args, "class"));
    if (!st)
        st = change_text(t->audience, sizeof t->audience, args, "audience");
    if (!st)
        st = change_jwks(t, args);
    if (!st)
        st = change_webhook(t, args);
    if (!st)
        st = change_numbers(t, args);
    if (!st && (enable || disable))
        t->enabled = enable;
    return st;
}

/* ---- on a server ---- */

static void copy_text(char *to, size_t size, const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    if (text)
        snprintf(to, size, "%s", text);
}

static enum st read_row(struct store_tenant *t, const json_t *row)
{
    const char *class = json_string_value(json_object_get(row, "class"));

    t->enabled = !json_is_false(json_object_get(row, "enabled"));
    copy_text(t->issuer, sizeof t->issuer, row, "issuer");
    copy_text(t->audience, sizeof t->audience, row, "audience");
    copy_text(t->jwks, sizeof t->jwks, row, "jwks");
    copy_text(t->webhook, sizeof t->webhook, row, "webhook");
    enum st st = class ? store_tenant_class_parse(&t->class, class) : ST_OK;
    return st ? st : store_tenant_limits_from_json(t, json_object_get(row, "limits"), "/limits");
}

/* A PUT says all of a tenant: what it is, with what the options change; unless somebody else has
 * changed it meanwhile. */
static enum st put_on_server(bool *enabled, const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX], if_match[REMOTE_TAG_SIZE + 16];
    struct remote_call look = {.path = path}, put = {.method = "PUT", .path = path};
    json_t *row = NULL, *body = NULL;
    struct store_tenant t;
    enum st st = remote_path(path, "/v1/tenants/{}", cmd_operand(args, 0));

    store_tenant_init(&t, "");
    if (!st)
        st = remote_call(&row, &look, args);
    if (!st) {
        snprintf(if_match, sizeof if_match, "If-Match: %s", look.tag);
        put.headers[0] = if_match;
        st = read_row(&t, row);
    } else if (st == ST_NOT_FOUND && strcmp(st_code(), "UNKNOWN_TENANT") == 0) {
        st = ST_OK; /* it is made */
    }
    if (!st)
        st = change(&t, args);
    if (!st)
        st = store_tenant_to_json(&body, &t);
    json_decref(row);
    if (st)
        return st;
    json_object_del(body, "tenant");
    json_object_del(body, "hmac_key_id");
    json_object_del(body, "hmac_key_check");
    *enabled = t.enabled;
    st = remote_send(&row, &put, args, body);
    json_decref(row);
    return st;
}

/* ---- here ---- */

static enum st put_here(bool *enabled, const struct cmd_args *args)
{
    static const struct audit_record RECORD = {.event = "putTenant"};
    struct store_tenant t = {0};
    struct act act = {.lock = -1};
    struct store *s = NULL;
    enum st st = commands_open(&s, args, true);

    if (!st)
        st = commands_make_tenant(&t, s, cmd_operand(args, 0));
    if (!st)
        st = change(&t, args);
    if (!st)
        st = act_begin_tenant(&act, s, t.name, &RECORD);
    if (!st)
        st = store_tenant_put(s, &t);
    st = act_end(&act, st);
    *enabled = t.enabled;
    store_close(s);
    return st;
}

enum st tenant_put_cmd(const struct cmd_args *args)
{
    struct store_tenant t = {0};
    bool enabled = false;
    enum st st = change(&t, args); /* a wrong option makes no tenant */

    if (!st)
        st = remote_is_asked(args) ? put_on_server(&enabled, args) : put_here(&enabled, args);
    if (!st)
        printf("tenant %s is %s\n", cmd_operand(args, 0), enabled ? "enabled" : "disabled");
    return st;
}

static enum st delete_here(const struct cmd_args *args)
{
    const struct audit_record record = {.event = "deleteTenant",
                                        .reason = cmd_string(args, "reason")};
    const char *name = cmd_operand(args, 0);
    struct act act = {.lock = -1};
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = act_begin(&act, s, name, &record);
    if (!st)
        st = store_tenant_delete(s, name);
    st = act_end(&act, st);
    store_close(s);
    return st;
}

enum st tenant_delete_cmd(const struct cmd_args *args)
{
    struct remote_call call = {0};
    enum st st =
        remote_is_asked(args) ? remote_delete(&call, args, "/v1/tenants/{}") : delete_here(args);

    if (!st)
        printf("tenant %s is deleted\n", cmd_operand(args, 0));
    return st;
}

static enum st rows_on_server(json_t **items, const struct cmd_args *args, const char *name)
{
    char path[REMOTE_PATH_MAX];
    json_t *row = NULL;

    if (!name)
        return remote_items(items, args, "/v1/tenants", SIZE_MAX);
    enum st st = remote_path(path, "/v1/tenants/{}", name);
    if (!st)
        st = remote_get(&row, args, path);
    *items = st ? NULL : json_pack("[o]", row);
    return st;
}

static enum st rows_here(json_t **items, const struct cmd_args *args, const char *name)
{
    struct store_tenant t;
    struct store *s = NULL;
    char scratch[64];
    enum st st = commands_open(&s, args, false);

    if (!st && name)
        st = store_tenant_get(&t, s, name);
    if (!st)
        st = store_tenant_list(items, s);
    store_close(s);
    for (size_t i = json_array_size(*items); name && i-- > 0;)
        if (strcmp(commands_cell(json_array_get(*items, i), "tenant", scratch), name) != 0)
            json_array_remove(*items, i);
    return st;
}

/* The row of one tenant, or of all. */
static enum st print_rows(const struct cmd_args *args, const char *name)
{
    static const struct commands_column COLUMNS[] = {
        {"TENANT", "tenant"},     {"ENABLED", "enabled"}, {"ISSUER", "issuer"},
        {"AUDIENCE", "audience"}, {"PROBLEM", "problem"}, {NULL, NULL}};
    json_t *items = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = remote_is_asked(args) ? rows_on_server(&items, args, name)
                                   : rows_here(&items, args, name);
    if (st)
        return st;
    if (!json || !name)
        return commands_print_list(items, COLUMNS, json);
    json_t *row = json_incref(json_array_get(items, 0));
    json_decref(items);
    return commands_print(row);
}

enum st tenant_get_cmd(const struct cmd_args *args)
{
    return print_rows(args, cmd_operand(args, 0));
}

enum st tenant_list_cmd(const struct cmd_args *args)
{
    return print_rows(args, NULL);
}

/* As receivers' libraries want it: "whsec_" and base64. */
enum st tenant_secret_cmd(const struct cmd_args *args)
{
    char text[4 * STORE_HOOK_KEY_BYTES];
    struct store_tenant t;
    struct secret key = {0};
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_tenant_get(&t, s, cmd_operand(args, 0));
    if (!st)
        st = store_hook_key_read(&key, store_keys_dir(s), t.name);
    store_close(s);
    if (st == ST_NOT_FOUND)
        st = st_hint(st, "everline tenant put %s --webhook URL makes one", cmd_operand(args, 0));
    if (!st && key.len > STORE_HOOK_KEY_BYTES * 2)
        st = st_fail(ST_INVALID, "BAD_KEY", "webhook.key is longer than %d bytes",
                     STORE_HOOK_KEY_BYTES * 2);
    if (!st) {
        digest_base64(text, key.bytes, key.len);
        printf("whsec_%s\n", text);
        secret_wipe(text, sizeof text);
    }
    secret_release(&key);
    return st;
}

#include "api/commands.h"

#include "api/route.h"
#include "auth/keyset.h"
#include "auth/token.h"
#include "base/clock.h"
#include "store/revocation.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COLUMNS_MAX 10 /* of a table */

struct store_options commands_store_options(const struct cmd_args *args, bool create)
{
    return (struct store_options){
        .data_dir = cmd_string(args, "data"),
        .keys_dir = cmd_string(args, "keys"),
        .create = create,
    };
}

enum st commands_open(struct store **out, const struct cmd_args *args, bool create)
{
    struct store_options options = commands_store_options(args, create);

    return store_open(out, &options);
}

struct store_if commands_if_match(const struct cmd_args *args)
{
    uint64_t sequence = cmd_uint(args, "if-match");

    return (struct store_if){.sequences = {sequence}, .count = sequence != 0};
}

enum st commands_check_option(const struct cmd_args *args, const char *option,
                              const char *operation)
{
    const char *value = cmd_string(args, option);

    return value ? commands_of_option(api_route_check(operation, option, value), args, option)
                 : ST_OK;
}

enum st commands_of_option(enum st status, const struct cmd_args *args, const char *option)
{
    struct st_report why;

    if (status != ST_INVALID)
        return status;
    st_save(&why, status);
    enum st st = st_fail(ST_USAGE, NULL, "--%s: %s", option, why.message);
    if (why.hint[0])
        st = st_hint(st, "%s", why.hint);
    return cmd_blame(st, args, option, NULL);
}

struct store_actor commands_actor(const struct cmd_args *args, const char *reason)
{
    static char name[128]; /* one command a process */
    const struct passwd *user = getpwuid(geteuid());

    (void)args;
    snprintf(name, sizeof name, "cli:%s", user ? user->pw_name : "unknown");
    return (struct store_actor){.name = name, .reason = reason};
}

enum st commands_print(json_t *value)
{
    struct buf text;

    buf_init(&text, 64u << 20);
    jx_write_pretty(&text, value);
    json_decref(value);
    enum st st = buf_status(&text);
    if (!st)
        fputs(text.data, stdout);
    buf_release(&text);
    return st;
}

enum st commands_version(uint64_t *out, const struct cmd_args *args, unsigned i, const char *name)
{
    const char *text = cmd_operand(args, i);
    size_t len = strlen(text);

    *out = 0;
    if (len < 19 && strspn(text, "0123456789") == len)
        *out = strtoull(text, NULL, 10);
    return *out ? ST_OK : st_fail(ST_USAGE, NULL, "%s: a number from 1 expected", name);
}

const char *commands_cell(const json_t *row, const char *name, char scratch[64])
{
    const char *slash = strchr(name, '/');
    const json_t *value =
        slash ? json_object_getn(row, name, (size_t)(slash - name)) : json_object_get(row, name);

    if (slash)
        return commands_cell(value, slash + 1, scratch);
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "yes" : "";
    if (!json_is_number(value))
        return "-";
    if (json_is_real(value))
        snprintf(scratch, 64, "%.3f", json_real_value(value));
    else
        snprintf(scratch, 64, "%lld", (long long)json_integer_value(value));
    return scratch;
}

enum st commands_print_table(const json_t *items, const struct commands_column *columns)
{
    const char *headings[COLUMNS_MAX + 1];
    struct cmd_table *table = NULL;
    const json_t *row;
    char scratch[64];
    size_t count = 0, i;

    for (; count < COLUMNS_MAX && columns[count].heading; count++)
        headings[count] = columns[count].heading;
    headings[count] = NULL;
    enum st st = cmd_table_new(&table, headings);
    if (st)
        return st;
    json_array_foreach(items, i, row)
    {
        for (size_t j = 0; j < count; j++)
            cmd_table_cell(table, "%s", commands_cell(row, columns[j].member, scratch));
    }
    st = cmd_table_print(table, stdout);
    cmd_table_free(table);
    return st;
}

enum st commands_print_list(json_t *items, const struct commands_column *columns, bool json)
{
    if (json) {
        json_t *list = json_pack("{s:o}", "items", items);
        return list ? commands_print(list) : st_fail(ST_NOMEM, NULL, "out of memory");
    }
    enum st st = commands_print_table(items, columns);
    json_decref(items);
    return st;
}

enum st commands_run(int *exit_code, const char *path, char *const *argv)
{
    int status;

    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        return st_fail_errno(errno, "starting %s", path);
    if (pid == 0) {
        execv(path, argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return st_fail_errno(errno, "waiting for %s", path);
    *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    return *exit_code == 127 ? st_fail(ST_UNREACHABLE, NULL, "%s cannot be started", path) : ST_OK;
}

static enum st make_token_key(const struct store *s, const char *name)
{
    char directory[FS_PATH_MAX], kid[AUTH_KID_MAX + 1], hex[9];
    struct auth_keyset *keys = NULL;
    unsigned char tail[4];
    size_t count = 0;
    enum st st = store_token_keys_dir(directory, store_keys_dir(s), name);

    if (!st)
        st = fs_mkdir_all(directory, 0700);
    if (!st)
        st = auth_keyset_new(&keys);
    if (!st)
        st = auth_keyset_load(keys, name, directory, &count);
    auth_keyset_free(keys);
    if (st || count > 0)
        return st;
    st = digest_random(tail, sizeof tail);
    if (!st) {
        digest_hex(hex, tail, sizeof tail);
        snprintf(kid, sizeof kid, "%.40s-%s", name, hex);
        st = auth_key_generate(directory, kid, "ES256");
    }
    return st;
}

enum st commands_make_tenant(struct store_tenant *t, struct store *s, const char *name)
{
    enum st st = store_name_check("tenant", name);

    if (!st)
        st = store_tenant_get(t, s, name);
    if (st != ST_NOT_FOUND)
        return st;
    store_tenant_init(t, name);
    st = make_token_key(s, name); /* keys before the row: a server that sees the row finds them */
    if (!st)
        st = store_hmac_key_create(t->hmac_key_id, s, name);
    return st;
}

enum st commands_mint(struct buf *out, struct store *s, const char *tenant, uint32_t scopes,
                      const char *subject, const char *const *datasets, uint64_t ttl_ms)
{
    char directory[FS_PATH_MAX];
    struct store_tenant t;
    struct auth_mint mint = {.scopes = scopes, .subject = subject, .datasets = datasets};
    int64_t since_s = 0;
    enum st st = store_tenant_get(&t, s, tenant);

    if (!st)
        st = store_token_keys_dir(directory, store_keys_dir(s), tenant);
    if (!st) /* one of that name was deleted within this second */
        st = store_tokens_since(&since_s, s, tenant);
    if (st)
        return st;
    mint.tenant = t.name;
    mint.issuer = t.issuer;
    mint.audience = t.audience;
    mint.now_s = clock_wall_us() / 1000000;
    if (mint.now_s < since_s)
        mint.now_s = since_s;
    mint.ttl_s = (int64_t)(ttl_ms / 1000);
    return auth_token_mint(out, directory, NULL, &mint);
}

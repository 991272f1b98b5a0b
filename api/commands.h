/* The subcommands of `everline`, one file each; the table is in main.c. */
#ifndef EVERLINE_API_COMMANDS_H
#define EVERLINE_API_COMMANDS_H

#include "base/cmd_options.h"
#include "store/store.h"

enum st serve_cmd(const struct cmd_args *args);
enum st serve_check(const struct cmd_args *args) ST_MUST_USE; /* are its options right? */
enum st dataset_put_cmd(const struct cmd_args *args);
enum st dataset_delete_cmd(const struct cmd_args *args);
enum st dataset_check_cmd(const struct cmd_args *args);
enum st dataset_init_cmd(const struct cmd_args *args);
enum st dataset_get_cmd(const struct cmd_args *args);
enum st dataset_list_cmd(const struct cmd_args *args);
enum st versions_cmd(const struct cmd_args *args);
enum st rejects_cmd(const struct cmd_args *args);
enum st diff_cmd(const struct cmd_args *args);
enum st rollback_cmd(const struct cmd_args *args);
enum st promote_cmd(const struct cmd_args *args);
enum st retire_cmd(const struct cmd_args *args);
enum st tenant_put_cmd(const struct cmd_args *args);
enum st tenant_get_cmd(const struct cmd_args *args);
enum st tenant_list_cmd(const struct cmd_args *args);
enum st tenant_secret_cmd(const struct cmd_args *args);
enum st token_cmd(const struct cmd_args *args);
enum st token_inspect_cmd(const struct cmd_args *args);
enum st token_verify_cmd(const struct cmd_args *args);
enum st token_revoke_cmd(const struct cmd_args *args);
enum st verify_cmd(const struct cmd_args *args);
enum st backup_cmd(const struct cmd_args *args);
enum st restore_cmd(const struct cmd_args *args);
enum st catalog_rebuild_cmd(const struct cmd_args *args);
enum st usage_cmd(const struct cmd_args *args);
enum st tenant_delete_cmd(const struct cmd_args *args);
enum st audit_search_cmd(const struct cmd_args *args);
enum st audit_verify_cmd(const struct cmd_args *args);
enum st act_cmd(const struct cmd_args *args);
enum st health_cmd(const struct cmd_args *args);
enum st get_cmd(const struct cmd_args *args);
enum st config_check_cmd(const struct cmd_args *args);
enum st jobs_list_cmd(const struct cmd_args *args);
enum st jobs_show_cmd(const struct cmd_args *args);
enum st jobs_watch_cmd(const struct cmd_args *args);
enum st jobs_cancel_cmd(const struct cmd_args *args);
enum st jobs_retry_cmd(const struct cmd_args *args);
enum st ingest_cmd(const struct cmd_args *args); /* by a server */
enum st export_cmd(const struct cmd_args *args); /* likewise */
enum st dev_cmd(const struct cmd_args *args);
enum st version_cmd(const struct cmd_args *args);

/* Options that most commands have. */
#define COMMANDS_OUTPUT                                                                            \
    {                                                                                              \
        "output", CMD_STRING, "FORMAT", "table", "table or json", false                            \
    }
#define COMMANDS_REASON                                                                            \
    {                                                                                              \
        "reason", CMD_STRING | CMD_ONCE, "TEXT", NULL, "why; kept with the event", true            \
    }
#define COMMANDS_IF_MATCH                                                                          \
    {                                                                                              \
        "if-match", CMD_UINT | CMD_ONCE, "SEQUENCE", NULL,                                         \
            "refuse when the head is at another sequence", false                                   \
    }
#define COMMANDS_JWKS_CA                                                                           \
    {                                                                                              \
        "jwks-ca", CMD_STRING, "FILE", NULL,                                                       \
            "PEM of who may vouch for the servers of --jwks (default: the system's)", false        \
    }
#define COMMANDS_JWKS_TIMEOUT                                                                      \
    {                                                                                              \
        "jwks-timeout", CMD_DURATION, "TIME", "10s",                                               \
            "longest time in which an issuer gives its keys", false                                \
    }
#define COMMANDS_TIMEOUT_MAX_MS (24u * 3600 * 1000)
struct store_options commands_store_options(const struct cmd_args *args, bool create);
enum st commands_open(struct store **out, const struct cmd_args *args, bool create) ST_MUST_USE;

/* What --if-match says. */
struct store_if commands_if_match(const struct cmd_args *args);

/* Can the option have its value, as the parameter of that name of the operation can? ST_USAGE. */
enum st commands_check_option(const struct cmd_args *args, const char *option,
                              const char *operation) ST_MUST_USE;
/* What was found of the option's value: ST_INVALID becomes ST_USAGE, and the message names it. */
enum st commands_of_option(enum st status, const struct cmd_args *args,
                           const char *option) ST_MUST_USE;

/* "cli:USER". */
struct store_actor commands_actor(const struct cmd_args *args, const char *reason);

/* Prints and releases. */
enum st commands_print(json_t *value) ST_MUST_USE;

/* The operand `i`, a number of a version: ST_USAGE unless it is one. */
enum st commands_version(uint64_t *out, const struct cmd_args *args, unsigned i,
                         const char *name) ST_MUST_USE;

/* A member as text for a table cell; borrowed or static. "a/b": that of another one. */
const char *commands_cell(const json_t *row, const char *name, char scratch[64]);

/* Objects as a table on standard output. The last column has no heading. */
struct commands_column {
    const char *heading, *member;
};
enum st commands_print_table(const json_t *items,
                             const struct commands_column *columns) ST_MUST_USE;
/* So, or as `json`: {"items":[...]}. Releases. */
enum st commands_print_list(json_t *items, const struct commands_column *columns,
                            bool json) ST_MUST_USE;

/* Follows a job until it has ended; *job is how. `s` NULL: on a server. `what` is what is shown. */
enum st commands_follow_job(json_t **job, struct store *s, const struct cmd_args *args,
                            const char *id, const char *what) ST_MUST_USE;
/* What it ended as, in the words and exit codes of `ingest`; of a success only those, if `quiet`.
 */
enum st commands_job_end(const json_t *job, bool quiet) ST_MUST_USE;

/* Runs a program with these arguments (argv[0] included, NULL at the end) and waits; *exit_code is
 * its exit code. ST_UNREACHABLE when it cannot be started. */
enum st commands_run(int *exit_code, const char *path, char *const *argv) ST_MUST_USE;

/* The tenant of that name, or a new one with its first keys. A new one's row is the caller's to
 * put, with all that it is to say: whom a server sees has its limits. */
enum st commands_make_tenant(struct store_tenant *t, struct store *s, const char *name) ST_MUST_USE;

/* A signed token for the tenant into `out`. scopes: enum auth_scope. */
enum st commands_mint(struct buf *out, struct store *s, const char *tenant, uint32_t scopes,
                      const char *subject, const char *const *datasets,
                      uint64_t ttl_ms) ST_MUST_USE;

#endif

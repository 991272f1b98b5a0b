/* What the files of the command line share. Each subcommand is one `struct cmd` in its own file
 * (*_cmd.c); main.c lists them. */
#ifndef EVERLINE_API_CMD_UTIL_H
#define EVERLINE_API_CMD_UTIL_H

#include "base/cmd.h"
#include "base/json.h"
#include "store/store.h"

extern const struct cmd api_serve_cmd, api_ingest_cmd, api_dataset_put_cmd, api_dataset_get_cmd,
    api_dataset_list_cmd, api_versions_cmd, api_rollback_cmd, api_promote_cmd, api_tenant_put_cmd,
    api_tenant_get_cmd, api_tenant_list_cmd, api_token_cmd, api_verify_cmd, api_get_cmd,
    api_dev_cmd, api_version_cmd;

/* Rows of option tables that many commands have. */
#define CMD_DATA                                                                                   \
    {                                                                                              \
        .name = "data", .type = CMD_STRING, .metavar = "DIR", .help = "the data directory",        \
        .required = true                                                                           \
    }
#define CMD_KEYS                                                                                   \
    {                                                                                              \
        .name = "keys", .type = CMD_STRING, .metavar = "DIR",                                      \
        .help = "where keys are, if not in DATA/keys"                                              \
    }
#define CMD_TENANT                                                                                 \
    {                                                                                              \
        .name = "tenant", .type = CMD_STRING, .metavar = "NAME", .help = "the tenant",             \
        .required = true                                                                           \
    }
#define CMD_OUTPUT                                                                                 \
    {                                                                                              \
        .name = "output", .type = CMD_STRING, .metavar = "FORM", .preset = "table",                \
        .help = "table or json"                                                                    \
    }
#define CMD_END                                                                                    \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* Opens --data, with --keys. */
enum st api_cmd_store_open(struct store **out, const struct cmd_args *args) ST_MUST_USE;

/* "cli:USER": who acts, for events. Static; for the main thread. */
const char *api_cmd_actor_name(void);

/* `value` on stdout, indented. */
enum st api_cmd_print_json(const json_t *value) ST_MUST_USE;

/* The text of a member as a table shows it: "-" for null or absent. At most 63 bytes. */
const char *api_cmd_cell_text(char out[64], const json_t *object, const char *name);

/* ---- helper program ---- */

/* Path of everline-ingest: beside this program. ST_UNREACHABLE when it is not there. */
enum st api_cmd_ingest_path(char out[FS_PATH_MAX]) ST_MUST_USE;

/* Runs everline-ingest with `argv` (argv[0] is put in) and waits. `input` (may be NULL) is its
 * stdin; its stdout and stderr are ours, or `quiet`: its stdout goes to our stderr. Its exit code
 * becomes a status again. */
enum st api_cmd_ingest_run(char **argv, const struct buf *input, bool quiet) ST_MUST_USE;

/* Replaces this process; returns only on failure. */
enum st api_cmd_ingest_exec(char **argv) ST_MUST_USE;

/* ---- what several commands do ---- */

/* A tenant that is not there yet gets its row, an HMAC key and an ES256 signing key. *made says
 * whether. */
enum st api_cmd_tenant_ensure(struct store_tenant *out, bool *made, struct store *s,
                              const char *name) ST_MUST_USE;

/* Checks the definition in `path` ("-": stdin) with everline-ingest, then puts it. */
enum st api_cmd_definition_put(char name[STORE_NAME_SIZE], uint64_t *sequence, struct store *s,
                               const char *tenant, const char *path, bool force) ST_MUST_USE;

struct api_cmd_token {
    uint32_t scopes;
    uint64_t ttl_ms;
    const char *subject;         /* or NULL */
    const char *const *datasets; /* NULL, or NULL-terminated */
};
enum st api_cmd_token_mint(struct buf *out, struct store *s, const char *tenant,
                           const struct api_cmd_token *wanted) ST_MUST_USE;

#endif

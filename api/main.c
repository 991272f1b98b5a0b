#include "api/commands.h"
#include "api/remote.h"
#include "base/process.h"
#include "base/program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cmd_option DEV[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"listen", CMD_STRING, "ADDRESS:PORT", "127.0.0.1:8080", "where to listen", false},
    {"port-file", CMD_STRING, "FILE", NULL, "file that gets the port once the server is ready",
     false},
    {"sample", CMD_STRING, "DIR", NULL, "directory of the sample data", false},
    CMD_OPTIONS_END,
};
static const struct cmd_option SERVE[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"listen", CMD_LIST, "ADDRESS:PORT", "127.0.0.1:8080",
     "where to listen; port 0 takes a free one; or unix:PATH; can be repeated", false},
    {"metrics-listen", CMD_STRING, "ADDRESS:PORT", NULL,
     "where /livez, /readyz and /metrics are alone; then /metrics is nowhere else", false},
    {"tls-cert", CMD_STRING, "FILE", NULL,
     "certificate and those it is signed by (PEM): --listen speaks TLS", false},
    {"tls-key", CMD_STRING, "FILE", NULL, "private key of --tls-cert (PEM)", false},
    {"port-file", CMD_STRING, "FILE", NULL, "file that gets the port once the server is ready",
     false},
    {"workers", CMD_UINT, "N", "0", "request threads; 0: one per CPU", false},
    {"connections", CMD_UINT, "N", "4096", "connections at a time, of each --listen", false},
    {"connections-per-address", CMD_UINT, "N", "0",
     "of them from one address (IPv6: a /64), but of trusted proxies; 0: any number", false},
    {"trusted-proxy", CMD_LIST, "NETWORK", NULL,
     "192.0.2.7, 10.0.0.0/8, 2001:db8::/32 or unix: its word on who asks is taken; can be repeated",
     false},
    {"proxy-header", CMD_STRING, "NAME", "x-forwarded-for",
     "where such a proxy says it, over what clients sent: x-forwarded-for or forwarded", false},
    {"body-limit", CMD_BYTES, "BYTES", "1MiB", "largest request body", false},
    {"upload-limit", CMD_BYTES, "BYTES", "16GiB", "largest upload; 0: no limit", false},
    {"gzip-min", CMD_BYTES, "BYTES", "1KiB",
     "smallest answer that is compressed for who takes gzip; 0: none", false},
    {"cors-origin", CMD_LIST, "ORIGIN", NULL,
     "pages of this origin may ask from browsers: https://..., or *; can be repeated", false},
    {"ingest-workers", CMD_UINT, "N", "1", "workers for the queue's jobs; 0: none here", false},
    {"inbox", CMD_STRING, "DIR", NULL, "jobs may name files below DIR/TENANT", false},
    {"request-timeout", CMD_DURATION, "TIME", "30s", "longest time for a request's head and body",
     false},
    {"max-wait", CMD_DURATION, "TIME", "250ms",
     "when all wait longer, reading that has waited a tenth of it is refused; 0: never", false},
    {"drain-timeout", CMD_DURATION, "TIME", "25s", "longest wait for requests after SIGTERM",
     false},
    {"scrub-rate", CMD_BYTES, "BYTES", "16MiB",
     "bytes a second at which segments are read again and held against their hashes; 0: not",
     false},
    {"scrub-interval", CMD_DURATION, "TIME", "7d",
     "each segment is read again so long after it was", false},
    {"audit-interval", CMD_DURATION, "TIME", "100ms",
     "the audit is synced so often: what a crash can lose of it", false},
    {"usage-interval", CMD_DURATION, "TIME", "10s",
     "usage is added up so often: what a kill can lose of it", false},
    {"audit-retention", CMD_DURATION, "TIME", "400d",
     "audit files go when they are so old; 0: never", false},
    {"outgoing", CMD_LIST, "NETWORK", NULL,
     "where webhooks and JWK Sets may be beside public addresses: 10.0.0.0/8; can be repeated",
     false},
    COMMANDS_JWKS_CA,
    COMMANDS_JWKS_TIMEOUT,
    {"log-level", CMD_STRING, "LEVEL", "info", "least that is logged: debug, info, warn, error",
     false},
    {"log-format", CMD_STRING, "FORMAT", "auto",
     "json, text, or auto: text on a terminal, else json", false},
    {"production", CMD_FLAG, NULL, NULL, "refuse weak keys and plain HTTP on other than loopback",
     false},
    CMD_OPTIONS_END,
};
static const struct cmd_option TENANT_PUT[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"class", CMD_STRING, "CLASS", NULL,
     "standard, priority, trial or internal: a label of metrics", false},
    {"issuer", CMD_STRING, "TEXT", NULL, "accepted issuer of tokens", false},
    {"audience", CMD_STRING, "TEXT", NULL, "accepted audience of tokens", false},
    {"jwks", CMD_STRING, "URL", NULL,
     "where its issuer publishes keys: https://..., or a file; \"none\" for none", false},
    {"webhook", CMD_STRING, "URL", NULL,
     "where the ends of its jobs are told: https://...; \"none\" for nowhere", false},
    {"max-batch-keys", CMD_UINT, "N", NULL, "largest batch; 0: the server's", false},
    {"max-datasets", CMD_UINT, "N", NULL, "most datasets; 0: no limit", false},
    {"max-concurrent-jobs", CMD_UINT, "N", NULL, "jobs that run at a time; 0: no limit", false},
    {"max-queued-jobs", CMD_UINT, "N", NULL, "jobs that have not ended; 0: no limit", false},
    {"max-upload-bytes", CMD_BYTES, "BYTES", NULL, "of all uploads that are kept; 0: no limit",
     false},
    {"max-usage-subjects", CMD_UINT, "N", NULL, "of a day, that are metered by name; 0: 10000",
     false},
    {"max-audit-bytes", CMD_BYTES, "BYTES", NULL, "of its audit, the oldest goes; 0: no limit",
     false},
    {"max-versions", CMD_UINT, "N", NULL, "of a dataset, that are kept; 0: no limit", false},
    {"max-stored-bytes", CMD_BYTES, "BYTES", NULL, "of all versions that are kept; 0: no limit",
     false},
    {"requests-per-second", CMD_UINT, "N", NULL,
     "of all its tokens; a batch counts its keys; 0: no limit", false},
    {"requests-burst", CMD_UINT, "N", NULL, "so many at once; 0: those of a second", false},
    {"requests-per-day", CMD_UINT, "N", NULL, "the same for a day (UTC)", false},
    {"subject-requests-per-second", CMD_UINT, "N", NULL, "the same for each subject", false},
    {"subject-requests-burst", CMD_UINT, "N", NULL, "so many at once; 0: those of a second", false},
    {"subject-requests-per-day", CMD_UINT, "N", NULL, "the same for each subject and day", false},
    {"disable", CMD_FLAG, NULL, NULL, "refuse its tokens", false},
    {"enable", CMD_FLAG, NULL, NULL, "take its tokens again", false},
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option TENANT_SHOW[] = {CMD_OPTION_DATA, CMD_OPTION_KEYS, COMMANDS_OUTPUT,
                                                CMD_OPTIONS_REMOTE, CMD_OPTIONS_END};
static const struct cmd_option TENANT_SECRET[] = {CMD_OPTION_DATA, CMD_OPTION_KEYS,
                                                  CMD_OPTIONS_END};
static const struct cmd_option TOKEN[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"scope", CMD_STRING, "SCOPES", "data:read", "what it allows, separated by spaces", false},
    {"ttl", CMD_DURATION, "TIME", "1h", "how long it is valid", false},
    {"subject", CMD_STRING, "TEXT", NULL, "who it is for", false},
    {"dataset", CMD_LIST, "NAME", NULL, "only this dataset; can be repeated", false},
    CMD_OPTIONS_END,
};
static const struct cmd_option TOKEN_SHOW[] = {CMD_OPTION_DATA, CMD_OPTION_KEYS, COMMANDS_JWKS_CA,
                                               COMMANDS_JWKS_TIMEOUT, CMD_OPTIONS_END};
static const struct cmd_option TOKEN_REVOKE[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"jti", CMD_STRING, "TEXT", NULL, "the id of the token", false},
    {"subject", CMD_STRING, "TEXT", NULL, "all tokens of this subject that were issued until now",
     false},
    {"expires-at", CMD_STRING, "TIME", NULL,
     "RFC 3339: when no such token is valid any more (default: the TOKEN's; else never)", false},
    {"reason", CMD_STRING | CMD_ONCE, "TEXT", NULL, "why; kept with it", false},
    CMD_OPTIONS_END,
};
static const struct cmd_option DATASET_PUT[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"force", CMD_FLAG | CMD_ONCE, NULL, NULL, "also when fields that are served go away", false},
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option DATASET_DELETE[] = {
    CMD_OPTION_DATA,   CMD_OPTION_KEYS,    CMD_OPTION_TENANT, COMMANDS_REASON,
    COMMANDS_IF_MATCH, CMD_OPTIONS_REMOTE, CMD_OPTIONS_END};
static const struct cmd_option DATASET_CHECK[] = {CMD_OPTIONS_END};
static const struct cmd_option DATASET_GET[] = {CMD_OPTION_DATA, CMD_OPTION_KEYS, CMD_OPTION_TENANT,
                                                CMD_OPTIONS_REMOTE, CMD_OPTIONS_END};
static const struct cmd_option LISTS[] = {CMD_OPTION_DATA, CMD_OPTION_KEYS,    CMD_OPTION_TENANT,
                                          COMMANDS_OUTPUT, CMD_OPTIONS_REMOTE, CMD_OPTIONS_END};
static const struct cmd_option JOBS_LIST[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"dataset", CMD_STRING | CMD_ONCE, "NAME", NULL, "only of this dataset", false},
    {"state", CMD_STRING, "STATE", NULL,
     "only queued, running, succeeded, held, failed or canceled", false},
    {"limit", CMD_UINT, "N", "50", "at most so many", false},
    COMMANDS_OUTPUT,
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option JOB[] = {CMD_OPTION_DATA, CMD_OPTION_KEYS,    CMD_OPTION_TENANT,
                                        COMMANDS_OUTPUT, CMD_OPTIONS_REMOTE, CMD_OPTIONS_END};
static const struct cmd_option DIFF[] = {
    CMD_OPTION_DATA,   CMD_OPTION_KEYS,
    CMD_OPTION_TENANT, {"rollups-only", CMD_FLAG, NULL, NULL, "leave the records out", false},
    COMMANDS_OUTPUT,   CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option ROLLBACK[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    COMMANDS_REASON,
    {"from", CMD_UINT | CMD_ONCE, "VERSION", NULL, "the version to leave (default: current)",
     false},
    {"to", CMD_UINT | CMD_ONCE, "VERSION", NULL, "the version to serve (default: the one before)",
     false},
    COMMANDS_IF_MATCH,
    COMMANDS_OUTPUT,
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option PROMOTE[] = {
    CMD_OPTION_DATA,   CMD_OPTION_KEYS, CMD_OPTION_TENANT,  COMMANDS_REASON,
    COMMANDS_IF_MATCH, COMMANDS_OUTPUT, CMD_OPTIONS_REMOTE, CMD_OPTIONS_END,
};
static const struct cmd_option VERIFY[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"deep", CMD_FLAG, NULL, NULL, "also every hash, key, row and total", false},
    COMMANDS_OUTPUT,
    CMD_OPTIONS_END,
};
static const struct cmd_option USAGE[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"from", CMD_STRING | CMD_ONCE, "DAY", NULL, "the first day (UTC)", false},
    {"to", CMD_STRING | CMD_ONCE, "DAY", NULL, "the last day", false},
    COMMANDS_OUTPUT,
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option TENANT_DELETE[] = {CMD_OPTION_DATA, CMD_OPTION_KEYS, COMMANDS_REASON,
                                                  CMD_OPTIONS_REMOTE, CMD_OPTIONS_END};
static const struct cmd_option AUDIT_VERIFY[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"tenant", CMD_STRING, "NAME", NULL, "only of this tenant", false},
    COMMANDS_OUTPUT,
    CMD_OPTIONS_END,
};
static const struct cmd_option AUDIT_SEARCH[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"dataset", CMD_STRING | CMD_ONCE, "NAME", NULL, "only of this dataset", false},
    {"event", CMD_STRING | CMD_ONCE, "NAME", NULL, "only this operation, such as lookup", false},
    {"outcome", CMD_STRING | CMD_ONCE, "WORD", NULL, "only this one, such as match or done", false},
    {"subject", CMD_STRING | CMD_ONCE, "TEXT", NULL, "only by tokens of this subject", false},
    {"token-id", CMD_STRING | CMD_ONCE, "ID", NULL, "only by this token", false},
    {"request-id", CMD_STRING | CMD_ONCE, "ID", NULL, "only of this request", false},
    {"key", CMD_STRING | CMD_ONCE, "HMAC", NULL, "only with this key, as lines have it", false},
    {"from", CMD_STRING | CMD_ONCE, "TIME", NULL, "the earliest: 2026-01-31T00:00:00Z", false},
    {"to", CMD_STRING | CMD_ONCE, "TIME", NULL, "the end, exclusive", false},
    {"limit", CMD_UINT, "N", "100", "at most so many", false},
    {"output", CMD_STRING, "FORMAT", "table", "table, json or csv (all that lines have)", false},
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option AUDIT_ACT[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"dataset", CMD_STRING | CMD_ONCE, "NAME", NULL, "what it is done to", true},
    {"version", CMD_UINT | CMD_ONCE, "N", "0", "of the dataset; 0: not known yet", false},
    CMD_OPTIONS_END,
};
static const struct cmd_option BACKUP[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"to", CMD_STRING | CMD_ONCE, "DIR", NULL, "directory of backups; made when it is missing",
     true},
    COMMANDS_OUTPUT,
    CMD_OPTIONS_END,
};
static const struct cmd_option RESTORE[] = {
    {"from", CMD_STRING | CMD_ONCE, "DIR", NULL,
     "directory of backups (its newest), or one of them", true},
    {"data", CMD_STRING, "DIR", NULL, "new data directory: missing, or empty but for keys", true},
    CMD_OPTION_KEYS,
    COMMANDS_OUTPUT,
    CMD_OPTIONS_END,
};
static const struct cmd_option CATALOG_REBUILD[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"skip-damaged", CMD_FLAG, NULL, NULL,
     "go on without the datasets whose head files are damaged", false},
    COMMANDS_OUTPUT,
    CMD_OPTIONS_END,
};
static const struct cmd_option HEALTH[] = {
    {"port-file", CMD_STRING | CMD_LOCAL, "FILE", NULL,
     "file with the port of a server on this machine, as serve writes it", true},
    {"url", CMD_STRING, "URL", NULL, "another server: https://..., or http:// to this machine",
     false},
    CMD_OPTION_CA_FILE,
    CMD_OPTION_TIMEOUT("5s"),
    CMD_OPTIONS_END,
};
static const struct cmd_option NONE[] = {CMD_OPTIONS_END};

static char **command_line;

/* `everline ingest ...` is `everline-ingest ingest ...`, as git's subcommands are programs. */
static enum st hand_over(const struct cmd_args *args)
{
    char path[FS_PATH_MAX];

    (void)args;
    if (program_sibling(path, "everline-ingest") == ST_OK)
        execv(path, command_line);
    return st_fail(ST_UNREACHABLE, NULL, "everline-ingest is not beside this program");
}

static enum st ingest(const struct cmd_args *args)
{
    return remote_is_asked(args) ? ingest_cmd(args) : hand_over(args);
}

static enum st export(const struct cmd_args *args) {
    return remote_is_asked(args) ? export_cmd(args) : hand_over(args);
}

static const struct cmd COMMANDS[] = {
    {"dev", "", 0, 0, "Try it: tenant, keys and sample data, then serve", NULL,
     "everline dev --data /tmp/everline", DEV, dev_cmd},
    {"serve", "", 0, 0, "Serve a data directory", NULL,
     "everline serve --data DIR --listen 127.0.0.1:8080", SERVE, serve_cmd},
    {"ingest", "DATASET", 1, 1, "Build a new version from files and serve it", NULL,
     "everline ingest lifeline --data DIR --tenant dev --source patients=patients.csv", CMD_INGEST,
     ingest},
    {"export", "DATASET", 1, 1, "Write the records of a version into a file, for analysts", NULL,
     "everline export flights --format parquet --output flights.parquet --data DIR --tenant dev",
     CMD_EXPORT, export},
    {"worker", "", 0, 0, "Run the queue's jobs, one at a time; `serve` starts such workers itself",
     NULL, "everline worker --data DIR", CMD_WORKER, hand_over},
    {"tenant put", "NAME", 1, 1, "Make a tenant and its keys, or change it", NULL,
     "everline tenant put dev --data DIR", TENANT_PUT, tenant_put_cmd},
    {"tenant get", "NAME", 1, 1, "Show a tenant", NULL, "everline tenant get dev --data DIR",
     TENANT_SHOW, tenant_get_cmd},
    {"tenant webhook-secret", "NAME", 1, 1, "Print the secret that signs a tenant's webhooks", NULL,
     "everline tenant webhook-secret dev --data DIR", TENANT_SECRET, tenant_secret_cmd},
    {"tenant delete", "NAME", 1, 1, "Remove a tenant that has no datasets",
     "Its keys and its audit stay on the disk. One with datasets can be disabled: tenant put "
     "--disable.",
     "everline tenant delete old --data DIR --reason \"moved away\"", TENANT_DELETE,
     tenant_delete_cmd},
    {"tenant list", "", 0, 0, "List tenants", NULL, "everline tenant list --data DIR", TENANT_SHOW,
     tenant_list_cmd},
    {"token", "", 0, 0, "Mint a token; prints it and nothing else", NULL,
     "everline token --data DIR --tenant dev --scope \"data:read versions:write\" --ttl 1h", TOKEN,
     token_cmd},
    {"token inspect", "TOKEN", 1, 1, "Show what a token says, and why it is refused if it is",
     "TOKEN may be - for stdin. Judged as a server with this data directory would.",
     "everline token --data DIR --tenant dev | everline token inspect - --data DIR", TOKEN_SHOW,
     token_inspect_cmd},
    {"token verify", "TOKEN", 1, 1, "Exit 0 when a server would take the token, else say why not",
     "TOKEN may be - for stdin.",
     "everline token --data DIR --tenant dev | everline token verify - --data DIR", TOKEN_SHOW,
     token_verify_cmd},
    {"token revoke", "[TOKEN]", 0, 1, "Have servers refuse a token, or all of a subject", NULL,
     "everline token revoke --data DIR --tenant dev --subject ada", TOKEN_REVOKE, token_revoke_cmd},
    {"dataset put", "FILE", 1, 1, "Create or change a dataset's definition", NULL,
     "everline dataset put definition.json --data DIR --tenant dev", DATASET_PUT, dataset_put_cmd},
    {"dataset delete", "DATASET", 1, 1, "Remove a dataset, and the files of all its versions",
     "Not while a job of it is queued or running. Rows of its versions and its events stay; put "
     "again, "
     "it goes on with the next version's number.",
     "everline dataset delete old --data DIR --tenant dev --reason \"replaced by members\"",
     DATASET_DELETE, dataset_delete_cmd},
    {"dataset init", "FILE...", 1, STORE_SOURCES_MAX, "Print a definition as a start, from samples",
     "CSV, NDJSON and Parquet, compressed or not. Types and a delimiter are guessed: look at them. "
     "The first file is prepared, and its first column is the key, unprotected.",
     "everline dataset init members.csv >members.json", NONE, dataset_init_cmd},
    {"dataset check", "FILE", 1, 1, "Tell whether a definition would be taken, and change nothing",
     "Without columns of all sources declared, what depends on a file's header is told by ingest.",
     "everline dataset check definition.json", DATASET_CHECK, dataset_check_cmd},
    {"dataset get", "DATASET", 1, 1, "Show a dataset and its definition", NULL,
     "everline dataset get lifeline --data DIR --tenant dev", DATASET_GET, dataset_get_cmd},
    {"dataset list", "", 0, 0, "List datasets", NULL,
     "everline dataset list --data DIR --tenant dev", LISTS, dataset_list_cmd},
    {"versions", "DATASET", 1, 1, "Show the version-info table", NULL,
     "everline versions lifeline --data DIR --tenant dev --output json", LISTS, versions_cmd},
    {"rejects", "DATASET VERSION", 2, 2, "Show where the records are that a version leaves out",
     NULL, "everline rejects lifeline 42 --data DIR --tenant dev", LISTS, rejects_cmd},
    {"jobs list", "", 0, 0, "Show jobs, newest first", NULL,
     "everline jobs list --data DIR --tenant dev --state failed", JOBS_LIST, jobs_list_cmd},
    {"jobs show", "JOB", 1, 1, "Show a job as JSON", NULL,
     "everline jobs show job-000000000007 --data DIR --tenant dev", JOB, jobs_show_cmd},
    {"jobs watch", "JOB", 1, 1, "Follow a job to its end",
     "Exit code: 0 served (or superseded, or identical), 1 failed or cancelled, 4 held, or refused "
     "by "
     "a check.",
     "everline jobs watch job-000000000007 --data DIR --tenant dev", JOB, jobs_watch_cmd},
    {"jobs cancel", "JOB", 1, 1, "Stop a job, and wait until it has cleaned up", NULL,
     "everline jobs cancel job-000000000007 --data DIR --tenant dev", JOB, jobs_cancel_cmd},
    {"jobs retry", "JOB", 1, 1, "Run a failed or cancelled job again", NULL,
     "everline jobs retry job-000000000007 --data DIR --tenant dev", JOB, jobs_retry_cmd},
    {"diff", "DATASET A B", 3, 3, "What differs between versions A and B",
     "Both are read from end to end. Keys are shown for unprotected datasets only.",
     "everline diff flights 1 2 --data DIR --tenant dev", DIFF, diff_cmd},
    {"rollback", "DATASET", 1, 1, "Go back to the version served before, at once", NULL,
     "everline rollback lifeline --data DIR --tenant dev --reason \"bad batch\"", ROLLBACK,
     rollback_cmd},
    {"promote", "DATASET VERSION", 2, 2, "Serve a kept version, with a reason", NULL,
     "everline promote lifeline 42 --data DIR --tenant dev --reason \"checked by hand\"", PROMOTE,
     promote_cmd},
    {"retire", "DATASET VERSION", 2, 2, "Remove the files of a version; its row stays",
     "Not of the current version, nor of the one that a rollback would go to.",
     "everline retire lifeline 40 --data DIR --tenant dev --reason \"wrong consent\"", PROMOTE,
     retire_cmd},
    {"verify", "", 0, 0, "Check every segment that a version names", NULL,
     "everline verify --data DIR --deep", VERIFY, verify_cmd},
    {"usage", "", 0, 0, "Show what a tenant has used, by day, dataset, operation and subject",
     "As servers have added it up: every --usage-interval of theirs.",
     "everline usage --data DIR --tenant dev --from 2026-01-01", USAGE, usage_cmd},
    {"audit search", "", 0, 0, "Show who looked up what, and who changed what, newest first",
     "Keys are HMACs: the same person is found again by --key, and not named.",
     "everline audit search --data DIR --tenant dev --event rollBack --from 2026-01-31T00:00:00Z",
     AUDIT_SEARCH, audit_search_cmd},
    {"audit verify", "", 0, 0, "Find lines of the audit that were removed, changed or reordered",
     "Also while servers write it. What a crash has cut off since the last sync is no problem.",
     "everline audit verify --data DIR", AUDIT_VERIFY, audit_verify_cmd},
    /* no summary, so in no list: for everline-ingest */
    {"audit act", "EVENT", 1, 1, NULL, NULL, NULL, AUDIT_ACT, act_cmd},
    {"backup", "", 0, 0, "Save everything but the keys, while it serves and ingests",
     "Every backup is whole by itself; segments that an earlier one in the same directory has are\n"
     "not copied again. Keys are not in it: keep a copy of the keys directory somewhere else. The\n"
     "output names the keys that the backup needs.",
     "everline backup --data DIR --to /mnt/backups", BACKUP, backup_cmd},
    {"restore", "", 0, 0, "Make a new data directory from a backup",
     "Every file is held against its SHA-256. The keys come from elsewhere, before or after. "
     "Builds\n"
     "that had not ended when the backup was made are FAILED, code RESTORED.",
     "everline restore --from /mnt/backups --data NEWDIR", RESTORE, restore_cmd},
    {"catalog rebuild", "", 0, 0, "Make a lost or damaged catalog again from the head files",
     "Nothing else may use the directory meanwhile. The old catalog is kept under another name. "
     "What\n"
     "cannot be restored is said; nothing that is served is lost.",
     "everline catalog rebuild --data DIR", CATALOG_REBUILD, catalog_rebuild_cmd},
    {"get", "PATH", 1, 1, "Answer a route without a server, or ask one", NULL,
     "everline get /v1/datasets --data DIR --tenant dev", DATASET_GET, get_cmd},
    {"health", "", 0, 0, "Ask a server whether it is ready",
     "Prints its state. Exit code: 0 ready, 1 not ready, 3 cannot reach.",
     "everline health --port-file /run/everline/port", HEALTH, health_cmd},
    {"completion", "SHELL", 1, 1, "Print what completes these commands in bash, zsh or fish", NULL,
     "everline completion bash > ~/.local/share/bash-completion/completions/everline", NONE,
     cmd_completion},
    {"config example", "", 0, 0, "Print a configuration file with every option, as comments", NULL,
     "everline config example > everline.conf", NONE, cmd_config_example},
    {"config check", "[FILE]", 0, 1, "Check a configuration file", NULL,
     "everline config check everline.conf", NONE, config_check_cmd},
    {"config dump", "[COMMAND]", 0, 2, "Show the options of a command, and where each comes from",
     NULL, "everline config dump serve --config everline.conf", NONE, cmd_config_dump},
    {"version", "", 0, 0, "Show the version of the program", NULL, "everline version", NONE,
     version_cmd},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};

static const struct cmd_program PROGRAM = {
    .name = "everline",
    .about = "Everline publishes batch-computed datasets as an HTTP API that never goes offline.",
    .commands = COMMANDS,
    .shared = CMD_SHARED,
};

int main(int argc, char **argv)
{
    process_no_core();
    process_keep_children();
    command_line = argv;
    return cmd_main(&PROGRAM, argc, argv);
}

/* Options that many commands have, and those of the worker's commands: `everline` reads them before
 * it knows whether this machine's worker does it, or a server. */
#ifndef EVERLINE_BASE_CMD_OPTIONS_H
#define EVERLINE_BASE_CMD_OPTIONS_H

#include "base/cmd.h"

#define CMD_OPTION_DATA                                                                            \
    {                                                                                              \
        "data", CMD_STRING | CMD_LOCAL, "DIR", NULL, "data directory", true                        \
    }
#define CMD_OPTION_KEYS                                                                            \
    {                                                                                              \
        "keys", CMD_STRING | CMD_LOCAL, "DIR", NULL, "keys directory, if not DATA/keys", false     \
    }
#define CMD_OPTION_TENANT                                                                          \
    {                                                                                              \
        "tenant", CMD_STRING | CMD_LOCAL, "NAME", NULL, "tenant", true                             \
    }
/* Where a command is done that a server can do, too. */
#define CMD_OPTION_URL                                                                             \
    {                                                                                              \
        "url", CMD_STRING, "URL", NULL,                                                            \
            "instead of --data, a server that does it: https://..., or http:// to this machine",   \
            false                                                                                  \
    }
#define CMD_OPTION_CA_FILE                                                                         \
    {                                                                                              \
        "ca-file", CMD_STRING, "FILE", NULL,                                                       \
            "PEM of who may vouch for the server of --url (default: the system's)", false          \
    }
#define CMD_OPTION_TIMEOUT(PRESET)                                                                 \
    {                                                                                              \
        "timeout", CMD_DURATION, "TIME", PRESET, "longest wait for an answer of --url", false      \
    }
#define CMD_OPTIONS_REMOTE                                                                         \
    CMD_OPTION_URL,                                                                                \
        {"token-file", CMD_STRING, "FILE", NULL, "file with the token for --url", false},          \
        {"token",                                                                                  \
         CMD_STRING | CMD_SECRET,                                                                  \
         "TOKEN",                                                                                  \
         NULL,                                                                                     \
         "the token for --url, without --token-file",                                              \
         false},                                                                                   \
        CMD_OPTION_CA_FILE, CMD_OPTION_TIMEOUT("30s")
#define CMD_OPTIONS_END                                                                            \
    {                                                                                              \
        NULL, CMD_FLAG, NULL, NULL, NULL, false                                                    \
    }

/* What may stand before the first section of a configuration file. */
static const char *const CMD_SHARED[] = {"data",       "keys",    "tenant",  "url",
                                         "token-file", "ca-file", "timeout", NULL};

static const struct cmd_option CMD_INGEST[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"source", CMD_LIST | CMD_ONCE, "[NAME=]PATH", NULL,
     "a file or glob of a source; can be repeated", true},
    {"memory", CMD_BYTES | CMD_LOCAL, "BYTES", "2GiB", "memory of the build, at least 64MiB",
     false},
    {"temp-disk", CMD_BYTES | CMD_LOCAL, "BYTES", "0", "most disk while it builds; 0: no limit",
     false},
    {"threads", CMD_UINT | CMD_LOCAL, "N", "2", "threads of the build", false},
    {"inflate-ratio", CMD_UINT | CMD_LOCAL, "N", "200", "most that a compressed file inflates to",
     false},
    {"job-timeout", CMD_DURATION | CMD_LOCAL, "TIME", "0s", "longest time of the job; 0s: none",
     false},
    {"adopt-timeout", CMD_DURATION | CMD_LOCAL, "TIME", "30s",
     "longest wait for servers to open it", false},
    {"lease", CMD_DURATION | CMD_LOCAL, "TIME", "30s",
     "a build that is silent for so long has failed", false},
    {"dry-run", CMD_FLAG | CMD_ONCE, NULL, NULL,
     "everything but publish: print what it would change", false},
    {"output", CMD_STRING, "FORMAT", "table", "table or json: the version's row", false},
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};
static const struct cmd_option CMD_WORKER[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    {"inbox", CMD_STRING, "DIR", NULL, "jobs may name files below DIR/TENANT", false},
    {"memory", CMD_BYTES, "BYTES", "2GiB", "memory of a build, at least 64MiB", false},
    {"temp-disk", CMD_BYTES, "BYTES", "0", "most disk while it builds; 0: no limit", false},
    {"threads", CMD_UINT, "N", "2", "threads of a build", false},
    {"inflate-ratio", CMD_UINT, "N", "200", "most that a compressed file inflates to", false},
    {"job-timeout", CMD_DURATION, "TIME", "12h", "longest time of a job; 0s: none", false},
    {"adopt-timeout", CMD_DURATION, "TIME", "30s", "longest wait for servers to open it", false},
    {"lease", CMD_DURATION, "TIME", "30s", "a build that is silent for so long has failed", false},
    {"idle-exit", CMD_DURATION, "TIME", "0s", "end after so long without a job; 0s: never", false},
    CMD_OPTIONS_END,
};
static const struct cmd_option CMD_EXPORT[] = {
    CMD_OPTION_DATA,
    CMD_OPTION_KEYS,
    CMD_OPTION_TENANT,
    {"version", CMD_UINT | CMD_ONCE, "N", "0", "version; 0: the current one", false},
    {"format", CMD_STRING, "FORMAT", "csv", "csv, ndjson or parquet", false},
    {"output", CMD_STRING | CMD_ONCE, "FILE", "-", "the file to write; -: stdout, not for Parquet",
     false},
    {"threads", CMD_UINT | CMD_LOCAL, "N", "2", "threads that write Parquet", false},
    CMD_OPTIONS_REMOTE,
    CMD_OPTIONS_END,
};

#endif

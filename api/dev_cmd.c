#include "api/commands.h"
#include "api/server.h"
#include "auth/scope.h"
#include "base/program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* `everline dev`: a tenant, keys, both sample datasets, a token and a curl line; then serves. */

#define DEV_TENANT "dev"
#define DEV_SCOPES (AUTH_DATA_READ | AUTH_ANALYTICS_READ | AUTH_VERSIONS_WRITE | AUTH_AUDIT_READ)
#define DEV_TTL_MS (24u * 3600 * 1000)

struct dev {
    char token[4200];
};

static enum st run_tool(const char *program, char *const *argv)
{
    char path[FS_PATH_MAX];
    int exit_code = 0;
    enum st st = program_sibling(path, program);

    if (!st)
        st = commands_run(&exit_code, path, argv);
    if (!st && exit_code)
        st =
            st_fail(ST_INVALID, NULL, "%s %s ended with exit code %d", program, argv[1], exit_code);
    return st;
}

/* execv's arguments, which it does not change. */
struct argv {
    char *items[32];
    size_t count;
};

static void add(struct argv *argv, const char *text)
{
    argv->items[argv->count++] = (char *)(uintptr_t)text;
}

/* What both tools are told: where, and whose. */
static void add_place(struct argv *argv, const struct store_options *store)
{
    add(argv, "--data");
    add(argv, store->data_dir);
    if (store->keys_dir) {
        add(argv, "--keys");
        add(argv, store->keys_dir);
    }
    add(argv, "--tenant");
    add(argv, DEV_TENANT);
}

static enum st load_dataset(const struct store_options *store, const char *sample, const char *name,
                            const char *const *sources)
{
    char definition[FS_PATH_MAX], texts[8][FS_PATH_MAX];
    struct argv put = {.items = {NULL}}, ingest = {.items = {NULL}};
    enum st st = fs_path(definition, "%s/%s/definition.json", sample, name);

    add(&put, "everline");
    add(&put, "dataset");
    add(&put, "put");
    add(&put, definition);
    add_place(&put, store);
    add(&ingest, "everline");
    add(&ingest, "ingest");
    add(&ingest, name);
    add_place(&ingest, store);
    for (size_t i = 0; !st && sources[i]; i += 2) {
        st = fs_path(texts[i / 2], "%s=%s/%s/%s", sources[i], sample, name, sources[i + 1]);
        add(&ingest, "--source");
        add(&ingest, texts[i / 2]);
    }
    if (!st)
        st = run_tool("everline", put.items);
    return st ? st : run_tool("everline-ingest", ingest.items);
}

/* Loaded once: what has been served since is not touched. */
static enum st is_served(bool *served, struct store *s, const char *name)
{
    json_t *dataset = NULL;
    enum st st = store_dataset_get(&dataset, s, DEV_TENANT, name);

    *served = !st && json_is_integer(json_object_get(dataset, "current"));
    json_decref(dataset);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static enum st find_sample(char out[FS_PATH_MAX], const struct cmd_args *args)
{
    static const char *const PLACES[] = {"../deploy/sample", "../share/everline/sample"};
    const char *given = cmd_string(args, "sample");
    enum st st = ST_OK;

    if (given)
        return fs_path(out, "%s", given);
    for (size_t i = 0; !st && i < sizeof PLACES / sizeof PLACES[0]; i++) {
        st = program_sibling(out, PLACES[i]);
        if (!st && access(out, R_OK) == 0)
            return ST_OK;
    }
    return st ? st
              : st_hint(st_fail(ST_NOT_FOUND, NULL, "the sample data is not beside this program"),
                        "name its directory with --sample");
}

static void show(const char *url, void *ctx)
{
    struct dev *dev = ctx;

    printf("serving %s\n\ntry:\n  curl -s -H 'Authorization: Bearer %s' "
           "'%s/v1/datasets/flights/rollups/by_origin?origin=ATL'\n\nCtrl-C stops.\n",
           url, dev->token, url);
    fflush(stdout);
}

enum st dev_cmd(const struct cmd_args *args)
{
    static const char *const YEAR_1[] = {
        "patients", "patients.csv", "coverage", "coverage/2019.csv", "payers", "payers.csv", NULL};
    static const char *const YEAR_2[] = {
        "patients", "patients.csv", "coverage", "coverage/2020.csv", "payers", "payers.csv", NULL};
    static const char *const FLIGHTS[] = {"flights", "flights.parquet", NULL};
    struct store_options store = commands_store_options(args, false);
    char sample[FS_PATH_MAX];
    bool has_lifeline = false, has_flights = false;
    struct store_tenant t;
    struct store *s = NULL;
    struct dev dev = {.token = ""};
    struct buf token;
    enum st st = commands_open(&s, args, true);

    buf_init(&token, sizeof dev.token - 1);
    if (!st)
        st = commands_make_tenant(&t, s, DEV_TENANT);
    if (!st)
        st = store_tenant_put(s, &t);
    if (!st)
        st = commands_mint(&token, s, DEV_TENANT, DEV_SCOPES, "dev", NULL, DEV_TTL_MS);
    if (!st)
        st = is_served(&has_lifeline, s, "lifeline");
    if (!st)
        st = is_served(&has_flights, s, "flights");
    store_close(s);
    if (!st)
        memcpy(dev.token, token.data, token.len + 1);
    buf_release_secret(&token);
    if (!st && !(has_lifeline && has_flights))
        st = find_sample(sample, args);
    if (!st && !has_lifeline)
        st = load_dataset(&store, sample, "lifeline", YEAR_1);
    if (!st && !has_lifeline)
        st = load_dataset(&store, sample, "lifeline", YEAR_2);
    if (!st && !has_flights)
        st = load_dataset(&store, sample, "flights", FLIGHTS);
    const char *listen[] = {cmd_string(args, "listen"), NULL};
    static const char *const NONE[] = {NULL};
    struct api_options options = {
        .store = store,
        .cors_origins = NONE,
        .trusted_proxies = NONE,
        .outgoing = NONE,
        .log_level = LOG_LEVEL_INFO,
        .listen = listen,
        .port_file = cmd_string(args, "port-file"),
        .ready_fn = show,
        .ctx = &dev,
    };
    if (!st)
        st = api_serve(&options);
    secret_wipe(dev.token, sizeof dev.token);
    return st;
}

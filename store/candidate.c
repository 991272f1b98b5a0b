#include "store/publish_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* The candidate: before the head is swapped, every live server is asked to verify, open and warm
 * the new segments, so that the flip itself is one pointer. Servers watch the catalog and write one
 * acknowledgement each; the nonce ties it to this candidate and no earlier one. */

#define POLL_MS 5
#define TICK_MS 100

static void candidate_nonce(char out[STORE_JOB_ID_SIZE + 16], const struct store_build *b)
{
    snprintf(out, STORE_JOB_ID_SIZE + 16, "%s.%u", b->lease.job, b->lease.attempt);
}

static json_t *segments_json(const struct store_build *b)
{
    json_t *list = json_array();

    for (size_t i = 0; i < b->segment_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:I}", "sha256", b->segments[i].sha256,
                                              "bytes", (json_int_t)b->segments[i].bytes));
    return list;
}

static enum st write_candidate(struct store_build *b)
{
    char key[CATALOG_KEY_SIZE], nonce[STORE_JOB_ID_SIZE + 16];
    struct catalog_txn t;
    json_t *candidate = json_object();

    candidate_nonce(nonce, b);
    store_dataset_key(key, b->lease.tenant, b->lease.dataset);
    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    build_withdraw(&t, b); /* what an earlier attempt left */
    store_set(&t, candidate, "version", json_integer((json_int_t)b->version));
    store_set(&t, candidate, "nonce", json_string(nonce));
    store_set(&t, candidate, "segments", segments_json(b));
    catalog_put(&t, CATALOG_CANDIDATES, key, candidate);
    for (size_t i = 0; !t.status && i < b->segment_count; i++) {
        char path[FS_PATH_MAX];
        catalog_fail(&t, store_segment_path(path, b->store, b->segments[i].sha256));
        if (!t.status)
            catalog_fail(&t, store_seal_write(&t, b->segments[i].sha256, path));
    }
    json_decref(candidate);
    return catalog_commit(&t);
}

void build_withdraw(struct catalog_txn *t, const struct store_build *b)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *ack;

    store_dataset_key(prefix, b->lease.tenant, b->lease.dataset);
    catalog_delete(t, CATALOG_CANDIDATES, prefix);
    strcat(prefix, "/");
    while ((ack = catalog_after(t, CATALOG_ACKS, prefix, key))) {
        catalog_delete(t, CATALOG_ACKS, key);
        json_decref(ack);
    }
}

/* ST_OK: this server has it; ST_NOT_FOUND: not yet; ST_CORRUPT: it refused it. */
static enum st read_ack(struct catalog_txn *t, const struct store_build *b, const char *server)
{
    char key[CATALOG_KEY_SIZE], nonce[STORE_JOB_ID_SIZE + 16];
    enum st st = ST_NOT_FOUND;

    candidate_nonce(nonce, b);
    snprintf(key, sizeof key, "%s/%s/%s", b->lease.tenant, b->lease.dataset, server);
    json_t *ack = catalog_get(t, CATALOG_ACKS, key);
    const char *theirs = json_string_value(json_object_get(ack, "nonce"));
    if (theirs && strcmp(theirs, nonce) == 0) {
        const char *message = json_string_value(json_object_get(ack, "message"));
        st = json_is_true(json_object_get(ack, "ok"))
                 ? ST_OK
                 : st_fail(ST_CORRUPT, "CANDIDATE_REFUSED", "a server refused the new version: %s",
                           message ? message : "no reason given");
    }
    json_decref(ack);
    return st;
}

/* ST_OK: all live servers have it. */
static enum st all_acknowledged(const struct store_build *b)
{
    struct fs_list servers = {0};
    struct catalog_txn t;
    enum st st = run_list(&servers, b->store->run_dir, RUN_SERVER);

    if (st)
        return st;
    catalog_begin_read(&t, &b->store->catalog);
    for (size_t i = 0; !st && !t.status && i < servers.count; i++)
        st = read_ack(&t, b, servers.names[i]);
    enum st end = catalog_end(&t);
    fs_list_free(&servers);
    return end ? end : st;
}

enum st build_offer(struct store_build *b, uint64_t adopt_timeout_ms, enum st (*tick_fn)(void *ctx),
                    void *ctx)
{
    uint64_t start_ns = clock_steady_ns(), tick_ns = start_ns;
    enum st st = write_candidate(b);

    while (!st) {
        st = all_acknowledged(b);
        if (st != ST_NOT_FOUND)
            return st;
        uint64_t now_ns = clock_steady_ns();
        if (now_ns - start_ns >= adopt_timeout_ms * 1000000u)
            return ST_OK; /* the late ones turn unready until they have caught up */
        st = ST_OK;
        if (tick_fn && now_ns - tick_ns >= TICK_MS * 1000000u) {
            tick_ns = now_ns;
            st = tick_fn(ctx);
        }
        if (!st && poll(NULL, 0, POLL_MS) < 0 && errno != EINTR)
            st = st_fail_errno(errno, "waiting for the servers");
    }
    return st;
}

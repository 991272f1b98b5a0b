#include "api/hooks.h"

#include "auth/http.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/hook.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_MS 500
#define ANSWER_MAX (64u << 10) /* nobody reads it */
/* Who takes so long to answer has a tenth of the thread's time, and the others have the rest. */
#define SLOW_NS UINT64_C(1000000000)
#define SLOW_PAUSE 9

struct api_hooks {
    struct store_keeper *keeper;
    const struct network_list *outgoing;
    struct store_hook_round round;
    pthread_t thread;
    int stop;
    _Atomic bool stopping;
};

/* ---- errands for the catalog thread ---- */

struct errand {
    struct api_hooks *hooks;
    struct store_hook hook;
    struct secret key;
    struct st_report keyless; /* why there is no key */
    bool delivered, last;
    uint64_t took_ns;
    enum st status;
};

static void take(struct store *s, struct store_wait *wait, void *ctx)
{
    struct errand *e = ctx;

    (void)wait;
    e->status = store_hook_take(&e->hook, &e->hooks->round, s, clock_wall_us());
    if (e->status && e->status != ST_NOT_FOUND && e->status != ST_TIMEOUT)
        log_failure(LOG_LEVEL_WARN, "webhook", "what is to be told cannot be looked up now");
    if (!e->status)
        st_save(&e->keyless, store_hook_key_read(&e->key, store_keys_dir(s), e->hook.tenant));
}

static void settle(struct store *s, struct store_wait *wait, void *ctx)
{
    struct errand *e = ctx;
    int64_t now_us = clock_wall_us();
    bool slow = e->took_ns >= SLOW_NS;
    int64_t until_us = slow ? now_us + (int64_t)(e->took_ns / 1000 * SLOW_PAUSE) : 0;

    (void)wait;
    e->status = e->delivered ? store_hook_delivered(s, &e->hook, now_us, until_us)
                             : store_hook_failed(&e->last, s, &e->hook, now_us, until_us);
    if (e->status)
        log_failure(LOG_LEVEL_WARN, "webhook", "%s may be sent again", e->hook.id);
}

/* ---- one message ---- */

enum st api_hooks_sign(char out[API_HOOKS_SIGNATURE_SIZE], const struct secret *key, const char *id,
                       const char *timestamp, const char *body)
{
    unsigned char digest[DIGEST_BYTES];
    struct digest_hmac *hmac = NULL;
    struct buf b;

    buf_init(&b, 1u << 20);
    buf_addf(&b, "%s.%s.%s", id, timestamp, body);
    enum st st = buf_status(&b);
    if (!st)
        st = digest_hmac_new(&hmac, key);
    if (!st) {
        digest_hmac_sum(digest, hmac, b.data, b.len);
        memcpy(out, "v1,", 3);
        digest_base64(out + 3, digest, sizeof digest);
    }
    digest_hmac_free(hmac);
    buf_release(&b);
    return st;
}

static enum st post(const struct errand *e)
{
    const struct store_hook *hook = &e->hook;
    char id[STORE_HOOK_ID_SIZE + 16], timestamp[32], signature[API_HOOKS_SIGNATURE_SIZE];
    char time_header[64], signature_header[96];
    const char *const headers[] = {"content-type: application/json", id, time_header,
                                   signature_header, NULL};
    struct buf answer;

    if (!hook->url[0])
        return ST_OK; /* the tenant does not want to be told any more */
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)(clock_wall_us() / 1000000));
    enum st st = e->keyless.status
                     ? st_restore(&e->keyless)
                     : api_hooks_sign(signature, &e->key, hook->id, timestamp, hook->payload);
    if (st)
        return st;
    snprintf(id, sizeof id, "webhook-id: %s", hook->id);
    snprintf(time_header, sizeof time_header, "webhook-timestamp: %s", timestamp);
    snprintf(signature_header, sizeof signature_header, "webhook-signature: %s", signature);
    buf_init(&answer, ANSWER_MAX);
    struct auth_http_call call = {.url = hook->url,
                                  .headers = headers,
                                  .body = hook->payload,
                                  .body_len = strlen(hook->payload),
                                  .outgoing = e->hooks->outgoing,
                                  .stop = &e->hooks->stopping,
                                  .answer = &answer};
    st = auth_http_call(&call);
    buf_release(&answer);
    if (!st && (call.status < 200 || call.status > 299))
        st = st_fail(ST_UNREACHABLE, "REFUSED", "the answer has status %u", call.status);
    return st;
}

static bool deliver(struct errand *e)
{
    struct api_hooks *h = e->hooks;
    uint64_t begun_ns = clock_steady_ns();

    e->delivered = post(e) == ST_OK;
    e->took_ns = clock_steady_ns() - begun_ns;
    bool stopping = atomic_load(&h->stopping);
    if (!e->delivered && !stopping)
        log_failure(LOG_LEVEL_WARN, "webhook", "%s of %s, try %u", e->hook.id, e->hook.tenant,
                    e->hook.tries);
    /* What was broken off is tried again by whoever comes after its minute. */
    bool settled = (e->delivered || !stopping) && store_keeper_call(h->keeper, settle, e) == ST_OK;
    if (settled && e->last)
        log_event(LOG_LEVEL_ERROR, "webhook", "%s of %s is given up after %u tries", e->hook.id,
                  e->hook.tenant, e->hook.tries);
    return settled;
}

/* False: there was none, or the server stops, or what is to be sent could not be taken: it is there
 * all the same, when only the commit of that failed. */
static bool send_one(struct api_hooks *h)
{
    struct errand e = {.hooks = h};
    bool taken = store_keeper_call(h->keeper, take, &e) == ST_OK && !e.status;
    bool settled = taken && deliver(&e);

    store_hook_release(&e.hook);
    secret_release(&e.key);
    return settled;
}

/* ---- the thread ---- */

static void *hooks_main(void *arg)
{
    struct api_hooks *h = arg;
    struct pollfd stop = {.fd = h->stop, .events = POLLIN};

    while (!atomic_load(&h->stopping))
        if (!send_one(h))
            (void)poll(&stop, 1, LOOK_MS);
    return NULL;
}

enum st api_hooks_start(struct api_hooks **out, struct store_keeper *keeper,
                        const struct network_list *outgoing)
{
    struct api_hooks *h = calloc(1, sizeof *h);

    *out = NULL;
    if (!h)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    h->keeper = keeper;
    h->outgoing = outgoing;
    h->stop = eventfd(0, EFD_CLOEXEC);
    int rc = h->stop < 0 ? errno : pthread_create(&h->thread, NULL, hooks_main, h);
    if (rc != 0) {
        if (h->stop >= 0)
            close(h->stop);
        free(h);
        return st_fail_errno(rc, "starting the thread of the webhooks");
    }
    *out = h;
    return ST_OK;
}

void api_hooks_stop(struct api_hooks *h)
{
    const uint64_t one = 1;

    if (!h)
        return;
    atomic_store(&h->stopping, true);
    if (write(h->stop, &one, sizeof one) != (ssize_t)sizeof one) {
        /* a counter of 2^64 stops: it cannot be full */
    }
    pthread_join(h->thread, NULL);
    close(h->stop);
    free(h);
}

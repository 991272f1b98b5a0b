/* A ring of batches. The giver and the taker each work on one of their own; those between carry the
 * one over the pauses of the other, which sorts a heap, or commits. */
#include "ingest/handoff.h"

#include "base/word.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES 16u
#define BATCH_BYTES (128u << 10) /* enough to wake the other side seldom */
#define BATCH_MAX (BATCH_BYTES + RECORD_HEAD_BYTES + MERGE_RECORD_MAX)

/* What one side writes for each record lies on no line of the cache that the other uses. */
#define APART _Alignas(64)

struct batch {
    APART struct buf records;
};

struct handoff {
    handoff_fn fn;
    void *ctx;
    pthread_t thread;
    struct batch batches[BATCHES]; /* the giver's is number `given`, the taker's `taken`, modulo */
    APART size_t at;               /* in the taker's */
    bool holds;                    /* the taker has one */

    APART pthread_mutex_t lock; /* of what follows */
    pthread_cond_t moved;
    unsigned given, taken; /* batches */
    bool ended, stopped;   /* no more are given; no more are taken */
    struct st_report failure;
};

static void *run(void *ctx)
{
    struct handoff *h = ctx;
    enum st st = h->fn(h, h->ctx);
    pthread_mutex_lock(&h->lock);
    if (st)
        st_save(&h->failure, st);
    else
        h->given++;
    h->ended = true;
    pthread_cond_signal(&h->moved);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static void release(struct handoff *h)
{
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->moved);
    for (size_t i = 0; i < BATCHES; i++)
        buf_release(&h->batches[i].records);
    free(h);
}

enum st handoff_start(struct handoff **out, handoff_fn fn, void *ctx)
{
    struct handoff *h = aligned_alloc(_Alignof(struct handoff), sizeof *h);
    *out = NULL;
    if (!h)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    memset(h, 0, sizeof *h);
    h->fn = fn;
    h->ctx = ctx;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->moved, NULL);
    for (size_t i = 0; i < BATCHES; i++)
        buf_init(&h->batches[i].records, BATCH_MAX);
    int rc = pthread_create(&h->thread, NULL, run, h);
    if (rc) {
        release(h);
        return st_fail_errno(rc, "starting a thread");
    }
    *out = h;
    return ST_OK;
}

void handoff_end(struct handoff *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopped = true;
    pthread_cond_signal(&h->moved);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    release(h);
}

/* The full batch for an empty one. */
static enum st exchange(struct handoff *h)
{
    pthread_mutex_lock(&h->lock);
    h->given++;
    pthread_cond_signal(&h->moved);
    while (h->given - h->taken == BATCHES && !h->stopped)
        pthread_cond_wait(&h->moved, &h->lock);
    bool stopped = h->stopped;
    pthread_mutex_unlock(&h->lock);
    if (stopped)
        return st_fail(ST_UNAVAILABLE, NULL, "nobody takes records any more");
    buf_reset(&h->batches[h->given % BATCHES].records);
    return ST_OK;
}

enum st handoff_give(struct handoff *h, const unsigned char *key, size_t key_len,
                     const void *payload, size_t len)
{
    uint32_t head = record_head((uint32_t)key_len, (uint32_t)(key_len + len));
    enum st st = h->batches[h->given % BATCHES].records.len < BATCH_BYTES ? ST_OK : exchange(h);
    if (st)
        return st;
    struct buf *batch = &h->batches[h->given % BATCHES].records;
    char *to = buf_reserve(batch, sizeof head + key_len + len);
    if (!to)
        return buf_status(batch);
    memcpy(to, &head, sizeof head);
    word_copy(to + sizeof head, key, key_len);
    word_copy(to + sizeof head + key_len, payload, len);
    batch->len += sizeof head + key_len + len;
    batch->data[batch->len] = '\0';
    return ST_OK;
}

/* The next full batch for the one that was taken from. */
static enum st wait_for_batch(struct handoff *h)
{
    enum st st = ST_OK;
    pthread_mutex_lock(&h->lock);
    h->taken += h->holds;
    pthread_cond_signal(&h->moved);
    while (h->given == h->taken && !h->ended)
        pthread_cond_wait(&h->moved, &h->lock);
    h->holds = h->given != h->taken;
    h->at = 0;
    if (!h->holds)
        st = h->failure.status ? st_restore(&h->failure) : ST_END;
    pthread_mutex_unlock(&h->lock);
    return st;
}

enum st handoff_take(struct record *out, struct handoff *h)
{
    while (!h->holds || h->at == h->batches[h->taken % BATCHES].records.len) {
        enum st st = wait_for_batch(h);
        if (st)
            return st;
    }
    *out = record_at((const unsigned char *)h->batches[h->taken % BATCHES].records.data + h->at);
    h->at += RECORD_HEAD_BYTES + out->len;
    return ST_OK;
}

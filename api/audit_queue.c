#include "api/audit_queue.h"

#include <stddef.h>

/* A record in a buffer: this, its texts one after the other, each with its NUL, keys, found. */
struct stored {
    uint32_t bytes, key_count;
    int64_t at_us;
    uint64_t version;
    const char *event, *outcome;
    uint32_t status;
    uint16_t lengths[11];
};

static const size_t TEXTS[] = {
    offsetof(struct audit_record, tenant),  offsetof(struct audit_record, dataset),
    offsetof(struct audit_record, subject), offsetof(struct audit_record, token_id),
    offsetof(struct audit_record, address), offsetof(struct audit_record, request_id),
    offsetof(struct audit_record, purpose), offsetof(struct audit_record, actor),
    offsetof(struct audit_record, reason),  offsetof(struct audit_record, key_id),
    offsetof(struct audit_record, target),
};
enum { TEXT_COUNT = sizeof TEXTS / sizeof TEXTS[0] };
_Static_assert(TEXT_COUNT == sizeof((struct stored *)0)->lengths / sizeof(uint16_t),
               "one length each");

#define CACHE_LINE 64u
#define NEXT_BYTES 256u /* no less than the record of a lookup has */

static const char **text_of(struct audit_record *r, size_t i)
{
    return (const char **)(void *)((char *)r + TEXTS[i]);
}

void audit_queue_init(struct audit_queue *q, size_t max_bytes)
{
    pthread_mutex_init(&q->mutex, NULL);
    buf_init(&q->filling, max_bytes);
    buf_init(&q->taken, max_bytes);
    q->at = 0;
}

void audit_queue_release(struct audit_queue *q)
{
    pthread_mutex_destroy(&q->mutex);
    buf_release(&q->filling);
    buf_release(&q->taken);
}

bool audit_queue_push(struct audit_queue *q, const struct audit_record *record, size_t *bytes)
{
    struct audit_record r = *record;
    struct stored s = {.key_count = r.key_count,
                       .at_us = r.at_us,
                       .version = r.version,
                       .event = r.event,
                       .outcome = r.outcome,
                       .status = r.status};
    size_t size = sizeof s + (size_t)r.key_count * (AUDIT_KEY_BYTES + 1);

    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *text = *text_of(&r, i);
        s.lengths[i] = (uint16_t)(text ? strnlen(text, UINT16_MAX - 1) : 0);
        size += s.lengths[i] + 1u;
    }
    size_t padding =
        (_Alignof(struct stored) - size % _Alignof(struct stored)) % _Alignof(struct stored);
    s.bytes = (uint32_t)(size + padding);
    pthread_mutex_lock(&q->mutex);
    char *room = buf_reserve(&q->filling, s.bytes);
    char *at = room;
    if (room) {
        memcpy(at, &s, sizeof s);
        at += sizeof s;
        for (size_t i = 0; i < TEXT_COUNT; i++) {
            if (s.lengths[i])
                memcpy(at, *text_of(&r, i), s.lengths[i]);
            at[s.lengths[i]] = '\0';
            at += s.lengths[i] + 1u;
        }
        if (r.key_count) {
            memcpy(at, r.keys, (size_t)r.key_count * AUDIT_KEY_BYTES);
            memcpy(at + (size_t)r.key_count * AUDIT_KEY_BYTES, r.found, r.key_count);
        }
        q->filling.len += s.bytes;
    } else {
        q->filling.status = ST_OK; /* there may be room for a smaller one */
    }
    *bytes = q->filling.len;
    pthread_mutex_unlock(&q->mutex);
    /* Where the next record goes, nobody was for a while: its memory is far. Asked for now it is
     * there in time, else the next push would wait for it, and with the mutex held. (In a function
     * of its own, the compiler would find that this does nothing.) */
    for (uintptr_t next = CACHE_LINE; room && next <= NEXT_BYTES; next += CACHE_LINE)
        __builtin_prefetch((const void *)((uintptr_t)room + s.bytes + next), 1);
    return room != NULL;
}

bool audit_queue_peek(struct audit_record *out, struct audit_queue *q)
{
    struct stored s;

    if (q->at == q->taken.len)
        return false;
    const char *at = q->taken.data + q->at;
    memcpy(&s, at, sizeof s);
    at += sizeof s;
    *out = (struct audit_record){.at_us = s.at_us,
                                 .event = s.event,
                                 .outcome = s.outcome,
                                 .version = s.version,
                                 .status = s.status,
                                 .key_count = s.key_count};
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        *text_of(out, i) = at;
        at += s.lengths[i] + 1u;
    }
    out->keys = (const unsigned char *)at;
    out->found = out->keys + (size_t)s.key_count * AUDIT_KEY_BYTES;
    return true;
}

void audit_queue_next(struct audit_queue *q)
{
    struct stored s;

    memcpy(&s, q->taken.data + q->at, sizeof s);
    q->at += s.bytes;
}

void audit_queue_take(struct audit_queue *q)
{
    if (q->at < q->taken.len)
        return;
    buf_reset(&q->taken);
    q->at = 0;
    pthread_mutex_lock(&q->mutex);
    struct buf filled = q->filling;
    q->filling = q->taken;
    q->taken = filled;
    pthread_mutex_unlock(&q->mutex);
}

/* Records on their way from request threads to the one that writes them: a buffer per thread, which
 * the writer takes away whole. A mutex that nearly nobody waits for guards each. */
#ifndef EVERLINE_API_AUDIT_QUEUE_H
#define EVERLINE_API_AUDIT_QUEUE_H

#include "auth/audit_line.h"

#include <pthread.h>

struct audit_queue {
    _Alignas(64) pthread_mutex_t mutex;
    struct buf filling; /* under the mutex */
    struct buf taken;   /* the writer's */
    size_t at;          /* in `taken` */
};

void audit_queue_init(struct audit_queue *q, size_t max_bytes);
void audit_queue_release(struct audit_queue *q);

/* False: it is full, or there is no memory. *bytes is what waits. */
bool audit_queue_push(struct audit_queue *q, const struct audit_record *record, size_t *bytes);

/* The writer: the oldest that was taken, or NULL. Its texts live until audit_queue_next. */
bool audit_queue_peek(struct audit_record *out, struct audit_queue *q);
void audit_queue_next(struct audit_queue *q);
/* When all that was taken is done: takes what has come. */
void audit_queue_take(struct audit_queue *q);

#endif

/* Records from the thread that makes them to the one that takes them, in order: one merges while
 * the other writes. Room-private. */
#ifndef EVERLINE_INGEST_HANDOFF_H
#define EVERLINE_INGEST_HANDOFF_H

#include "ingest/merge.h"

struct handoff;
/* Runs in a thread of its own, and gives all there is. */
typedef enum st (*handoff_fn)(struct handoff *h, void *ctx);

enum st handoff_start(struct handoff **out, handoff_fn fn, void *ctx) ST_MUST_USE;
/* Waits for the thread, which stops when its batch is full, if not before; accepts NULL. */
void handoff_end(struct handoff *h);

/* Of the thread. Copies. ST_UNAVAILABLE: nobody takes any more. */
enum st handoff_give(struct handoff *h, const unsigned char *key, size_t key_len,
                     const void *payload, size_t len) ST_MUST_USE;
/* Of who started it. Borrowed until the next call; ST_END after the last. What `fn` failed with is
 * returned here. */
enum st handoff_take(struct record *out, struct handoff *h) ST_MUST_USE;

#endif

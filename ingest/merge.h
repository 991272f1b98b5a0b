/* Records in order, from any number of sources that each have theirs in order. Room-private. */
#ifndef EVERLINE_INGEST_MERGE_H
#define EVERLINE_INGEST_MERGE_H

#include "ingest/spill.h"

#define MERGE_KEY_MAX 511u
#define MERGE_RECORD_MAX ((1u << 23) - 1)

/* A key and what belongs to it, behind each other. Ordered by key, then by the rest, both as
 * memcmp does, and a beginning comes before the whole. */
struct record {
    const unsigned char *bytes;
    uint32_t key_len, len; /* `len` is of both */
};

/* As it lies in memory and in a run: u32 length and key's length, then the bytes. */
#define RECORD_HEAD_BYTES 4u
static inline uint32_t record_head(uint32_t key_len, uint32_t len)
{
    return len << 9 | key_len;
}
static inline struct record record_at(const unsigned char *head)
{
    uint32_t packed;
    __builtin_memcpy(&packed, head, sizeof packed);
    return (struct record){head + sizeof packed, packed & MERGE_KEY_MAX, packed >> 9};
}
int record_compare(const struct record *a, const struct record *b);
enum st record_write(struct spill_writer *w, const struct record *r) ST_MUST_USE;
/* The next of a run, borrowed until the next call. ST_END. */
enum st record_read(struct record *out, struct spill_reader *r) ST_MUST_USE;

/* The next record of a source, borrowed until its next call. ST_END after the last. */
typedef enum st (*merge_fn)(struct record *out, void *ctx);

struct merge;
enum st merge_new(struct merge **out) ST_MUST_USE;
void merge_free(struct merge *m);
enum st merge_add(struct merge *m, merge_fn fn, void *ctx) ST_MUST_USE;
enum st merge_add_run(struct merge *m, struct spill *s, const struct spill_run *run) ST_MUST_USE;
/* After the last source. The record is borrowed until the next call. ST_END. */
enum st merge_next(struct record *out, struct merge *m) ST_MUST_USE;

/* A list of runs, each in order. */
struct run_list {
    struct spill_run *runs;
    size_t count;
};
/* An empty one at the end. */
enum st run_list_add(struct spill_run **out, struct run_list *list) ST_MUST_USE;
/* Merges runs until at most `most` (at least 2) are left. */
enum st run_list_reduce(struct run_list *list, struct spill *s, size_t most) ST_MUST_USE;
void run_list_release(struct run_list *list, struct spill *s);

#endif

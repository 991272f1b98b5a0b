/* Records of a source that cannot be read, or came to nothing: the first of them are remembered by
 * their place, never by what is in them; those that cannot be read are counted. Room-private. */
#ifndef EVERLINE_INGEST_REJECTS_H
#define EVERLINE_INGEST_REJECTS_H

#include "ingest/records.h"
#include "ingest/task.h"

#define REJECTS_MAX                                                                                \
    1000 /* remembered: the first ones of the files, whatever order they come in                   \
          */

struct reject {
    size_t file; /* of the source's files */
    uint64_t line;
    size_t column; /* from 1; 0: of the whole record */
    enum record_fault fault;
    const struct store_column *declared; /* the column, if the source declares it; borrowed */
    const char *rule; /* NULL: what `fault` says; else what a prepared row broke; borrowed */
};

struct rejects {
    uint64_t count;
    uint64_t by_fault[RECORD_FAULTS];
    struct reject *list; /* NULL: none yet */
    size_t listed;
};

void rejects_release(struct rejects *r); /* accepts a zeroed struct */
void rejects_add(struct rejects *r, const struct reject *reject);
/* Without counting it. */
void rejects_remember(struct rejects *r, const struct reject *reject);
/* Puts the list in the order of the files, at most REJECTS_MAX. */
void rejects_sort(struct rejects *r);

/* The code of a fault: "CSV_SHORT_ROW". Static. */
const char *rejects_code(enum store_format format, enum record_fault fault);

/* Fails with the first reject's code and place, which come first in the list: ST_INVALID. `read`:
 * the source's records. */
enum st rejects_fail(const struct rejects *r, const struct store_source *s,
                     const struct task_source *files, uint64_t read) ST_MUST_USE;

/* "a.csv:3:4, b.csv:7", rules of prepared rows behind them: of the list from its `from`-th on, a
 * few. */
void rejects_say(struct buf *out, const struct rejects *r, size_t from,
                 const struct task_source *files);

/* Appends {"source","file","line","column","rule"} to `list` until it has REJECTS_MAX, and
 * {"rule","rows"} to `rules`, adding up what is there already. */
enum st rejects_json(json_t *list, json_t *rules, const struct rejects *r,
                     const struct store_source *s, const struct task_source *files) ST_MUST_USE;

#endif

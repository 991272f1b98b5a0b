/* What is sorted with a record's key: its row, and what its rollups are computed from. The codec
 * (layout in payload.c). Room-private. */
#ifndef EVERLINE_INGEST_PAYLOAD_H
#define EVERLINE_INGEST_PAYLOAD_H

#include "base/buf.h"
#include "store/definition.h"
#include "store/rollup.h"
#include "store/row.h"

#define PAYLOAD_NULL 255 /* instead of an enum store_input */

/* Appended in this order: the order when duplicates have one, the row, then for each rollup its
 * tuple and one input per term but count(*), which has none. A failure stays in `out`. */
void payload_add_order(struct buf *out, enum store_type type, const struct store_value *v);
/* The row, or a tuple, is what is appended in between; its length is put in front of it, where
 * there is room for one byte. */
static inline size_t payload_begin(struct buf *out)
{
    buf_addch(out, 0);
    return out->len;
}
void payload_end_long(struct buf *out, size_t begun);
static inline void payload_end(struct buf *out, size_t begun)
{
    if (out->status) /* there may be no byte for it */
        return;
    if (out->len - begun < 0x80)
        out->data[begun - 1] = (char)(out->len - begun);
    else
        payload_end_long(out, begun);
}
/* Are the judged metrics in it? Not when they only count records, as of most definitions that have
 * a gate. */
bool payload_has_judged(const struct store_definition *definition);
/* `kind`: enum store_input or PAYLOAD_NULL; `input`: an integer, a DOUBLE's bits, or a hash. */
void payload_add_input(struct buf *out, unsigned char kind, int64_t input);

/* The parts of a payload. Borrowed from it. Payloads of one key come in the order of
 * `duplicate_order`, when there is one. */
struct payload {
    const void *row;
    size_t row_len;
    const unsigned char *inputs; /* the rollups' inputs, one rollup after the other */
};
struct payload payload_open(const struct store_definition *definition, const void *bytes);

/* What the metrics of a record are computed from; of count(*) nothing is set. */
struct payload_inputs {
    int64_t values[2 * STORE_METRICS_MAX];
    bool nulls[2 * STORE_METRICS_MAX];
    unsigned char kinds[2 * STORE_METRICS_MAX]; /* enum store_input */
};

/* The next rollup's inputs; *at moves on. */
void payload_inputs(const void **tuple, size_t *tuple_len, struct payload_inputs *inputs,
                    const unsigned char **at, const struct store_rollup *rollup);

#endif

#include "store/segment_internal.h"
#include "store/value.h"

#include <string.h>

/* Deep verification: everything in a segment that can be held against its definition or against
 * something else in it. */

#define COOL_RECORDS (1u << 18) /* after so many, what was read leaves this process's memory */

struct walk {
    struct store_segment *segment;
    const struct store_definition *definition;
    const struct store_rollup *rollup;
    unsigned char last[STORE_TUPLE_MAX];
    size_t last_len;
    uint64_t count, records;
    bool hidden; /* some cell is */
    struct buf scratch;
    struct segment_totals *totals; /* of the records */
    struct store_cell total;       /* of the cells */
};

static bool is_after(struct walk *w, const void *key, size_t len)
{
    size_t common = w->last_len < len ? w->last_len : len;
    int order = memcmp(w->last, key, common);
    bool after = w->count == 0 || order < 0 || (order == 0 && w->last_len < len);

    memcpy(w->last, key, len);
    w->last_len = len;
    w->count++;
    return after;
}

/* A series' record stands where its field says. */
static bool is_in_place(const struct walk *w, const unsigned char *key,
                        const struct store_value *values)
{
    const struct store_definition *d = w->definition;
    const struct store_value *sort;

    if (!d->key.sort)
        return true;
    sort = &values[store_sort_index(d)];
    return !sort->null && sort->as.i == store_sort_decode(key + STORE_KEY_BYTES);
}

static enum st walk_record(const unsigned char *key, const void *row, size_t row_len, void *ctx)
{
    struct store_value values[STORE_FIELDS_MAX];
    struct walk *w = ctx;
    const struct store_definition *d = w->definition;

    if (!is_after(w, key, store_segment_key_bytes(w->segment)))
        return segment_damaged("has keys out of order");
    if (w->count % COOL_RECORDS == 0)
        store_segment_cool(w->segment, NULL);
    if (!row)
        return ST_OK; /* a tombstone */
    w->records++;
    enum st st = store_row_decode(values, d->row, d->row_count, row, row_len);
    for (size_t i = 0; !st && i < d->row_count; i++)
        if (store_type_is_text(d->row[i].type) && !values[i].null &&
            !utf8_is_valid(values[i].as.text.bytes, values[i].as.text.len))
            st = segment_damaged("has text that is not valid UTF-8");
    if (!st && !is_in_place(w, key, values))
        st = segment_damaged("has a record of a series out of its place");
    return st ? st : segment_totals_add(w->totals, d, values);
}

static enum st walk_cell(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                         void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct store_cell cell;
    struct walk *w = ctx;

    if (tuple_len > STORE_TUPLE_MAX || !is_after(w, tuple, tuple_len))
        return segment_damaged("has cells out of order");
    enum st st = store_tuple_decode(values, &w->scratch, w->rollup, tuple, tuple_len);
    if (!st)
        st = store_cell_decode(&cell, w->rollup, bytes, len);
    if (st)
        return st;
    if (cell.records == 0 && !w->rollup->min_cell)
        st = segment_damaged("has a hidden cell where none may be");
    w->hidden = w->hidden || cell.records == 0;
    w->records += cell.records;
    if (!st)
        st = store_cell_merge(&w->total, w->rollup, &cell);
    if (st == ST_INVALID)
        st = segment_damaged("has cells of one rollup with different types");
    store_cell_release(&cell, w->rollup);
    return st;
}

static enum st verify_schema(const json_t *meta, const struct store_definition *definition)
{
    json_t *schema = segment_schema(definition);
    enum st st = ST_OK;

    if (!schema)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    if (!json_equal(json_object_get(schema, "row"), json_object_get(meta, "row")) ||
        !json_equal(json_object_get(schema, "rollups"), json_object_get(meta, "rollups")))
        st = segment_damaged("has other fields than its version's definition");
    json_decref(schema);
    return st;
}

/* One grouping set of definition->rollups[rollup]. */
static enum st verify_set(struct walk *w, unsigned slot, size_t rollup,
                          const struct store_rollup *set)
{
    uint64_t records = store_segment_records(w->segment);

    w->rollup = set;
    w->count = w->records = 0;
    w->hidden = false;
    enum st st = store_segment_each_cell(w->segment, slot, set, NULL, 0, walk_cell, w);
    if (!st && w->count != store_segment_cells(w->segment, set))
        st = segment_damaged("has another number of cells than its meta says");
    if (!st && (w->hidden ? w->records > records : w->records != records))
        st = segment_damaged("has a rollup that is not of as many records as there are");
    if (!st && !w->hidden)
        st = segment_totals_check(w->totals, rollup, &w->total);
    store_cell_release(&w->total, set);
    return st;
}

static enum st verify_records(struct walk *w, unsigned slot)
{
    enum st st = store_segment_each_record(w->segment, slot, walk_record, w);

    if (!st && w->records != store_segment_records(w->segment))
        st = segment_damaged("has another number of records than its meta says");
    return st;
}

enum st store_segment_verify(struct store_segment *s, unsigned slot,
                             const struct store_definition *definition)
{
    struct walk w = {.segment = s, .definition = definition};
    enum st st = verify_schema(s->meta, definition);

    buf_init(&w.scratch, 2 * STORE_TUPLE_MAX);
    if (!st)
        st = segment_totals_new(&w.totals, definition);
    if (!st)
        st = verify_records(&w, slot);
    for (size_t i = 0; !st && i < definition->rollup_count; i++)
        for (size_t j = 0; !st && j < definition->rollups[i].set_count; j++)
            st = verify_set(&w, slot, i, &definition->rollups[i].sets[j]);
    segment_totals_free(w.totals);
    buf_release(&w.scratch);
    return st;
}

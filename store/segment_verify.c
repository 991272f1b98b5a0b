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
    return st;
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

static enum st verify_rollup(struct store_segment *s, unsigned slot,
                             const struct store_definition *definition,
                             const struct store_rollup *rollup)
{
    const json_t *counts = json_object_get(s->meta, "cells");
    struct walk w = {.segment = s, .definition = definition, .rollup = rollup};
    char name[SEGMENT_DB_NAME_SIZE];

    segment_rollup_name(name, rollup);
    buf_init(&w.scratch, 2 * STORE_TUPLE_MAX);
    enum st st = store_segment_each_cell(s, slot, rollup, NULL, 0, walk_cell, &w);
    buf_release(&w.scratch);
    if (!st && (json_int_t)w.count != json_integer_value(json_object_get(counts, name)))
        st = segment_damaged("has another number of cells than its meta says");
    if (!st &&
        (w.hidden ? w.records > store_segment_records(s) : w.records != store_segment_records(s)))
        st = segment_damaged("has a rollup whose totals are not those of its records");
    return st;
}

enum st store_segment_verify(struct store_segment *s, unsigned slot,
                             const struct store_definition *definition)
{
    struct walk w = {.segment = s, .definition = definition};
    enum st st = verify_schema(s->meta, definition);

    if (!st)
        st = store_segment_each_record(s, slot, walk_record, &w);
    if (!st && w.records != store_segment_records(s))
        st = segment_damaged("has another number of records than its meta says");
    for (size_t i = 0; !st && i < definition->set_count; i++)
        st = verify_rollup(s, slot, definition, &definition->sets[i]);
    return st;
}

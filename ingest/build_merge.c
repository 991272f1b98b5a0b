/* One pass over the records in key order. A record counts once in a rollup however often it was
 * delivered, because cells are fed from what is merged. */
#include "ingest/build_internal.h"

#include "base/word.h"
#include "ingest/payload.h"

#include <string.h>

static enum st note_contradiction(struct build *b, const void *payload)
{
    const struct store_definition *def = b->task->definition;
    if (b->contradictions++ || def->key.protect != STORE_PROTECT_NONE)
        return ST_OK;
    struct store_value values[STORE_FIELDS_MAX + STORE_KEY_FIELDS_MAX];
    struct payload record = payload_open(def, payload);
    enum st st = store_row_decode(values, def->row, def->row_count, record.row, record.row_len);
    for (size_t i = 0; !st && i < def->key.field_count; i++) {
        buf_addf(&b->example, "%s%s=", i ? ", " : "", def->key.fields[i].name);
        store_value_json(&b->example, STORE_VARCHAR, &values[i]);
    }
    if (!st && def->key.sort) {
        buf_addf(&b->example, ", %s=", def->key.sort->name);
        store_value_json(&b->example, def->key.sort->type, &values[store_sort_index(def)]);
    }
    return st;
}

static enum st fail_contradictions(const struct build *b)
{
    enum st st = st_fail(ST_INVALID, "DUPLICATE_KEY",
                         "%llu key(s) have records that contradict each other%s%.200s",
                         (unsigned long long)b->contradictions, b->example.len ? ", such as " : "",
                         b->example.len ? b->example.data : "");
    return st_hint(st, "make prepare give one record per key, or say which one counts with "
                       "\"on_duplicate\"; rows that are the same in everything are one record "
                       "already");
}

/* A record whose key may come again. */
struct last {
    unsigned char key[STORE_RECORD_KEY_MAX];
    size_t key_bytes;
    struct buf payload;
    bool some;
};

static enum st keep(struct last *last, const unsigned char *key, const void *payload, size_t len)
{
    word_copy(last->key, key, last->key_bytes);
    buf_reset(&last->payload);
    buf_add(&last->payload, payload, len);
    last->some = true;
    return buf_status(&last->payload);
}

/* Most differ in their first bytes, being hashes. */
static bool is_same_key(const struct last *last, const unsigned char *key)
{
    return word_load((const char *)last->key) == word_load((const char *)key) &&
           !memcmp(last->key, key, last->key_bytes);
}

/* One record goes into the cells, and its row to the thread that writes. */
static enum st accept(struct build *b, struct handoff *h, const unsigned char *key,
                      const void *payload)
{
    const struct store_definition *def = b->task->definition;
    struct payload_inputs inputs;
    struct payload record = payload_open(def, payload);
    const void *tuple;
    size_t len;
    enum st st = ST_OK;
    for (size_t r = 0; !st && r < def->rollup_count; r++) {
        payload_inputs(&tuple, &len, &inputs, &record.inputs, &def->rollups[r]);
        st = cells_add(b->cells[r], tuple, len, &inputs);
    }
    if (!st && b->has_judged) {
        payload_inputs(&tuple, &len, &inputs, &record.inputs, &def->judged);
        st = store_cell_add(&b->judged, &def->judged, inputs.values, inputs.nulls, inputs.kinds);
    }
    return st ? st
              : handoff_give(h, key, store_record_key_bytes(&def->key), record.row, record.row_len);
}

/* All records in order; those that are the same, byte for byte, are one. Of others that share a key
 * the first or the last counts, as they are sorted by their order. */
static enum st merge(struct build *b, struct last *last, struct handoff *h)
{
    enum store_duplicates rule = b->task->definition->on_duplicate;
    bool contradicted = false; /* the key of `last` */
    const unsigned char *key;
    const void *payload;
    size_t len;
    enum st st;
    while (!(st = sorter_next(b->sorter, &key, &payload, &len))) {
        bool again = last->some && is_same_key(last, key);
        bool same = again && last->payload.len == len && !memcmp(last->payload.data, payload, len);
        if (again && (rule != STORE_DUPLICATES_FAIL || same)) {
            b->duplicates++;
        } else if (again) {
            if (!contradicted)
                st = note_contradiction(b, payload);
            contradicted = true;
        } else {
            contradicted = false;
            if (rule == STORE_DUPLICATES_LAST && last->some)
                st = accept(b, h, last->key, last->payload.data);
            if (rule != STORE_DUPLICATES_LAST && !b->contradictions)
                st = accept(b, h, key, payload);
        }
        if (!st)
            st = keep(last, key, payload, len);
        if (st)
            return st;
    }
    if (st == ST_END && rule == STORE_DUPLICATES_LAST && last->some)
        st = accept(b, h, last->key, last->payload.data);
    if (st && st != ST_END)
        return st;
    return b->contradictions ? fail_contradictions(b) : ST_OK;
}

enum st build_merge(struct handoff *h, void *ctx)
{
    struct build *b = ctx;
    struct last last = {.key_bytes = store_record_key_bytes(&b->task->definition->key)};
    buf_init(&last.payload, MERGE_RECORD_MAX);
    enum st st = merge(b, &last, h);
    buf_release(&last.payload);
    return st;
}

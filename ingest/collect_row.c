/* One row of the plan becomes one record of the sorter, or is counted under the rule that it
 * breaks. */
#include "ingest/collect_internal.h"

#include "ingest/payload.h"

#include <math.h>
#include <string.h>

#define AHEAD 4 /* records whose places are fetched before they are written */

/* A row breaks a rule: it is counted, and the next one is looked at. */
static enum st reject(struct collect_worker *w, size_t rule)
{
    w->broken_rules[rule]++;
    w->broken_rule = rule;
    return ST_END;
}

/* Where the row comes from that was rejected. */
static void note_place(struct collect_worker *w, size_t row)
{
    size_t column = w->shared->plan->place;
    if (!column)
        return;
    uint64_t place = ((const uint64_t *)w->columns[column].data)[row];
    rejects_remember(&w->places, &(struct reject){.file = (size_t)(place >> SOURCE_LINE_BITS),
                                                  .line = place & SOURCE_LINE_MASK,
                                                  .rule = w->shared->rules[w->broken_rule].name});
}

/* Counts the row checks that a row breaks; the first of those that reject decides. */
static enum st judge_row(struct collect_worker *w, uint64_t broken)
{
    const struct store_definition *def = w->shared->definition;
    size_t rejecting = def->check_count;
    for (size_t i = def->check_count; broken && i-- > 0;) {
        if (!(broken >> i & 1))
            continue;
        w->broken_checks[i]++;
        if (def->checks[i].effect == STORE_EFFECT_REJECT)
            rejecting = i;
    }
    return rejecting < def->check_count ? reject(w, w->shared->first_check + rejecting) : ST_OK;
}

static void read_value(struct store_value *v, const struct duck_column *c, enum store_type type,
                       size_t row)
{
    v->null = duck_is_null(c, row);
    if (v->null)
        return;
    switch (STORE_TYPE_BASE(type)) {
    case STORE_BOOLEAN:
        v->as.i = ((const bool *)c->data)[row];
        break;
    case STORE_TINYINT:
        v->as.i = ((const int8_t *)c->data)[row];
        break;
    case STORE_SMALLINT:
        v->as.i = ((const int16_t *)c->data)[row];
        break;
    case STORE_INTEGER:
    case STORE_DATE:
        v->as.i = ((const int32_t *)c->data)[row];
        break;
    case STORE_UTINYINT:
        v->as.i = ((const uint8_t *)c->data)[row];
        break;
    case STORE_USMALLINT:
        v->as.i = ((const uint16_t *)c->data)[row];
        break;
    case STORE_UINTEGER:
        v->as.i = ((const uint32_t *)c->data)[row];
        break;
    case STORE_BIGINT:
    case STORE_DECIMAL: /* as DECIMAL(18,s), which DuckDB keeps in 64 bits */
    case STORE_TIMESTAMP:
        v->as.i = ((const int64_t *)c->data)[row];
        break;
    case STORE_DOUBLE:
        v->as.d = ((const double *)c->data)[row];
        break;
    case STORE_LIST: /* as JSON */
    case STORE_VARCHAR: {
        struct store_text text = duck_varchar(c, row);
        v->as.text.bytes = text.bytes;
        v->as.text.len = text.len;
        break;
    }
    }
}

/* Which key field was refused: the hasher says so in the place, "/key/<field>". */
static size_t refused_field(const struct collect_worker *w)
{
    const char *field = strrchr(st_place_text(), '/');
    for (size_t i = 0; field && i < w->shared->definition->key.field_count; i++)
        if (!strcmp(w->shared->definition->key.fields[i].name, field + 1))
            return i;
    return 0;
}

static enum st add_sort(unsigned char *key, struct collect_worker *w, size_t row)
{
    const struct store_definition *def = w->shared->definition;
    size_t column = def->key.field_count + (size_t)(def->key.sort - def->record);
    struct store_value v;
    read_value(&v, &w->columns[column], def->key.sort->type, row);
    if (v.null)
        return reject(w, w->shared->sort);
    store_sort_encode(key + STORE_KEY_BYTES, v.as.i);
    return ST_OK;
}

static enum st add_key(struct collect_worker *w, size_t row)
{
    struct store_text fields[STORE_KEY_FIELDS_MAX];
    for (size_t i = 0; i < w->shared->definition->key.field_count; i++) {
        fields[i] = duck_varchar(&w->columns[i], row);
        if (!fields[i].bytes)
            return reject(w, i);
    }
    enum st st = store_keys_add(w->many, fields);
    return st == ST_INVALID ? reject(w, refused_field(w)) : st;
}

static enum st add_row(struct collect_worker *w, size_t row)
{
    const struct store_definition *def = w->shared->definition;
    struct store_value values[STORE_FIELDS_MAX + STORE_KEY_FIELDS_MAX];
    size_t n = 0, keys = def->key.field_count;
    for (size_t i = 0; def->key.protect == STORE_PROTECT_NONE && i < keys; i++, n++) {
        struct store_text field = duck_varchar(&w->columns[i], row);
        values[n] = (struct store_value){0};
        values[n].as.text.bytes = field.bytes;
        values[n].as.text.len = field.len;
    }
    for (size_t i = 0; i < def->record_count; i++)
        read_value(&values[n++], &w->columns[keys + i], def->record[i].type, row);
    size_t begun = payload_begin(&w->payload);
    enum st st = store_row_encode(&w->payload, def->row, def->row_count, values);
    if (st == ST_TOO_LARGE || st == ST_INVALID)
        return reject(w, w->shared->row_size);
    if (st)
        return st;
    payload_end(&w->payload, begun);
    return buf_status(&w->payload);
}

#define FIRST_DAY (-719162) /* 0001-01-01 */
#define LAST_DAY 2932896    /* 9999-12-31 */
#define DAY_US 86400000000

/* JSON has no word for NaN and infinity, and of years it knows those of four digits. */
static bool is_finite(unsigned char kind, int64_t input)
{
    double number;
    memcpy(&number, &input, sizeof number);
    switch (kind) {
    case STORE_INPUT_DOUBLE:
        return isfinite(number);
    case STORE_INPUT_DATE:
        return input >= FIRST_DAY && input <= LAST_DAY;
    case STORE_INPUT_TIMESTAMP:
        return input >= FIRST_DAY * DAY_US && input < (LAST_DAY + 1) * DAY_US;
    default:
        return true;
    }
}

/* An argument of a metric. */
static enum st add_term(struct collect_worker *w, enum store_aggregate aggregate, size_t *at,
                        size_t row)
{
    unsigned char kind = *w->input++;
    int64_t input = 0;
    if (aggregate == STORE_COUNT_ALL)
        return ST_OK;
    const struct duck_column *column = &w->columns[(*at)++];
    enum store_type type = aggregate == STORE_DISTINCT  ? STORE_VARCHAR
                           : kind == STORE_INPUT_DOUBLE ? STORE_DOUBLE
                                                        : STORE_BIGINT;
    struct store_value v;
    read_value(&v, column, type, row);
    if (v.null)
        kind = PAYLOAD_NULL;
    else if (type == STORE_VARCHAR)
        input = (int64_t)store_distinct_hash(v.as.text.bytes, v.as.text.len);
    else
        memcpy(&input, &v.as, sizeof input);
    if (!is_finite(kind, input))
        return reject(w, w->shared->not_finite);
    payload_add_input(&w->payload, kind, input);
    return ST_OK;
}

static enum st add_rollup(struct collect_worker *w, const struct store_rollup *r, size_t *at,
                          size_t row)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    size_t n = 0;
    for (; n < r->dimension_count; n++)
        read_value(&values[n], &w->columns[(*at)++], r->dimensions[n].type, row);
    if (r->bucket != STORE_BUCKET_NONE) {
        read_value(&values[n], &w->columns[(*at)++], r->time.type, row);
        if (!values[n].null)
            values[n].as.i = store_bucket_start(r->bucket, r->time.type, values[n].as.i);
    }
    size_t begun = payload_begin(&w->payload);
    enum st st = store_tuple_encode(&w->payload, r, values);
    if (st == ST_TOO_LARGE || st == ST_INVALID)
        return reject(w,
                      w->shared->first_dimensions + (size_t)(r - w->shared->definition->rollups));
    if (st)
        return st;
    payload_end(&w->payload, begun);
    for (size_t m = 0; m < r->metric_count; m++)
        for (size_t i = 0; i < (r->metrics[m].ratio ? 2u : 1u); i++) {
            st = add_term(w, r->metrics[m].terms[i].aggregate, at, row);
            if (st)
                return st;
        }
    return buf_status(&w->payload);
}

/* What the plan and the row checks say of a row, and its key. */
static enum st judge_and_add_key(struct collect_worker *w, size_t row)
{
    const struct store_definition *def = w->shared->definition;
    size_t at = def->key.field_count + def->record_count;
    int32_t bad = ((const int32_t *)w->columns[at].data)[row];
    uint64_t broken = ((const uint64_t *)w->columns[at + 1].data)[row];
    if (bad >= 0)
        return reject(w, w->shared->first_cast + (size_t)bad);
    enum st st = judge_row(w, broken);
    return st ? st : add_key(w, row);
}

static enum st add_record(struct collect_worker *w, unsigned char *key, size_t row)
{
    const struct store_definition *def = w->shared->definition;
    size_t at = def->key.field_count + def->record_count + 2;
    enum st st = def->key.sort ? add_sort(key, w, row) : ST_OK;
    if (st)
        return st;
    w->input = w->shared->plan->inputs;
    buf_reset(&w->payload);
    if (def->duplicate_order[0]) {
        struct store_value order;
        read_value(&order, &w->columns[at++], w->shared->plan->order, row);
        payload_add_order(&w->payload, w->shared->plan->order, &order);
    }
    st = add_row(w, row);
    for (size_t r = 0; !st && r < def->rollup_count; r++)
        st = add_rollup(w, &def->rollups[r], &at, row);
    if (!st && w->shared->has_judged)
        st = add_rollup(w, &def->judged, &at, row);
    return st ? st : sort_lane_add(w->lane, key, w->payload.data, w->payload.len);
}

/* ST_END: the row was rejected. */
static enum st go_on(struct collect_worker *w, enum st st, size_t row)
{
    if (st != ST_END)
        return st;
    note_place(w, row);
    return ST_OK;
}

/* Rows from `*row` on, as many as have their keys summed at once. */
static enum st collect_some(struct collect_worker *w, size_t *row, size_t rows)
{
    enum st st = ST_OK;
    size_t kept = 0;
    for (; !st && *row < rows && !store_keys_are_full(w->many); ++*row) {
        st = judge_and_add_key(w, *row);
        if (!st)
            w->kept[kept++] = *row;
        st = go_on(w, st, *row);
    }
    store_keys_sum(w->keys, w->many);
    for (size_t i = 0; !st && i < kept; i++) {
        if (i + AHEAD < kept)
            sort_lane_expect(w->lane, w->keys[i + AHEAD]);
        st = go_on(w, add_record(w, w->keys[i], w->kept[i]), w->kept[i]);
    }
    return st;
}

enum st collect_chunk(struct collect_worker *w, const struct duck_column *columns, size_t rows)
{
    enum st st = ST_OK;
    w->columns = columns;
    for (size_t row = 0; !st && row < rows;)
        st = collect_some(w, &row, rows);
    return st;
}

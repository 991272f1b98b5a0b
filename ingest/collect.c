/* The payload of a record, as it is sorted and compared (all in the machine's byte order, because
 * it never leaves the process):
 *
 *   order | u32 row_len | row | for each rollup: u16 tuple_len | tuple | for each term: u8 kind of
 *   input, or 255 for null, i64 input
 *
 * Equal payloads under equal keys are one record; unequal ones contradict each other. `order` is
 * there when duplicates have one, and is what the bytes of payloads are compared by first: 0 for
 * null, 1 and 8 bytes big-endian, or 2 and text with 0 as 0 255, ended by 0 0. The judged metrics
 * are the last rollup.
 */
#include "ingest/collect.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RULE_NAME 96
#define NO_INPUT 255 /* the kind of a null */

struct rule {
    char name[RULE_NAME];
    uint64_t count;
};

struct collector {
    const struct store_definition *definition;
    const struct plan *plan;
    struct store_hasher *hasher;
    struct sorter *sorter;
    struct duck_column *columns;
    size_t column_count;
    struct buf payload, tuple;
    /* key_<field>..., cast_<field>..., row_size, dimensions_<rollup>..., not_finite, <check>... */
    struct rule *rules;
    size_t rule_count;
    size_t first_cast, row_size, first_dimensions, not_finite, first_check;
    const unsigned char *input; /* of the row's next term */
    struct collect_ledger *ledger;
    uint64_t unusable; /* of the rejected rows, those that no check rejected */
};

static void init_rules(struct collector *c)
{
    const struct store_definition *def = c->definition;
    struct rule *r = c->rules;
    for (size_t i = 0; i < def->key.field_count; i++)
        snprintf((r++)->name, RULE_NAME, "key_%s", def->key.fields[i].name);
    c->first_cast = (size_t)(r - c->rules);
    for (size_t i = 0; i < c->plan->cast_count; i++)
        snprintf((r++)->name, RULE_NAME, "cast_%s", c->plan->casts[i].field);
    c->row_size = (size_t)(r - c->rules);
    snprintf((r++)->name, RULE_NAME, "row_size");
    c->first_dimensions = (size_t)(r - c->rules);
    for (size_t i = 0; i < def->rollup_count; i++)
        snprintf((r++)->name, RULE_NAME, "dimensions_%s", def->rollups[i].name);
    c->not_finite = (size_t)(r - c->rules);
    snprintf((r++)->name, RULE_NAME, "not_finite");
    c->first_check = (size_t)(r - c->rules);
    for (size_t i = 0; i < def->check_count; i++)
        snprintf((r++)->name, RULE_NAME, "%s", def->checks[i].name);
}

/* A row breaks a rule: it is counted, and the next one is looked at. */
static enum st reject(struct collector *c, size_t rule)
{
    c->rules[rule].count++;
    c->ledger->rejected++;
    c->unusable += rule < c->first_check;
    return ST_END;
}

/* Counts the row checks that a row breaks; the first of those that reject decides. */
static enum st judge_row(struct collector *c, uint64_t broken)
{
    const struct store_definition *def = c->definition;
    size_t rejecting = def->check_count;
    for (size_t i = def->check_count; broken && i-- > 0;) {
        if (!(broken >> i & 1))
            continue;
        c->ledger->broken[i]++;
        if (def->checks[i].effect == STORE_EFFECT_REJECT)
            rejecting = i;
    }
    return rejecting < def->check_count ? reject(c, c->first_check + rejecting) : ST_OK;
}

static struct store_value value_at(const struct duck_column *c, enum store_type type, size_t row)
{
    struct store_value v = {.null = duck_is_null(c, row)};
    if (v.null)
        return v;
    switch (STORE_TYPE_BASE(type)) {
    case STORE_BOOLEAN:
        v.as.i = ((const bool *)c->data)[row];
        break;
    case STORE_TINYINT:
        v.as.i = ((const int8_t *)c->data)[row];
        break;
    case STORE_SMALLINT:
        v.as.i = ((const int16_t *)c->data)[row];
        break;
    case STORE_INTEGER:
    case STORE_DATE:
        v.as.i = ((const int32_t *)c->data)[row];
        break;
    case STORE_UTINYINT:
        v.as.i = ((const uint8_t *)c->data)[row];
        break;
    case STORE_USMALLINT:
        v.as.i = ((const uint16_t *)c->data)[row];
        break;
    case STORE_UINTEGER:
        v.as.i = ((const uint32_t *)c->data)[row];
        break;
    case STORE_BIGINT:
    case STORE_DECIMAL: /* as DECIMAL(18,s), which DuckDB keeps in 64 bits */
    case STORE_TIMESTAMP:
        v.as.i = ((const int64_t *)c->data)[row];
        break;
    case STORE_DOUBLE:
        v.as.d = ((const double *)c->data)[row];
        break;
    case STORE_LIST: /* as JSON */
    case STORE_VARCHAR: {
        struct store_text text = duck_varchar(c, row);
        v.as.text.bytes = text.bytes;
        v.as.text.len = text.len;
        break;
    }
    }
    return v;
}

/* Which key field was refused: the hasher says so in the place, "/key/<field>". */
static size_t refused_field(const struct collector *c)
{
    const char *field = strrchr(st_place_text(), '/');
    for (size_t i = 0; field && i < c->definition->key.field_count; i++)
        if (!strcmp(c->definition->key.fields[i].name, field + 1))
            return i;
    return 0;
}

static enum st add_key(unsigned char key[STORE_KEY_BYTES], struct store_text *fields,
                       struct collector *c, size_t row)
{
    size_t count = c->definition->key.field_count;
    for (size_t i = 0; i < count; i++) {
        fields[i] = duck_varchar(&c->columns[i], row);
        if (!fields[i].bytes)
            return reject(c, i);
    }
    enum st st = store_hasher_sum(key, c->hasher, fields);
    return st == ST_INVALID ? reject(c, refused_field(c)) : st;
}

static void add_order(struct collector *c, const struct duck_column *column, size_t row)
{
    enum store_type type = c->plan->order;
    struct store_value v = value_at(column, type, row);
    uint64_t bits;
    buf_addch(&c->payload, (char)(v.null ? 0 : type == STORE_VARCHAR ? 2 : 1));
    if (v.null)
        return;
    if (type == STORE_VARCHAR) {
        for (size_t i = 0; i < v.as.text.len; i++) {
            buf_addch(&c->payload, v.as.text.bytes[i]);
            if (!v.as.text.bytes[i])
                buf_addch(&c->payload, '\xff');
        }
        buf_add(&c->payload, "\0", 2);
        return;
    }
    memcpy(&bits, &v.as, sizeof bits);
    if (type == STORE_DOUBLE && bits >> 63)
        bits = ~bits;
    else
        bits ^= 1ull << 63;
    bits = htobe64(bits);
    buf_add(&c->payload, &bits, sizeof bits);
}

static size_t order_len(const unsigned char *order)
{
    size_t len = 1;
    if (order[0] == 0)
        return len;
    if (order[0] == 1)
        return len + 8;
    while (order[len] || order[len + 1])
        len += order[len] ? 1 : 2;
    return len + 2;
}

static enum st add_row(struct collector *c, const struct store_text *fields, size_t row)
{
    const struct store_definition *def = c->definition;
    struct store_value values[STORE_FIELDS_MAX + STORE_KEY_FIELDS_MAX];
    size_t n = 0, keys = def->key.field_count;
    for (size_t i = 0; def->key.protect == STORE_PROTECT_NONE && i < keys; i++, n++) {
        values[n] = (struct store_value){0};
        values[n].as.text.bytes = fields[i].bytes;
        values[n].as.text.len = fields[i].len;
    }
    for (size_t i = 0; i < def->record_count; i++)
        values[n++] = value_at(&c->columns[keys + i], def->record[i].type, row);
    uint32_t len = 0;
    size_t before = c->payload.len;
    buf_add(&c->payload, &len, sizeof len);
    enum st st = store_row_encode(&c->payload, def->row, def->row_count, values);
    if (st == ST_TOO_LARGE || st == ST_INVALID)
        return reject(c, c->row_size);
    if (st || (st = buf_status(&c->payload)))
        return st;
    len = (uint32_t)(c->payload.len - before - sizeof len);
    memcpy(c->payload.data + before, &len, sizeof len);
    return ST_OK;
}

/* An argument of a metric. JSON has no word for NaN and infinity. */
static enum st add_term(struct collector *c, enum store_aggregate aggregate, size_t *at, size_t row)
{
    unsigned char kind = *c->input++;
    int64_t input = 0;
    if (aggregate != STORE_COUNT_ALL) {
        const struct duck_column *column = &c->columns[(*at)++];
        enum store_type type = aggregate == STORE_DISTINCT  ? STORE_VARCHAR
                               : kind == STORE_INPUT_DOUBLE ? STORE_DOUBLE
                                                            : STORE_BIGINT;
        struct store_value v = value_at(column, type, row);
        if (v.null)
            kind = NO_INPUT;
        else if (type == STORE_VARCHAR)
            input = (int64_t)store_distinct_hash(v.as.text.bytes, v.as.text.len);
        else
            memcpy(&input, &v.as, sizeof input);
        if (!v.null && type == STORE_DOUBLE && !isfinite(v.as.d))
            return reject(c, c->not_finite);
    }
    buf_addch(&c->payload, (char)kind);
    buf_add(&c->payload, &input, sizeof input);
    return ST_OK;
}

static enum st add_rollup(struct collector *c, const struct store_rollup *r, size_t *at, size_t row)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    size_t n = 0;
    for (; n < r->dimension_count; n++)
        values[n] = value_at(&c->columns[(*at)++], r->dimensions[n].type, row);
    if (r->bucket != STORE_BUCKET_NONE) {
        values[n] = value_at(&c->columns[(*at)++], r->time.type, row);
        if (!values[n].null)
            values[n].as.i = store_bucket_start(r->bucket, r->time.type, values[n].as.i);
    }
    buf_reset(&c->tuple);
    enum st st = store_tuple_encode(&c->tuple, r, values);
    if (st == ST_TOO_LARGE || st == ST_INVALID)
        return reject(c, c->first_dimensions + (size_t)(r - c->definition->rollups));
    if (st)
        return st;
    uint16_t len = (uint16_t)c->tuple.len;
    buf_add(&c->payload, &len, sizeof len);
    buf_add(&c->payload, c->tuple.data, len);
    for (size_t m = 0; m < r->metric_count; m++)
        for (size_t i = 0; i < (r->metrics[m].ratio ? 2u : 1u); i++) {
            st = add_term(c, r->metrics[m].terms[i].aggregate, at, row);
            if (st)
                return st;
        }
    return buf_status(&c->payload);
}

static enum st add_record(struct collector *c, size_t row)
{
    const struct store_definition *def = c->definition;
    struct store_text fields[STORE_KEY_FIELDS_MAX];
    unsigned char key[STORE_KEY_BYTES];
    size_t at = def->key.field_count + def->record_count;
    int32_t bad = ((const int32_t *)c->columns[at++].data)[row];
    uint64_t broken = ((const uint64_t *)c->columns[at++].data)[row];
    if (bad >= 0)
        return reject(c, c->first_cast + (size_t)bad);
    enum st st = judge_row(c, broken);
    if (!st)
        st = add_key(key, fields, c, row);
    c->input = c->plan->inputs;
    buf_reset(&c->payload);
    if (def->duplicate_order[0])
        add_order(c, &c->columns[at++], row);
    if (!st)
        st = add_row(c, fields, row);
    for (size_t r = 0; !st && r < def->rollup_count; r++)
        st = add_rollup(c, &def->rollups[r], &at, row);
    if (!st && def->judged.metric_count)
        st = add_rollup(c, &def->judged, &at, row);
    return st ? st : sorter_add(c->sorter, key, c->payload.data, c->payload.len);
}

static enum st list_rules(struct collector *c)
{
    c->ledger->rules = json_array();
    for (size_t i = 0; i < c->rule_count; i++)
        if (c->rules[i].count &&
            json_array_append_new(c->ledger->rules,
                                  json_pack("{s:s, s:I}", "rule", c->rules[i].name, "rows",
                                            (json_int_t)c->rules[i].count)))
            return st_fail(ST_NOMEM, NULL, "out of memory");
    return ST_OK;
}

static enum st fail_rejected(const struct collector *c)
{
    struct buf text;
    buf_init(&text, 300);
    const char *separator = "";
    for (size_t i = 0; i < c->first_check; i++) {
        if (!c->rules[i].count)
            continue;
        buf_addf(&text, "%s%s %llu", separator, c->rules[i].name,
                 (unsigned long long)c->rules[i].count);
        separator = ", ";
    }
    enum st st =
        st_fail(ST_INVALID, "ROWS_REJECTED", "%llu of %llu prepared rows were rejected: %s",
                (unsigned long long)c->unusable, (unsigned long long)c->ledger->prepared,
                buf_status(&text) ? "by several rules" : text.data);
    st = st_hint(st, "key_FIELD: null or not what its normaliser takes; cast_FIELD: not of its "
                     "declared type; \"max_reject_ratio\" says how many may be");
    buf_release(&text);
    return st;
}

enum st collect_rows(struct collect_ledger *ledger, struct sorter *sorter, struct plan *plan,
                     const struct store_definition *definition, struct store_hasher *hasher,
                     const struct ingest_progress *progress)
{
    struct collector c = {.definition = definition,
                          .plan = plan,
                          .hasher = hasher,
                          .sorter = sorter,
                          .ledger = ledger};
    struct duck_stream *stream = NULL;
    size_t rows;
    buf_init(&c.payload, STORE_ROW_MAX + (1u << 20));
    buf_init(&c.tuple, 1u << 16);
    c.column_count = duck_statement_columns(plan->statement);
    c.columns = calloc(c.column_count, sizeof *c.columns);
    c.rule_count = definition->key.field_count + plan->cast_count + 2 + definition->rollup_count +
                   definition->check_count;
    c.rules = calloc(c.rule_count, sizeof *c.rules);
    enum st st = c.columns && c.rules ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    if (st)
        goto done;
    init_rules(&c);
    ingest_tell(progress, "preparing", 0, 0);
    st = duck_stream_open(&stream, plan->statement);
    while (!st && !(st = duck_stream_next(stream, &rows))) {
        for (size_t i = 0; i < c.column_count; i++)
            c.columns[i] = duck_stream_column(stream, i);
        for (size_t i = 0; !st && i < rows; i++) {
            st = add_record(&c, i);
            if (st == ST_END)
                st = ST_OK;
        }
        ledger->prepared += rows;
        ingest_tell(progress, "preparing", ledger->prepared, 0);
    }
    if (st == ST_END)
        st = ST_OK;
    if (!st)
        st = list_rules(&c);
    if (!st && (double)c.unusable > definition->max_reject_ratio * (double)ledger->prepared)
        st = fail_rejected(&c);
done:
    duck_stream_close(stream);
    buf_release(&c.payload);
    buf_release(&c.tuple);
    free(c.columns);
    free(c.rules);
    return st;
}

struct collect_record collect_open(const struct store_definition *definition, const void *payload)
{
    const unsigned char *row = payload;
    uint32_t len;
    if (definition->duplicate_order[0])
        row += order_len(row);
    memcpy(&len, row, sizeof len);
    row += sizeof len;
    return (struct collect_record){row, len, row + len};
}

void collect_inputs(const void **tuple, size_t *tuple_len, struct collect_inputs *inputs,
                    const unsigned char **at, const struct store_rollup *rollup)
{
    uint16_t len;
    memcpy(&len, *at, sizeof len);
    *tuple = *at + sizeof len;
    *tuple_len = len;
    *at += sizeof len + len;
    for (size_t i = 0; i < rollup->term_count; i++) {
        inputs->kinds[i] = (*at)[0];
        inputs->nulls[i] = (*at)[0] == NO_INPUT;
        memcpy(&inputs->values[i], *at + 1, sizeof inputs->values[i]);
        *at += 1 + sizeof inputs->values[i];
    }
}

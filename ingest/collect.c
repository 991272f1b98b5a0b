/* The payload of a record, as it is sorted and compared (all in the machine's byte order, because
 * it never leaves the process):
 *
 *   u32 row_len | row | for each rollup: u16 tuple_len | tuple | for each term: u8 null, i64 input
 *
 * Equal payloads under equal keys are one record; unequal ones contradict each other.
 */
#include "ingest/collect.h"

#include <stdlib.h>
#include <string.h>

#define RULE_NAME 96

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
    /* key_<field>..., cast_<field>..., row_size, dimensions_<rollup>... */
    struct rule *rules;
    size_t rule_count;
    size_t first_cast, row_size, first_dimensions;
    uint64_t rejected;
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
}

/* A row breaks a rule: it is counted, and the next one is looked at. */
static enum st reject(struct collector *c, size_t rule)
{
    c->rules[rule].count++;
    c->rejected++;
    return ST_END;
}

static struct store_value value_at(const struct duck_column *c, enum store_type type, size_t row)
{
    struct store_value v = {.null = duck_is_null(c, row)};
    if (v.null)
        return v;
    switch (type) {
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
    case STORE_BIGINT:
    case STORE_TIMESTAMP:
        v.as.i = ((const int64_t *)c->data)[row];
        break;
    case STORE_DOUBLE:
        v.as.d = ((const double *)c->data)[row];
        break;
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
    buf_reset(&c->payload);
    uint32_t len = 0;
    buf_add(&c->payload, &len, sizeof len);
    enum st st = store_row_encode(&c->payload, def->row, def->row_count, values);
    if (st == ST_TOO_LARGE || st == ST_INVALID)
        return reject(c, c->row_size);
    if (st || (st = buf_status(&c->payload)))
        return st;
    len = (uint32_t)(c->payload.len - sizeof len);
    memcpy(c->payload.data, &len, sizeof len);
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
            struct store_value v = {0};
            if (r->metrics[m].terms[i].aggregate != STORE_COUNT_ALL)
                v = value_at(&c->columns[(*at)++], STORE_BIGINT, row);
            int64_t input = v.null ? 0 : v.as.i;
            buf_addch(&c->payload, v.null ? 1 : 0);
            buf_add(&c->payload, &input, sizeof input);
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
    if (bad >= 0)
        return reject(c, c->first_cast + (size_t)bad);
    enum st st = add_key(key, fields, c, row);
    if (!st)
        st = add_row(c, fields, row);
    for (size_t r = 0; !st && r < def->rollup_count; r++)
        st = add_rollup(c, &def->rollups[r], &at, row);
    return st ? st : sorter_add(c->sorter, key, c->payload.data, c->payload.len);
}

static enum st fail_rejected(const struct collector *c, uint64_t prepared)
{
    struct buf text;
    buf_init(&text, 300);
    const char *separator = "";
    for (size_t i = 0; i < c->rule_count; i++) {
        if (!c->rules[i].count)
            continue;
        buf_addf(&text, "%s%s %llu", separator, c->rules[i].name,
                 (unsigned long long)c->rules[i].count);
        separator = ", ";
    }
    enum st st =
        st_fail(ST_INVALID, "ROWS_REJECTED", "%llu of %llu prepared rows were rejected: %s",
                (unsigned long long)c->rejected, (unsigned long long)prepared,
                buf_status(&text) ? "by several rules" : text.data);
    st = st_hint(st, "key_FIELD: null or not what its normaliser takes; cast_FIELD: not of its "
                     "declared type");
    buf_release(&text);
    return st;
}

enum st collect_rows(struct collect_ledger *ledger, struct sorter *sorter, struct plan *plan,
                     const struct store_definition *definition, struct store_hasher *hasher,
                     const struct ingest_progress *progress)
{
    struct collector c = {
        .definition = definition, .plan = plan, .hasher = hasher, .sorter = sorter};
    struct duck_stream *stream = NULL;
    size_t rows;
    buf_init(&c.payload, STORE_ROW_MAX + (1u << 20));
    buf_init(&c.tuple, 1u << 16);
    c.column_count = duck_statement_columns(plan->statement);
    c.columns = calloc(c.column_count, sizeof *c.columns);
    c.rule_count = definition->key.field_count + plan->cast_count + 1 + definition->rollup_count;
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
    ledger->rejected = c.rejected;
    if (!st && c.rejected)
        st = fail_rejected(&c, ledger->prepared);
done:
    duck_stream_close(stream);
    buf_release(&c.payload);
    buf_release(&c.tuple);
    free(c.columns);
    free(c.rules);
    return st;
}

struct collect_record collect_open(const void *payload)
{
    uint32_t len;
    memcpy(&len, payload, sizeof len);
    const unsigned char *row = (const unsigned char *)payload + sizeof len;
    return (struct collect_record){row, len, row + len};
}

void collect_inputs(const void **tuple, size_t *tuple_len, int64_t *inputs, bool *nulls,
                    const unsigned char **at, const struct store_rollup *rollup)
{
    uint16_t len;
    memcpy(&len, *at, sizeof len);
    *tuple = *at + sizeof len;
    *tuple_len = len;
    *at += sizeof len + len;
    for (size_t i = 0; i < rollup->term_count; i++) {
        nulls[i] = (*at)[0] != 0;
        memcpy(&inputs[i], *at + 1, sizeof inputs[i]);
        *at += 1 + sizeof inputs[i];
    }
}

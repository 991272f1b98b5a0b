#include "store/diff_internal.h"
#include "store/scan.h"

#include <stdlib.h>
#include <string.h>

/* Records: both versions are walked through in the order of their keys' hashes, side by side. */

#define TELL_RECORDS (1u << 16)
#define COOL_RECORDS (1u << 18)

/* ---- are two rows the same record? ---- */

struct field_pair { /* a field that both versions have */
    size_t from, to;
};

struct comparison {
    const struct store_definition *from, *to;
    bool same_layout;
    struct field_pair pairs[STORE_FIELDS_MAX];
    size_t pair_count;
    struct store_value before[STORE_FIELDS_MAX], after[STORE_FIELDS_MAX];
    struct buf texts[2];
};

static const struct store_field *find_field(const struct store_field *fields, size_t count,
                                            const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static void comparison_init(struct comparison *c, const struct store_definition *from,
                            const struct store_definition *to)
{
    *c = (struct comparison){
        .from = from, .to = to, .same_layout = from->row_count == to->row_count};
    for (size_t i = 0; i < from->row_count; i++) {
        const struct store_field *f = &from->row[i],
                                 *t = find_field(to->row, to->row_count, f->name);
        if (t)
            c->pairs[c->pair_count++] = (struct field_pair){i, (size_t)(t - to->row)};
        if (!t || (size_t)(t - to->row) != i || t->type != f->type)
            c->same_layout = false;
    }
    buf_init(&c->texts[0], 8 * (size_t)STORE_ROW_MAX); /* JSON escapes */
    buf_init(&c->texts[1], 8 * (size_t)STORE_ROW_MAX);
}

static void comparison_release(struct comparison *c)
{
    buf_release(&c->texts[0]);
    buf_release(&c->texts[1]);
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static enum st same_value(bool *same, struct comparison *c, const struct field_pair *pair)
{
    const struct store_value *a = &c->before[pair->from], *b = &c->after[pair->to];
    enum store_type a_type = c->from->row[pair->from].type, b_type = c->to->row[pair->to].type;

    if (a->null || b->null) {
        *same = a->null == b->null;
    } else if (a_type != b_type) {
        buf_reset(&c->texts[0]);
        buf_reset(&c->texts[1]);
        store_value_json(&c->texts[0], a_type, a);
        store_value_json(&c->texts[1], b_type, b);
        *same = same_bytes(c->texts[0].data, c->texts[0].len, c->texts[1].data, c->texts[1].len);
    } else if (store_type_is_text(a_type)) {
        *same = same_bytes(a->as.text.bytes, a->as.text.len, b->as.text.bytes, b->as.text.len);
    } else if (a_type == STORE_DOUBLE) {
        *same = memcmp(&a->as.d, &b->as.d, sizeof a->as.d) == 0;
    } else {
        *same = a->as.i == b->as.i;
    }
    return c->texts[0].status ? buf_status(&c->texts[0]) : buf_status(&c->texts[1]);
}

static enum st same_record(bool *same, struct comparison *c, const struct store_record *a,
                           const struct store_record *b)
{
    *same = true;
    if (c->same_layout) {
        *same = same_bytes(a->row, a->row_len, b->row, b->row_len);
        return ST_OK;
    }
    enum st st = store_row_decode(c->before, c->from->row, c->from->row_count, a->row, a->row_len);
    if (!st)
        st = store_row_decode(c->after, c->to->row, c->to->row_count, b->row, b->row_len);
    for (size_t i = 0; !st && *same && i < c->pair_count; i++)
        st = same_value(same, c, &c->pairs[i]);
    return st;
}

/* ---- samples ---- */

static void add_member(struct buf *text, const struct store_definition *definition, size_t i,
                       const struct store_value *values)
{
    const struct store_field *f = &definition->row[i];

    buf_addch(text, text->len ? ',' : '{');
    buf_add_json_string(text, f->name, strlen(f->name));
    buf_addch(text, ':');
    store_value_json(text, f->type, &values[i]);
}

/* The key as a lookup takes it: without protection its fields are the first of the row. Of a series
 * with the field that it is in the order of. */
static enum st take_sample(struct store_diff_result *r, enum store_diff_kind kind,
                           const struct store_definition *definition,
                           const struct store_record *record)
{
    struct store_value values[STORE_FIELDS_MAX];
    struct buf text;
    enum st st = store_row_decode(values, definition->row, definition->row_count, record->row,
                                  record->row_len);

    buf_init(&text, 8 * (size_t)STORE_ROW_MAX);
    for (size_t i = 0; !st && i < definition->key.field_count; i++)
        add_member(&text, definition, i, values);
    if (!st && definition->key.sort)
        add_member(&text, definition, store_sort_index(definition), values);
    buf_addch(&text, '}');
    if (!st)
        st = buf_status(&text);
    if (!st)
        r->samples[kind][r->sample_counts[kind]++] = buf_take(&text);
    buf_release(&text);
    return st;
}

static enum st count_record(struct store_diff_result *r, enum store_diff_kind kind,
                            const struct store_definition *definition,
                            const struct store_record *record)
{
    bool wanted =
        r->sampled && kind != STORE_DIFF_UNCHANGED && r->sample_counts[kind] < STORE_DIFF_SAMPLES;

    r->counts[kind]++;
    return wanted ? take_sample(r, kind, definition, record) : ST_OK;
}

/* ---- the merge ---- */

struct merge {
    struct store_diff *diff;
    struct comparison comparison;
    struct store_scan *scans[DIFF_SIDES];
    struct store_record at[DIFF_SIDES];
    bool more[DIFF_SIDES];
    size_t key_bytes;
    uint64_t total, told, cooled;
};

static enum st step(struct merge *m, size_t side)
{
    enum st st = store_scan_next(m->scans[side], &m->at[side]);

    m->more[side] = st == ST_OK;
    if (st == ST_OK)
        *(side == DIFF_FROM ? &m->diff->result.before : &m->diff->result.after) += 1;
    return st == ST_END ? ST_OK : st;
}

/* Counts what is at the front, and goes past it. */
static enum st judge(struct merge *m)
{
    struct store_diff_result *r = &m->diff->result;
    const struct store_record *a = &m->at[DIFF_FROM], *b = &m->at[DIFF_TO];
    bool same;
    int order = !m->more[DIFF_FROM] ? 1
                : !m->more[DIFF_TO] ? -1
                                    : memcmp(a->key, b->key, m->key_bytes);
    enum st st = ST_OK;

    if (order < 0) {
        st = count_record(r, STORE_DIFF_REMOVED, m->comparison.from, a);
    } else if (order > 0) {
        st = count_record(r, STORE_DIFF_ADDED, m->comparison.to, b);
    } else {
        st = same_record(&same, &m->comparison, a, b);
        if (!st)
            st = count_record(r, same ? STORE_DIFF_UNCHANGED : STORE_DIFF_CHANGED, m->comparison.to,
                              b);
    }
    if (!st && order <= 0)
        st = step(m, DIFF_FROM);
    if (!st && order >= 0)
        st = step(m, DIFF_TO);
    return st;
}

static enum st tell(struct merge *m)
{
    uint64_t position =
        store_scan_position(m->scans[DIFF_FROM]) + store_scan_position(m->scans[DIFF_TO]);

    if (position - m->told < TELL_RECORDS)
        return ST_OK;
    m->told = position;
    if (position - m->cooled >= COOL_RECORDS) {
        m->cooled = position;
        for (size_t i = 0; i < DIFF_SIDES; i++)
            for (size_t j = 0; j < m->diff->sides[i].count; j++)
                store_segment_cool(m->diff->sides[i].segments[j], NULL);
    }
    return diff_tell(m->diff, "comparing", position, m->total);
}

enum st diff_records(struct store_diff *d)
{
    struct merge *m = calloc(1, sizeof *m);
    enum st st = m ? diff_tell(d, "comparing", 0, 0) : st_fail(ST_NOMEM, NULL, "out of memory");

    if (!m)
        return st;
    m->diff = d;
    m->key_bytes = store_record_key_bytes(&d->sides[DIFF_TO].definition->key);
    comparison_init(&m->comparison, d->sides[DIFF_FROM].definition, d->sides[DIFF_TO].definition);
    d->result.sampled = d->sides[DIFF_FROM].definition->key.protect == STORE_PROTECT_NONE &&
                        d->sides[DIFF_TO].definition->key.protect == STORE_PROTECT_NONE;
    for (size_t i = 0; !st && i < DIFF_SIDES; i++) {
        const struct held_version *side = &d->sides[i];
        for (size_t j = 0; j < side->count; j++)
            m->total += store_segment_records(side->segments[j]);
        st = store_scan_new(&m->scans[i], side->segments, side->count, 0);
        if (!st)
            st = step(m, i);
    }
    while (!st && (m->more[DIFF_FROM] || m->more[DIFF_TO])) {
        st = judge(m);
        if (!st)
            st = tell(m);
    }
    store_scan_free(m->scans[DIFF_FROM]);
    store_scan_free(m->scans[DIFF_TO]);
    comparison_release(&m->comparison);
    free(m);
    return st;
}

/* ---- fields ---- */

enum st diff_fields(struct store_diff *d)
{
    const struct store_definition *from = d->sides[DIFF_FROM].definition,
                                  *to = d->sides[DIFF_TO].definition;
    struct store_diff_result *r = &d->result;

    r->fields = calloc(from->record_count + to->record_count + 1, sizeof *r->fields);
    if (!r->fields)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < to->record_count; i++) {
        const struct store_field *t = &to->record[i],
                                 *f = find_field(from->record, from->record_count, t->name);
        if (!f || f->type != t->type)
            r->fields[r->field_count++] =
                (struct store_diff_field){t->name, f ? STORE_DIFF_IN_BOTH : STORE_DIFF_IN_TO};
    }
    for (size_t i = 0; i < from->record_count; i++)
        if (!find_field(to->record, to->record_count, from->record[i].name))
            r->fields[r->field_count++] =
                (struct store_diff_field){from->record[i].name, STORE_DIFF_IN_FROM};
    return ST_OK;
}

#include "store/segment_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The totals of rollups, held against the records. A term whose argument is a field of the record
 * adds up to the same over all cells of a grouping set as over all records. Of the others the
 * argument was a prepared column that no record keeps: they add up to the same in every set. */

#define NO_FIELD SIZE_MAX

/* Where a term takes its input from. */
struct origin {
    size_t field; /* in definition->row, or NO_FIELD */
    unsigned char kind;
};

struct totals {
    const struct store_rollup *rollup;
    struct store_cell cell; /* over all records; the rest is the first set's */
    struct origin origins[2 * STORE_METRICS_MAX];
    bool complete; /* a set has given the rest */
};

struct segment_totals {
    size_t count;
    struct buf expected, found;
    struct totals rollups[];
};

/* ---- which terms ---- */

/* Words that are values by themselves, whatever a column is called. */
static bool is_column(const char *name, size_t len)
{
    static const char *const WORDS[] = {"true",     "false",    "null", "user",
                                        "current_", "session_", "local"};

    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (len >= strlen(WORDS[i]) && strncasecmp(name, WORDS[i], strlen(WORDS[i])) == 0)
            return false;
    return true;
}

static bool is_integer_cast(const char *text)
{
    return strcasecmp(text, "::INT") == 0 || strcasecmp(text, "::INTEGER") == 0 ||
           strcasecmp(text, "::BIGINT") == 0;
}

/* What a field of such a type is to an aggregate, as the ingest has it. */
static bool kind_of(unsigned char *kind, enum store_aggregate aggregate, enum store_type type)
{
    bool extreme = aggregate == STORE_MIN || aggregate == STORE_MAX;

    *kind = STORE_INPUT_INTEGER;
    if (aggregate == STORE_COUNT)
        return true;
    if (aggregate == STORE_DISTINCT)
        return type == STORE_VARCHAR;
    switch (STORE_TYPE_BASE(type)) {
    case STORE_DOUBLE:
        *kind = STORE_INPUT_DOUBLE;
        return true;
    case STORE_DECIMAL:
        *kind = (unsigned char)(STORE_INPUT_DECIMAL + STORE_DECIMAL_SCALE(type));
        return aggregate != STORE_QUANTILE;
    case STORE_DATE:
        *kind = STORE_INPUT_DATE;
        return extreme;
    case STORE_TIMESTAMP:
        *kind = STORE_INPUT_TIMESTAMP;
        return extreme;
    default:
        return type == STORE_BOOLEAN || store_type_is_sortable(type); /* an integer */
    }
}

/* The field that an expression is: its name, or of a BOOLEAN or an integer `name::INT`. */
static struct origin origin_of(const struct store_definition *d, const struct store_term *term)
{
    const char *text = term->expression ? term->expression : "";
    const char *cast = strstr(text, "::");
    size_t len = cast ? (size_t)(cast - text) : strlen(text);
    struct origin o = {.field = d->row_count - d->record_count};

    for (; is_column(text, len) && o.field < d->row_count; o.field++) {
        const struct store_field *f = &d->row[o.field];
        if (strlen(f->name) != len || strncasecmp(f->name, text, len) != 0)
            continue;
        if (kind_of(&o.kind, term->aggregate, f->type) &&
            (!cast || (o.kind == STORE_INPUT_INTEGER && is_integer_cast(cast) &&
                       !store_type_is_text(f->type))))
            return o;
        break;
    }
    o.field = NO_FIELD;
    return o;
}

static void set_origins(struct totals *t, const struct store_definition *d)
{
    size_t n = 0;

    for (size_t m = 0; m < t->rollup->metric_count; m++)
        for (size_t k = 0; k < (t->rollup->metrics[m].ratio ? 2u : 1u); k++)
            t->origins[n++] = origin_of(d, &t->rollup->metrics[m].terms[k]);
}

/* ---- adding up ---- */

enum st segment_totals_new(struct segment_totals **out, const struct store_definition *d)
{
    struct segment_totals *t = *out = calloc(1, sizeof *t + d->rollup_count * sizeof t->rollups[0]);

    if (!t)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    t->count = d->rollup_count;
    buf_init(&t->expected, SIZE_MAX);
    buf_init(&t->found, SIZE_MAX);
    for (size_t i = 0; i < t->count; i++) {
        t->rollups[i].rollup = &d->rollups[i];
        set_origins(&t->rollups[i], d);
    }
    return ST_OK;
}

void segment_totals_free(struct segment_totals *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        store_cell_release(&t->rollups[i].cell, t->rollups[i].rollup);
    buf_release(&t->expected);
    buf_release(&t->found);
    free(t);
}

static int64_t input_of(const struct store_value *v, bool is_text)
{
    int64_t input;

    if (is_text)
        return (int64_t)store_distinct_hash(v->as.text.bytes, v->as.text.len);
    memcpy(&input, &v->as, sizeof input);
    return input;
}

enum st segment_totals_add(struct segment_totals *t, const struct store_definition *d,
                           const struct store_value *row)
{
    int64_t inputs[2 * STORE_METRICS_MAX];
    bool nulls[2 * STORE_METRICS_MAX];
    unsigned char kinds[2 * STORE_METRICS_MAX];
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < t->count; i++) {
        struct totals *r = &t->rollups[i];
        for (size_t n = 0; n < r->rollup->term_count; n++) {
            size_t field = r->origins[n].field;
            nulls[n] = field == NO_FIELD || row[field].null;
            inputs[n] =
                nulls[n] ? 0 : input_of(&row[field], store_type_is_text(d->row[field].type));
            kinds[n] = r->origins[n].kind;
        }
        st = store_cell_add(&r->cell, r->rollup, inputs, nulls, kinds);
    }
    return st;
}

/* What only cells know goes from the first set's total to that of the records. */
static void take_rest(struct totals *t, struct store_cell *total)
{
    for (size_t n = 0; n < t->rollup->term_count; n++)
        if (t->origins[n].field == NO_FIELD && t->cell.terms[n].count == 0) {
            t->cell.terms[n] = total->terms[n];
            total->terms[n] = (struct store_term_state){0};
        }
    t->complete = true;
}

enum st segment_totals_check(struct segment_totals *t, size_t rollup, struct store_cell *total)
{
    struct totals *r = &t->rollups[rollup];

    buf_reset(&t->found);
    store_cell_encode(&t->found, r->rollup, total);
    if (!r->complete)
        take_rest(r, total);
    buf_reset(&t->expected);
    store_cell_encode(&t->expected, r->rollup, &r->cell);
    enum st st = buf_status(&t->found) ? buf_status(&t->found) : buf_status(&t->expected);
    if (!st && (t->found.len != t->expected.len ||
                memcmp(t->found.data, t->expected.data, t->found.len) != 0))
        st = segment_damaged("has a rollup whose totals are not those of its records");
    return st;
}

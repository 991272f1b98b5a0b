#include "api/rollup_query.h"

#include "api/internal.h"

#include <string.h>

_Static_assert(STORE_METRICS_MAX <= 32, "a query has a bit for each metric");

static bool is_equal(enum store_type type, const struct store_value *a, const struct store_value *b)
{
    if (a->null || b->null)
        return a->null == b->null;
    if (type == STORE_VARCHAR)
        return a->as.text.len == b->as.text.len &&
               memcmp(a->as.text.bytes, b->as.text.bytes, a->as.text.len) == 0;
    return a->as.i == b->as.i;
}

bool api_rollup_query_has(const struct api_rollup_query *q, const struct store_rollup *r,
                          const struct store_value *values)
{
    const struct store_value *time = &values[r->dimension_count];

    for (size_t i = 0; i < r->dimension_count; i++)
        if (q->filtered[i] && !is_equal(r->dimensions[i].type, &values[i], &q->filters[i]))
            return false;
    return !(q->has_from && (time->null || time->as.i < q->from)) &&
           !(q->has_to && (time->null || time->as.i >= q->to));
}

static enum st parse_time(int64_t *out, const struct store_rollup *r, const char *name,
                          const char *text)
{
    struct store_value value;

    if (r->bucket == STORE_BUCKET_NONE)
        return st_place(st_fail(ST_INVALID, "INVALID_PARAMETER", "this rollup has no time"),
                        "query/%s", name);
    if (store_value_parse(&value, r->time.type, text, strlen(text)))
        return st_place(st_wrap(ST_INVALID, "\"%s\"", name), "query/%s", name);
    *out = value.as.i;
    return ST_OK;
}

static enum st take_filter(struct api_rollup_query *q, const struct store_rollup *r,
                           const struct api_pair *pair)
{
    for (size_t i = 0; i < r->dimension_count; i++) {
        if (strcmp(r->dimensions[i].name, pair->name) != 0)
            continue;
        if (store_value_parse(&q->filters[i], r->dimensions[i].type, pair->value, pair->value_len))
            return st_place(st_wrap(ST_INVALID, "\"%s\"", pair->name), "query/%s", pair->name);
        q->filtered[i] = true;
        return ST_OK;
    }
    return st_place(st_fail(ST_INVALID, "UNKNOWN_PARAMETER",
                            "this rollup has no dimension \"%.64s\"", pair->name),
                    "query/%.64s", pair->name);
}

static bool is(const char *name, const char *text, size_t len)
{
    return strlen(name) == len && memcmp(name, text, len) == 0;
}

/* metric_count: there is none of that name. */
static size_t find_metric(const struct store_rollup *r, const char *name, size_t len)
{
    size_t i = 0;

    while (i < r->metric_count && !is(r->metrics[i].name, name, len))
        i++;
    return i;
}

/* "flights,mean_delay" */
static enum st take_metrics(uint32_t *out, const struct store_rollup *r, const char *text)
{
    uint32_t asked = 0;

    for (;;) {
        size_t len = strcspn(text, ","), i = find_metric(r, text, len);

        if (i == r->metric_count)
            return st_place(
                st_hint(st_fail(ST_INVALID, "UNKNOWN_METRIC", "this rollup has no metric \"%.*s\"",
                                (int)(len < 64 ? len : 64), text),
                        "its metrics are listed by GET .../rollups"),
                "query/metrics");
        asked |= UINT32_C(1) << i;
        if (!text[len])
            break;
        text += len + 1;
    }
    *out = asked;
    return ST_OK;
}

/* "flights", or "-flights": the largest first. */
static enum st take_order(struct api_rollup_query *q, const struct store_rollup *r,
                          const char *text)
{
    q->descending = *text == '-';
    text += q->descending;
    size_t len = strlen(text);
    q->order = API_BY_METRIC;
    q->order_index = find_metric(r, text, len);
    if (q->order_index < r->metric_count)
        return ST_OK;
    q->order = API_BY_DIMENSION;
    q->order_index = 0;
    while (q->order_index < r->dimension_count &&
           !is(r->dimensions[q->order_index].name, text, len))
        q->order_index++;
    if (q->order_index < r->dimension_count ||
        (r->bucket != STORE_BUCKET_NONE && is(r->time.name, text, len)))
        return ST_OK;
    return st_place(st_hint(st_fail(ST_INVALID, "UNKNOWN_ORDER",
                                    "these cells have no metric or dimension \"%.64s\"", text),
                            "order_by takes one name, \"-\" in front of it for the largest first; "
                            "GET .../rollups lists them"),
                    "query/order_by");
}

/* Parameters of every read; no dimension has such a name. */
static bool is_reserved(const char *name)
{
    static const char *const NAMES[] = {"limit", "cursor", "version", "as_of", "group_by"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(NAMES[i], name) == 0)
            return true;
    return false;
}

static enum st take(struct api_rollup_query *q, const struct store_rollup *r,
                    const struct api_pair *pair)
{
    if (is_reserved(pair->name))
        return ST_OK;
    if (strcmp(pair->name, "from") == 0) {
        q->has_from = true;
        return parse_time(&q->from, r, pair->name, pair->value);
    }
    if (strcmp(pair->name, "to") == 0) {
        q->has_to = true;
        return parse_time(&q->to, r, pair->name, pair->value);
    }
    if (strcmp(pair->name, "metrics") == 0)
        return take_metrics(&q->metrics, r, pair->value);
    if (strcmp(pair->name, "order_by") == 0)
        return take_order(q, r, pair->value);
    return take_filter(q, r, pair);
}

enum st api_rollup_query_read(struct api_rollup_query *q, const struct store_rollup *rollup,
                              const struct api_request *request)
{
    enum st st = ST_OK;

    *q = (struct api_rollup_query){.limit = api_query_limit(request), .metrics = UINT32_MAX};
    for (size_t i = 0; !st && i < request->query_count; i++)
        st = take(q, rollup, &request->query[i]);
    return st;
}

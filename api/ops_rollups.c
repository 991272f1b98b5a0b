#include "api/cells.h"
#include "api/cursor.h"
#include "api/internal.h"
#include "api/negotiate.h"
#include "api/ranking.h"
#include "api/rollup_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reading rollups: a scan in tuple order with filters, a page at a time; in another order, a scan
 * of all for each page. The cursor names the tuple the next page begins with. */

#define QUERY_MAX 16384
#define RANKED_CELLS_MAX 100000 /* cells that are looked at for a page */

struct scan {
    const struct store_rollup *rollup;
    struct api_rollup_query query;
    int64_t count;
    api_cell_fn add_fn;
    struct buf *out;
    struct buf scratch;
    struct ranking *ranking; /* of another order than that of tuples */
    const struct api_cursor *from;
    bool found;             /* what the cursor names, in another order */
    struct api_cursor next; /* of the next page; no tuple when the answer is complete */
};

static const char *const BUCKETS[] = {
    [STORE_BUCKET_NONE] = "none",       [STORE_BUCKET_HOUR] = "hour",
    [STORE_BUCKET_DAY] = "day",         [STORE_BUCKET_MONTH] = "month",
    [STORE_BUCKET_QUARTER] = "quarter", [STORE_BUCKET_YEAR] = "year",
};

static void add_field(struct buf *out, const struct store_field *f)
{
    buf_addf(out, "{\"name\":\"%s\",\"type\":\"%s\"", f->name, store_type_name(f->type));
}

static void add_set(struct buf *out, const struct store_rollup *set, bool more)
{
    buf_addf(out, "%s{\"dimensions\":[", more ? "," : "");
    for (size_t i = 0; i < set->dimension_count; i++)
        buf_addf(out, "%s\"%s\"", i ? "," : "", set->dimensions[i].name);
    buf_addf(out, "],\"time\":%s}", set->bucket == STORE_BUCKET_NONE ? "false" : "true");
}

enum st api_op_list_rollups(struct api_reply *reply, struct api_request *request)
{
    const struct store_served *d;
    struct buf *out = &reply->body;
    enum st st = api_dataset(&d, request);

    if (st)
        return st;
    buf_addf(out, "{\"dataset\":\"%s\",\"version\":%llu,\"items\":[", d->dataset,
             (unsigned long long)d->version);
    for (size_t i = 0; i < d->definition->rollup_count; i++) {
        const struct store_rollup *r = &d->definition->rollups[i];

        buf_addf(out, "%s{\"name\":\"%s\",\"dimensions\":[", i ? "," : "", r->name);
        for (size_t j = 0; j < r->dimension_count; j++) {
            buf_addstr(out, j ? "," : "");
            add_field(out, &r->dimensions[j]);
            buf_addch(out, '}');
        }
        buf_addstr(out, "],\"time\":");
        if (r->bucket == STORE_BUCKET_NONE) {
            buf_addstr(out, "null");
        } else {
            add_field(out, &r->time);
            buf_addf(out, ",\"bucket\":\"%s\"}", BUCKETS[r->bucket]);
        }
        buf_addstr(out, ",\"metrics\":[");
        for (size_t j = 0; j < r->metric_count; j++)
            buf_addf(out, "%s\"%s\"", j ? "," : "", r->metrics[j].name);
        buf_addstr(out, "],\"grouping_sets\":[");
        for (size_t j = 0; j < r->set_count; j++)
            add_set(out, &r->sets[j], j > 0);
        buf_addf(out, "],\"min_cell\":%u}", r->min_cell);
    }
    buf_addstr(out, "],\"next\":null,\"complete\":true}");
    api_version_headers(reply, d);
    return ST_OK;
}

static enum st set_next(struct scan *s, const void *tuple, size_t len)
{
    if (len > sizeof s->next.tuple)
        return st_fail(ST_CORRUPT, NULL, "a tuple of %zu bytes", len);
    memcpy(s->next.tuple, tuple, len);
    s->next.tuple_len = len;
    return ST_OK;
}

static enum st add_cell(struct scan *s, const struct store_value *values, const void *bytes,
                        size_t len)
{
    struct store_cell cell;
    enum st st = store_cell_decode(&cell, s->rollup, bytes, len);

    if (st)
        return st;
    if (s->count++ && s->add_fn == api_cell_json)
        buf_addch(s->out, ',');
    s->add_fn(s->out, s->rollup, s->query.metrics, values, &cell);
    store_cell_release(&cell, s->rollup);
    return s->out->status;
}

static enum st visit(const void *tuple, size_t tuple_len, const void *bytes, size_t len, void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct scan *s = ctx;
    enum st st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);

    if (st || !api_rollup_query_has(&s->query, s->rollup, values))
        return st;
    if (s->count < s->query.limit)
        return add_cell(s, values, bytes, len);
    st = set_next(s, tuple, tuple_len);
    return st ? st : ST_END;
}

/* ---- in the order of a metric or of one dimension ---- */

typedef enum st (*rank_fn)(struct ranking *r, const void *tuple, size_t tuple_len,
                           const struct store_value *values, const struct store_cell *cell);

static enum st rank(struct scan *s, rank_fn fn, const void *tuple, size_t tuple_len,
                    const struct store_value *values, const void *bytes, size_t len)
{
    struct store_cell cell;

    if (s->query.order == API_BY_DIMENSION)
        return fn(s->ranking, tuple, tuple_len, values, NULL);
    enum st st = store_cell_decode(&cell, s->rollup, bytes, len);

    if (st)
        return st;
    st = fn(s->ranking, tuple, tuple_len, values, &cell);
    store_cell_release(&cell, s->rollup);
    return st;
}

static enum st visit_any(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                         void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct scan *s = ctx;
    enum st st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);

    if (st || !api_rollup_query_has(&s->query, s->rollup, values))
        return st;
    return rank(s, ranking_add, tuple, tuple_len, values, bytes, len);
}

/* The cell that the cursor names, if the first one that is met is that. */
static enum st visit_begin(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                           void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct scan *s = ctx;

    if (tuple_len != s->from->tuple_len || memcmp(tuple, s->from->tuple, tuple_len) != 0)
        return ST_END;
    s->found = true;
    enum st st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);
    if (!st)
        st = rank(s, ranking_begin_at, tuple, tuple_len, values, bytes, len);
    return st ? st : ST_END;
}

/* The first cell that is met. */
static enum st visit_one(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                         void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct scan *s = ctx;
    enum st st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);

    if (!st)
        st = add_cell(s, values, bytes, len);
    return st ? st : ST_END;
}

/* A sketch costs as much as many numbers, whether or not it is what cells are ordered by. */
static size_t sketches(const struct store_rollup *r)
{
    size_t count = 0;

    for (size_t i = 0; i < r->metric_count; i++)
        for (size_t k = 0; k < (r->metrics[i].ratio ? 2u : 1u); k++) {
            enum store_aggregate a = r->metrics[i].terms[k].aggregate;
            count += a == STORE_DISTINCT || a == STORE_QUANTILE;
        }
    return count;
}

/* This thread answers others, too. */
static enum st check_ranked(const struct scan *s, const struct store_segment *segment)
{
    uint64_t max = RANKED_CELLS_MAX;

    if (s->query.order == API_BY_METRIC)
        max /= 1 + sketches(s->rollup);
    if (store_segment_cells(segment, s->rollup) <= max)
        return ST_OK;
    return st_place(st_hint(st_fail(ST_INVALID, "TOO_MANY_CELLS",
                                    "more than %llu cells are not put into another order",
                                    (unsigned long long)max),
                            "read them in their own, or choose a grouping set that has fewer "
                            "with group_by"),
                    "query/order_by");
}

static enum st scan_ranked(struct scan *s, const struct store_served *d, unsigned slot)
{
    const struct api_cursor *from = s->from;
    const void *tuple;
    size_t len;
    enum st st = check_ranked(s, d->segments[0]);

    if (!st)
        st = ranking_new(&s->ranking, s->rollup, &s->query);
    if (!st && from->tuple_len)
        st = store_segment_each_cell(d->segments[0], slot, s->rollup, from->tuple, from->tuple_len,
                                     visit_begin, s);
    if (!st && from->tuple_len && !s->found)
        st = api_cursor_refuse();
    if (!st)
        st = store_segment_each_cell(d->segments[0], slot, s->rollup, NULL, 0, visit_any, s);
    while (!st && s->count < s->query.limit &&
           (tuple = ranking_tuple(&len, s->ranking, (size_t)s->count)) != NULL)
        st = store_segment_each_cell(d->segments[0], slot, s->rollup, tuple, len, visit_one, s);
    if (!st && (tuple = ranking_tuple(&len, s->ranking, (size_t)s->query.limit)) != NULL)
        st = set_next(s, tuple, len);
    ranking_free(s->ranking);
    return st;
}

static enum st scan(struct scan *s, const struct store_served *d, unsigned slot)
{
    if (s->query.order != API_BY_TUPLE)
        return scan_ranked(s, d, slot);
    return store_segment_each_cell(d->segments[0], slot, s->rollup, s->from->tuple,
                                   s->from->tuple_len, visit, s);
}

/* ---- a page ---- */

static void add_page_start(struct scan *s, const struct store_served *d)
{
    if (s->add_fn == api_cell_csv)
        api_cells_csv_names(s->out, s->rollup, s->query.metrics);
    else
        buf_addf(s->out, "{\"dataset\":\"%s\",\"rollup\":\"%s\",\"version\":%llu,\"items\":[",
                 d->dataset, s->rollup->name, (unsigned long long)d->version);
}

/* Lines of CSV have no room for it: headers say whether there is more. */
static void add_page_headers(struct api_reply *reply, struct scan *s)
{
    struct buf cursor;

    buf_init(&cursor, 2 * sizeof s->next);
    if (s->next.tuple_len)
        api_cursor_write(&cursor, &s->next);
    api_reply_text(reply, "Everline-Complete", s->next.tuple_len ? "false" : "true");
    if (cursor.len)
        api_reply_text(reply, "Everline-Next", cursor.data);
    buf_release(&cursor);
}

static void add_page_end(struct scan *s)
{
    buf_addstr(s->out, "],\"next\":");
    if (s->next.tuple_len == 0) {
        buf_addstr(s->out, "null,\"complete\":true}");
        return;
    }
    buf_addch(s->out, '"');
    api_cursor_write(s->out, &s->next);
    buf_addstr(s->out, "\",\"complete\":false}");
}

static enum st read_page(struct api_reply *reply, struct api_request *request,
                         const struct store_served *d, struct scan *s, struct buf *query)
{
    const char *text = api_query(request, "cursor");
    enum st st = api_cursor_sum(s->next.check, d, query->data);

    s->next.version = d->version;
    if (!st && text)
        st = api_cursor_check(s->from, d->version, s->next.check);
    buf_addf(query, "&limit=%zu%s", s->query.limit, s->add_fn == api_cell_csv ? "&csv" : "");
    if (!st)
        st = buf_status(query);
    if (st)
        return st;
    api_version_headers(reply, d);
    if (d->definition->key.protect == STORE_PROTECT_NONE &&
        api_etag(reply, request, d, query->data, text ? text : ""))
        return ST_OK;
    add_page_start(s, d);
    st = scan(s, d, request->slot);
    if (!st && s->add_fn == api_cell_csv)
        add_page_headers(reply, s);
    else if (!st)
        add_page_end(s);
    return st;
}

/* The grouping set that `group_by` names, "a,b": the time belongs to it when it is named, and also
 * when there is no set without it. The first set when there is no `group_by`. */
static enum st find_set(const struct store_rollup **out, const struct store_rollup *r,
                        const struct api_request *request)
{
    const char *names[STORE_DIMENSIONS_MAX + 1], *text = api_query(request, "group_by");
    char copy[STORE_DIMENSIONS_MAX * STORE_NAME_SIZE + STORE_NAME_SIZE], *rest = copy, *name;
    size_t count = 0;
    bool timed = false;

    *out = &r->sets[0];
    if (!text)
        return ST_OK;
    *out = NULL;
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) < sizeof copy) {
        while (count <= STORE_DIMENSIONS_MAX && (name = strsep(&rest, ",")) != NULL) {
            if (r->bucket != STORE_BUCKET_NONE && strcmp(name, r->time.name) == 0)
                timed = true;
            else if (*name || rest || count)
                names[count++] = name;
        }
        if (!timed)
            *out = store_rollup_set(r, names, count, true);
        if (!*out)
            *out = store_rollup_set(r, names, count, false);
    }
    if (*out)
        return ST_OK;
    return st_place(st_hint(st_fail(ST_INVALID, "UNKNOWN_GROUPING",
                                    "this rollup has no grouping set of these dimensions"),
                            "its sets are listed by GET .../rollups"),
                    "query/group_by");
}

enum st api_op_read_rollup(struct api_reply *reply, struct api_request *request)
{
    const struct store_served *d;
    const char *cursor = api_query(request, "cursor");
    struct api_cursor from = {.tuple_len = 0};
    struct scan s = {.out = &reply->body, .add_fn = api_cell_json, .from = &from};
    struct buf query;
    enum st st = cursor ? api_cursor_parse(&from, cursor) : ST_OK;

    request->page_version = from.version; /* the pages of one answer are of one version */
    if (!st)
        st = api_dataset(&d, request);
    if (st)
        return st;
    s.rollup = store_definition_rollup(d->definition, request->path_params[1]);
    if (!s.rollup)
        return st_hint(
            st_fail(ST_NOT_FOUND, "UNKNOWN_ROLLUP", "the dataset has no rollup of that name"),
            "list them: GET /v1/datasets/%s/rollups", d->dataset);
    st = find_set(&s.rollup, s.rollup, request);
    if (st)
        return st;
    reply->by_type = true;
    if (api_weight_type(request->accept, "text/csv") >
        api_weight_type(request->accept, "application/json")) {
        s.add_fn = api_cell_csv;
        reply->content_type = "text/csv; charset=utf-8";
    }
    buf_init(&s.scratch, 4 * STORE_TUPLE_MAX);
    buf_init(&query, QUERY_MAX);
    api_cursor_query(&query, request, s.rollup->name);
    st = buf_status(&query);
    if (!st)
        st = api_rollup_query_read(&s.query, s.rollup, request);
    if (!st)
        st = read_page(reply, request, d, &s, &query);
    buf_release(&s.scratch);
    buf_release(&query);
    return st;
}

#include "api/cells.h"
#include "api/cursor.h"
#include "api/internal.h"
#include "api/negotiate.h"
#include "api/rollup_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reading rollups, a page at a time. The cursor names the tuple the next page begins with. */

#define QUERY_MAX 16384

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

/* ---- a page ---- */

static void add_page_start(struct api_rollup_scan *s, const struct store_served *d)
{
    if (s->add_fn == api_cell_csv)
        api_cells_csv_names(s->out, s->rollup, s->query.metrics);
    else
        buf_addf(s->out, "{\"dataset\":\"%s\",\"rollup\":\"%s\",\"version\":%llu,\"items\":[",
                 d->dataset, s->rollup->name, (unsigned long long)d->version);
}

/* Lines of CSV have no room for it: headers say whether there is more. */
static void add_page_headers(struct api_reply *reply, struct api_rollup_scan *s)
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

static void add_page_end(struct api_rollup_scan *s)
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
                         const struct store_served *d, struct api_rollup_scan *s, struct buf *query)
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
    st = api_rollup_scan_run(s, d->segments[0], request->slot);
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
    struct api_rollup_scan s = {.out = &reply->body, .add_fn = api_cell_json, .from = &from};
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
    buf_init(&query, QUERY_MAX);
    api_cursor_query(&query, request, s.rollup->name);
    st = buf_status(&query);
    if (!st)
        st = api_rollup_query_read(&s.query, s.rollup, request);
    if (!st)
        st = read_page(reply, request, d, &s, &query);
    buf_release(&query);
    return st;
}

#include "api/batch.h"
#include "api/cursor.h"
#include "api/internal.h"
#include "api/limit.h"
#include "store/series.h"

#include <stdio.h>
#include <string.h>

/* Reading a series: the records of one key in their order, a page at a time. The cursor names the
 * sort value that the next page begins with. */

#define QUERY_MAX 16384

struct page {
    const struct store_served *served;
    unsigned char key[STORE_KEY_BYTES];
    struct store_series_range range;
    bool empty; /* no record can be in the range */
    int64_t limit, count;
    struct api_cursor from, next;
    struct buf *out;
};

static enum st visit(int64_t sort, const void *row, size_t row_len, void *ctx)
{
    struct page *p = ctx;
    const struct store_definition *def = p->served->definition;

    if (p->count == p->limit) {
        store_sort_encode(p->next.tuple, sort);
        p->next.tuple_len = STORE_SORT_BYTES;
        return ST_END;
    }
    buf_addstr(p->out, p->count++ ? "," : "");
    return store_row_json(p->out, def->row, def->row_count, row, row_len);
}

/* `from` is the first, `to` is behind the last, as in rollups. */
static enum st read_bound(int64_t *out, bool *given, const struct page *p,
                          const struct api_request *request, const char *name)
{
    const char *text = api_query(request, name);
    struct store_value value;

    *given = text != NULL;
    if (!text)
        return ST_OK;
    if (store_value_parse(&value, p->served->definition->key.sort->type, text, strlen(text)))
        return st_place(st_wrap(ST_INVALID, "\"%s\"", name), "query/%s", name);
    *out = value.as.i;
    return ST_OK;
}

static enum st read_range(struct page *p, const struct api_request *request)
{
    const char *order = api_query(request, "order");
    bool given, back = order && strcmp(order, "desc") == 0;
    int64_t to = 0;

    if (order && !back && strcmp(order, "asc") != 0)
        return st_place(
            st_fail(ST_INVALID, "INVALID_PARAMETER", "\"order\" is \"asc\" or \"desc\""),
            "query/order");

    p->limit = api_query_limit(request);
    p->range = (struct store_series_range){INT64_MIN, INT64_MAX, back};
    enum st st = read_bound(&p->range.from, &given, p, request, "from");
    if (!st)
        st = read_bound(&to, &given, p, request, "to");
    if (st || !given)
        return st;
    p->empty = to == INT64_MIN;
    p->range.to = p->empty ? to : to - 1;
    return ST_OK;
}

static enum st take_cursor(struct page *p)
{
    enum st st = api_cursor_check(&p->from, p->served->version, p->next.check);

    if (!st && p->from.tuple_len != STORE_SORT_BYTES)
        st = st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "this is not a cursor of ours"),
                      "query/cursor");
    if (!st && p->range.back)
        p->range.to = store_sort_decode(p->from.tuple);
    else if (!st)
        p->range.from = store_sort_decode(p->from.tuple);
    return st;
}

/* What the answer depends on besides the version; the key by its hash. */
static enum st bind_query(struct page *p, struct buf *query, const struct api_request *request)
{
    char hex[2 * STORE_KEY_BYTES + 1], what[sizeof hex + 8];

    digest_hex(hex, p->key, STORE_KEY_BYTES);
    snprintf(what, sizeof what, "series/%s", hex);
    api_cursor_query(query, request, what);
    enum st st = buf_status(query);
    if (!st)
        st = api_cursor_sum(p->next.check, p->served, query->data);
    p->next.version = p->served->version;
    if (!st && api_query(request, "cursor"))
        st = take_cursor(p);
    return st;
}

static void add_head(const struct page *p)
{
    buf_addf(p->out, "{\"dataset\":\"%s\",\"version\":%llu,", p->served->dataset,
             (unsigned long long)p->served->version);
}

static enum st add_items(struct page *p, unsigned slot)
{
    const struct store_served *d = p->served;
    enum st st = ST_OK;

    buf_addstr(p->out, "\"items\":[");
    if (!p->empty)
        st = store_series_each(d->segments, d->segment_count, slot, p->key, &p->range, visit, p);
    if (st)
        return st;
    buf_addstr(p->out, "],\"next\":");
    if (p->next.tuple_len == 0) {
        buf_addstr(p->out, "null,\"complete\":true}");
        return ST_OK;
    }
    buf_addch(p->out, '"');
    api_cursor_write(p->out, &p->next);
    buf_addstr(p->out, "\",\"complete\":false}");
    return ST_OK;
}

/* The version, and that it has series. */
static enum st begin(struct page *p, struct api_request *request)
{
    const char *cursor = api_query(request, "cursor");
    enum st st = cursor ? api_cursor_parse(&p->from, cursor) : ST_OK;

    request->page_version = p->from.version; /* the pages of one answer are of one version */
    if (!st)
        st = api_dataset(&p->served, request);
    if (!st && !p->served->definition->key.sort)
        st = st_hint(st_fail(ST_CONFLICT, "NOT_A_SERIES",
                             "a key of this dataset has one record, and no series"),
                     "\"sort\" in the definition's key makes it one; look the record up");
    return st;
}

/* Is there any record of the key, in whatever range? */
static enum st find(bool *match, const struct page *p, struct api_request *request)
{
    const void *row;
    size_t row_len;
    enum st st = store_served_get(p->served, request->slot, p->key, &row, &row_len);

    *match = st == ST_OK;
    if (st && st != ST_NOT_FOUND)
        return st;
    unsigned char found = *match;
    st = api_note_lookup(request, p->served, p->key, &found, 1);
    if (!st)
        api_count_lookups(request, *match, !*match);
    return st;
}

enum st api_op_get_series(struct api_reply *reply, struct api_request *request)
{
    struct page p = {.out = &reply->body};
    const char *cursor = api_query(request, "cursor");
    struct buf query;
    bool match = false;
    enum st st = begin(&p, request);

    buf_init(&query, QUERY_MAX);
    if (!st)
        st = api_path_key(p.key, p.served, request);
    if (!st)
        st = read_range(&p, request);
    if (!st)
        st = bind_query(&p, &query, request);
    if (!st)
        st = find(&match, &p, request);
    if (!st && !match)
        st = st_fail(ST_NOT_FOUND, "RECORD_NOT_FOUND", "there is no record of this key");
    buf_addf(&query, "&limit=%lld", (long long)p.limit);
    if (!st)
        st = buf_status(&query);
    if (!st)
        api_version_headers(reply, p.served);
    if (!st && !api_etag(reply, request, p.served, query.data, cursor ? cursor : "")) {
        add_head(&p);
        st = add_items(&p, request->slot);
    }
    buf_release(&query);
    return st;
}

enum st api_op_lookup_series(struct api_reply *reply, struct api_request *request)
{
    struct page p = {.out = &reply->body};
    struct store_hasher *hasher;
    struct buf query;
    bool match = false;
    enum st st = begin(&p, request);

    buf_init(&query, QUERY_MAX);
    if (!st)
        st = store_served_hasher(&hasher, p.served, request->slot);
    if (!st)
        st = api_key_read(p.key, hasher, request->body ? request->body : "", request->body_len);
    if (!st)
        st = api_guess_check(request, p.served, p.key, store_hasher_base(hasher), 1);
    if (!st)
        st = read_range(&p, request);
    if (!st)
        st = bind_query(&p, &query, request);
    if (!st)
        st = find(&match, &p, request);
    buf_release(&query);
    if (st)
        return st;
    api_version_headers(reply, p.served);
    add_head(&p);
    buf_addf(p.out, "\"outcome\":\"%s\",", match ? "match" : "no_match");
    return add_items(&p, request->slot);
}

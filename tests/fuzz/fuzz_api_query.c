/* Request targets from nobody. The first byte is the method (bits 0, 1 and 3) and whether the
 * rollup has a time (bit 2); the rest is the target, up to a NUL. What is routed keeps the
 * contract's bounds, lies in the target's room, and is routed alike when every byte of its
 * parameters is escaped; the query of a rollup has values that its dimensions can have. What is
 * refused has a problem document. */
#include "api/cursor.h"
#include "api/internal.h"
#include "api/rollup_query.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const METHODS[] = {"GET", "HEAD", "POST", "DELETE", "PUT", "get", "OPTIONS", ""};

struct routed {
    struct api_request request;
    struct api_target target;
    char allow[64];
};

static void require(bool held)
{
    if (!held)
        abort();
}

/* The problem document of a refusal is JSON, and not the one that stands in for a message that
 * could not be written. */
static void check_problem(const struct api_request *request, enum st st)
{
    struct api_reply reply;
    const char *detail = NULL;
    json_t *problem = NULL;

    api_reply_init(&reply);
    api_problem(&reply, request, st);
    require(reply.status >= 400 && reply.status < 500);
    require(jx_parse_object(&problem, reply.body.data, reply.body.len) == ST_OK);
    require(jx_need_string(&detail, problem, "", "detail") == ST_OK);
    require(strcmp(detail, st_message()) == 0);
    json_decref(problem);
    api_reply_release(&reply);
}

/* ---- routing ---- */

static void check_text(const struct routed *r, const char *text)
{
    require(text >= r->target.text && text + strlen(text) < r->target.text + r->target.len);
}

static void check_bounds(const struct api_param *p, const char *value)
{
    if (p->type == API_INTEGER) {
        require(*value && strspn(value, "0123456789") == strlen(value));
        require(strtoll(value, NULL, 10) >= p->min && strtoll(value, NULL, 10) <= p->max);
    } else if (p->type == API_BOOLEAN) {
        require(!*value || strcmp(value, "true") == 0 || strcmp(value, "false") == 0);
    } else {
        require((int64_t)strlen(value) >= p->min && (int64_t)strlen(value) <= p->max);
    }
}

static void check_pair(const struct routed *r, const struct api_pair *pair)
{
    const struct api_route *route = r->request.route;
    bool known = false;

    check_text(r, pair->name);
    check_text(r, pair->value);
    require(strlen(pair->value) == pair->value_len);
    require(api_query(&r->request, pair->name) == pair->value); /* no name is there twice */
    for (size_t i = 0; i < route->query_param_count; i++)
        if (strcmp(route->query_params[i].name, pair->name) == 0) {
            check_bounds(&route->query_params[i], pair->value);
            known = true;
        }
    require(known || route->free_query);
}

static void check_routed(const struct routed *r, const char *method)
{
    const struct api_route *route = r->request.route;

    require(route != NULL);
    require(strcmp(route->method, method) == 0 ||
            (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0));
    require(r->target.len <= sizeof r->target.text && r->request.query_count <= API_QUERY_MAX);
    for (size_t i = 0; i < route->path_param_count; i++) {
        check_text(r, r->request.path_params[i]);
        check_bounds(&route->path_params[i], r->request.path_params[i]);
    }
    for (size_t i = 0; i < r->request.query_count; i++)
        check_pair(r, &r->request.query[i]);
}

static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_addf(out, "%%%02X", (unsigned char)*text);
}

/* The same request, spelled with nothing but escapes. */
static void spell(struct buf *out, const struct api_request *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->route->segment_count; i++) {
        buf_addch(out, '/');
        if (r->route->segments[i])
            buf_addstr(out, r->route->segments[i]);
        else
            add_escaped(out, r->path_params[n++]);
    }
    for (size_t i = 0; i < r->query_count; i++) {
        buf_addch(out, i ? '&' : '?');
        add_escaped(out, r->query[i].name);
        buf_addch(out, '=');
        add_escaped(out, r->query[i].value);
    }
    require(buf_status(out) == ST_OK);
}

static void check_spelled(const struct routed *r, const char *method)
{
    static struct routed again;
    const struct api_request *a = &r->request, *b = &again.request;
    struct buf text;

    buf_init(&text, 8 * sizeof r->target.text);
    spell(&text, a);
    /* Escapes are longer than what they stand for, and room is kept for them. */
    enum st st = api_route_match(&again.request, &again.target, again.allow, method, text.data);
    buf_release(&text);
    if (st == ST_TOO_LARGE && r->target.len > sizeof r->target.text / 4)
        return;
    require(st == ST_OK && a->route == b->route && a->query_count == b->query_count);
    for (size_t i = 0; i < a->route->path_param_count; i++)
        require(strcmp(a->path_params[i], b->path_params[i]) == 0);
    for (size_t i = 0; i < a->query_count; i++)
        require(strcmp(a->query[i].name, b->query[i].name) == 0 &&
                strcmp(a->query[i].value, b->query[i].value) == 0);
}

/* ---- the query of a rollup ---- */

static struct store_rollup rollup(bool has_time)
{
    static const struct store_field FIELDS[] = {
        {"bool", STORE_BOOLEAN}, {"tiny", STORE_TINYINT},  {"small", STORE_SMALLINT},
        {"int", STORE_INTEGER},  {"big", STORE_BIGINT},    {"text", STORE_VARCHAR},
        {"date", STORE_DATE},    {"when", STORE_TIMESTAMP}};
    struct store_rollup r = {.name = "fuzz", .dimension_count = STORE_DIMENSIONS_MAX};

    memcpy(r.dimensions, FIELDS, sizeof FIELDS);
    r.bucket = has_time ? STORE_BUCKET_HOUR : STORE_BUCKET_NONE;
    r.time = (struct store_field){"time", STORE_TIMESTAMP};
    return r;
}

/* Written as JSON and read again, quotes aside, it is the same. */
static void check_value(enum store_type type, const struct store_value *v)
{
    struct store_value again;
    struct buf text;

    if (type == STORE_VARCHAR) {
        require(utf8_is_valid(v->as.text.bytes, v->as.text.len));
        return;
    }
    buf_init(&text, 64);
    store_value_json(&text, type, v);
    require(buf_status(&text) == ST_OK);
    size_t quote = text.data[0] == '"';
    require(store_value_parse(&again, type, text.data + quote, text.len - 2 * quote) == ST_OK);
    require(again.as.i == v->as.i);
    buf_release(&text);
}

static void check_query(const struct api_rollup_query *q, const struct store_rollup *r)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1] = {0};
    struct buf tuple;

    require(q->limit >= 1 && q->limit <= 1000);
    require(r->bucket != STORE_BUCKET_NONE || (!q->has_from && !q->has_to));
    for (size_t i = 0; i < r->dimension_count; i++) {
        values[i].null = !q->filtered[i];
        if (!q->filtered[i])
            continue;
        values[i] = q->filters[i];
        require(!values[i].null);
        check_value(r->dimensions[i].type, &values[i]);
    }
    values[r->dimension_count] = (struct store_value){.null = !q->has_from, .as.i = q->from};
    if (q->has_to)
        check_value(r->time.type, &(struct store_value){.as.i = q->to});
    buf_init(&tuple, 1u << 16);
    enum st st = store_tuple_encode(&tuple, r, values);
    require(st == ST_OK || st == ST_TOO_LARGE); /* text may be longer than any tuple */
    buf_release(&tuple);
}

static void check_cursor(const char *text)
{
    struct api_cursor cursor;
    struct buf again;

    if (api_cursor_parse(&cursor, text)) {
        require(strcmp(st_code(), "INVALID_CURSOR") == 0);
        return;
    }
    buf_init(&again, 2048);
    api_cursor_write(&again, &cursor);
    require(buf_status(&again) == ST_OK && strcmp(again.data, text) == 0);
    require(api_cursor_check(&cursor, cursor.version, cursor.check) == ST_OK);
    buf_release(&again);
}

static void read_rollup(const struct api_request *request, bool has_time)
{
    const struct store_rollup r = rollup(has_time);
    const char *cursor = api_query(request, "cursor");
    struct api_rollup_query q;
    enum st st = api_rollup_query_read(&q, &r, request);

    if (st) {
        require(st == ST_INVALID && strncmp(st_place_text(), "query/", 6) == 0);
        check_problem(request, st);
    } else {
        check_query(&q, &r);
        for (size_t i = 0; i < r.dimension_count; i++)
            require(q.filtered[i] == (api_query(request, r.dimensions[i].name) != NULL));
        require(q.has_from == (api_query(request, "from") != NULL));
        require(q.has_to == (api_query(request, "to") != NULL));
    }
    if (cursor)
        check_cursor(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct routed r;

    if (size < 1)
        return 0;
    const char *method = METHODS[(data[0] & 3) | (data[0] >> 1 & 4)];
    char *raw = strndup((const char *)data + 1, size - 1); /* a read beyond its end is seen */
    require(raw != NULL);
    memset(&r.target, 'x', sizeof r.target);
    enum st st = api_route_match(&r.request, &r.target, r.allow, method, raw);
    free(raw);
    if (st) {
        require(st == ST_NOT_FOUND || st == ST_METHOD || st == ST_INVALID || st == ST_TOO_LARGE);
        require(st != ST_METHOD || (r.allow[0] && (!*method || !strstr(r.allow, method))));
        check_problem(&r.request, st);
        return 0;
    }
    check_routed(&r, method);
    check_spelled(&r, method);
    if (strcmp(r.request.route->operation, "readRollup") == 0)
        read_rollup(&r.request, data[0] & 4);
    return 0;
}

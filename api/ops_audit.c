#include "api/helper.h"
#include "api/internal.h"
#include "auth/audit_search.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Searching the audit of one's own tenant, on a helper thread: it reads files. */

struct search {
    struct audit_query query;
    struct audit_place place;
};

static bool sees(const char *dataset, void *ctx)
{
    const struct auth_identity *id = ctx;

    return !id->datasets_listed || (dataset && auth_identity_sees_dataset(id, dataset));
}

/* "<time>.<chain>.<sequence>" */
static enum st take_cursor(struct audit_place *place, const char *cursor)
{
    unsigned long long sequence;
    int64_t at_us;
    int end = 0;

    if (!cursor)
        return ST_OK;
    if (strlen(cursor) > AUDIT_AT_TEXT + 2) {
        memcpy(place->at, cursor, AUDIT_AT_TEXT);
        if (clock_parse(&at_us, place->at) == ST_OK &&
            sscanf(cursor + AUDIT_AT_TEXT, ".%5u.%18llu%n", &place->chain, &sequence, &end) == 2 &&
            cursor[AUDIT_AT_TEXT + end] == '\0') {
            place->sequence = sequence;
            return ST_OK;
        }
    }
    return st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "this is not a cursor of ours"),
                    "query/cursor");
}

static enum st take_query(struct audit_query *q, const struct api_request *request)
{
    enum st st = ST_OK;

    *q = (struct audit_query){.limit = (size_t)api_query_limit(request),
                              .max_bytes = AUDIT_SEARCH_BYTES,
                              .sees_fn = sees,
                              .sees_ctx = (void *)(uintptr_t)request->identity};
    for (size_t i = 0; !st && i < AUDIT_PARAMETERS; i++) {
        const char *name = audit_parameter(i);
        st = audit_query_set(q, i, api_query(request, name));
        if (st)
            st = st_place(st_wrap(st, "\"%s\"", name), "query/%s", name);
    }
    return st;
}

enum st api_op_list_audit(struct api_reply *reply, struct api_request *request, struct store *s,
                          struct store_wait *wait)
{
    struct search *search = calloc(1, sizeof *search);

    (void)reply;
    (void)s;
    (void)wait;
    if (!search)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    enum st st = take_query(&search->query, request);
    if (!st)
        st = take_cursor(&search->place, api_query(request, "cursor"));
    if (st)
        free(search);
    else
        request->work = search;
    return st;
}

enum st api_op_list_audit_later(struct api_reply *reply, struct api_request *request)
{
    struct search *search = request->work;
    char directory[FS_PATH_MAX], next[64];
    json_t *items = NULL;
    bool more = false;
    enum st st = fs_path(directory, "%s/audit", request->server->options.store.data_dir);

    request->work = NULL;
    if (!st)
        st = audit_search(&items, &more, &search->place, directory, request->identity->tenant,
                          &search->query, api_go_on, request);
    snprintf(next, sizeof next, "%s.%u.%llu", search->place.at, search->place.chain,
             (unsigned long long)search->place.sequence);
    free(search);
    if (st)
        return st;
    api_reply_text(reply, "Cache-Control", "no-store");
    return api_list(reply, items, more ? next : NULL);
}

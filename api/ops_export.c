#include "api/export.h"
#include "api/export_file.h"
#include "api/helper.h"
#include "api/internal.h"
#include "api/negotiate.h"

#include <stdlib.h>
#include <string.h>

/* A version for analysts: found on the catalog thread, verified on a helper thread. Text is made
 * while it is sent (api/export.h); Parquet is a file before that (api/export_file.h). */

static const struct {
    const char *name, *content_type;
    enum store_export_format format; /* of text */
} FORMATS[] = {
    {"csv", "text/csv", STORE_EXPORT_CSV},
    {"ndjson", "application/x-ndjson", STORE_EXPORT_NDJSON},
    {"parquet", "application/vnd.apache.parquet", 0},
};
#define FORMAT_COUNT (sizeof FORMATS / sizeof FORMATS[0])
#define PARQUET 2

/* What the query says, else what Accept likes best, else CSV. */
static size_t format_of(const struct api_request *request)
{
    const char *name = api_query(request, "format");
    size_t i = 0, best = 0;

    if (name) {
        while (i < FORMAT_COUNT && strcmp(FORMATS[i].name, name) != 0)
            i++;
        return i;
    }
    for (i = 1; i < FORMAT_COUNT; i++)
        if (api_weight_type(request->accept, FORMATS[i].content_type) >
            api_weight_type(request->accept, FORMATS[best].content_type))
            best = i;
    return best;
}

/* Until the answer is sent: each keeps a version's files, or one of its own, on the disk. */
static enum st take_place(struct api_request *request)
{
    if (!request->exports)
        request->exports =
            api_places_take(&request->place, &request->server->exports, request->identity->tenant);
    return request->exports
               ? ST_OK
               : st_hint(st_fail(ST_UNAVAILABLE, "BUSY", "too many exports are being sent"),
                         "try again when one of them has ended");
}

static enum st check(struct api_request *request)
{
    size_t format = format_of(request);

    if (format == FORMAT_COUNT)
        return st_place(st_fail(ST_INVALID, "INVALID_PARAMETER",
                                "\"format\" is \"csv\", \"ndjson\" or \"parquet\""),
                        "query/format");
    if (format == PARQUET && !request->server->run_name)
        return st_hint(st_fail(ST_CONFLICT, "NEEDS_SERVER", "without a server there is no Parquet"),
                       "everline export %s --format parquet --output FILE",
                       request->path_params[0]);
    return take_place(request);
}

enum st api_op_export_version(struct api_reply *reply, struct api_request *request, struct store *s,
                              struct store_wait *wait)
{
    struct store_export *e = NULL;
    uint64_t version = 0;
    int64_t as_of_us = 0;
    enum st st = api_visible(request);

    (void)reply;
    (void)wait;
    if (!st)
        st = check(request);
    if (!st)
        st = api_asked_version(&version, &as_of_us, request);
    if (!st)
        st = api_hide_name(store_export_begin(&e, s, request->identity->tenant,
                                              request->path_params[0], version, as_of_us));
    if (!st)
        st = api_may_read(request, store_export_version(e), store_export_state(e));
    if (!st)
        st = api_check_purpose(request, store_export_definition(e));
    if (!st)
        api_act_says(request, store_export_version(e), NULL);
    if (st) {
        store_export_free(e);
        e = NULL;
    }
    request->work = e;
    return st;
}

enum st api_op_export_version_later(struct api_reply *reply, struct api_request *request)
{
    struct store_export *e = request->work;
    size_t i = format_of(request);
    enum st st = i == PARQUET ? api_export_file(&reply->file, request, e)
                              : store_export_open(e, api_go_on, request);

    request->work = NULL;
    if (st) {
        store_export_free(e);
        return st;
    }
    const struct store_definition *d = store_export_definition(e);
    api_version_headers_of(reply, store_export_version(e), store_export_state(e),
                           d->key.protect != STORE_PROTECT_NONE);
    api_reply_header(reply, "Content-Disposition", "attachment; filename=\"%s.%llu.%s\"", d->name,
                     (unsigned long long)store_export_version(e), FORMATS[i].name);
    reply->content_type = FORMATS[i].content_type;
    reply->by_type = !api_query(request, "format");
    if (i == PARQUET) {
        store_export_free(e);
        return ST_OK;
    }
    reply->export = e;
    reply->export_format = FORMATS[i].format;
    return ST_OK;
}

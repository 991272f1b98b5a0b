#include "api/helper.h"
#include "api/internal.h"
#include "store/diff.h"

#include <stdlib.h>
#include <string.h>

/* The diff of two versions: found on the catalog thread, read on a helper thread. */

static const char *const ROLLUPS_ONLY = "rollups_only";

enum st api_op_diff_versions(struct api_reply *reply, struct api_request *request, struct store *s,
                             struct store_wait *wait)
{
    const char *from = api_query(request, "from");
    struct store_diff *d = NULL;
    enum st st = api_visible(request);

    (void)reply;
    (void)wait;
    if (!st && !from)
        st = st_place(st_fail(ST_INVALID, "MISSING_PARAMETER",
                              "\"from\" is missing: the version to compare with"),
                      "query/from");
    if (!st)
        st = api_hide_name(store_diff_begin(&d, s, request->identity->tenant,
                                            request->path_params[0], strtoull(from, NULL, 10),
                                            strtoull(request->path_params[1], NULL, 10)));
    request->work = d;
    return st;
}

static enum st go_on(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    (void)phase;
    (void)done;
    (void)total;
    return api_go_on(ctx);
}

enum st api_op_diff_versions_later(struct api_reply *reply, struct api_request *request)
{
    const char *rollups_only = api_query(request, ROLLUPS_ONLY);
    struct store_diff *d = request->work;

    request->work = NULL;
    enum st st =
        store_diff_run(d, rollups_only && strcmp(rollups_only, "false") != 0, go_on, request);
    if (!st)
        store_diff_json(&reply->body, d);
    api_reply_text(reply, "Cache-Control", "no-store");
    store_diff_free(d);
    return st;
}

#include "api/act.h"
#include "api/internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One GET without a server: the same routes and handlers, with the reading scopes of an operator
 * who has the data directory anyway. */

struct local {
    struct api_reply *reply;
    struct api_request *request;
};

static void run_local(struct store *s, struct store_wait *wait, void *ctx)
{
    struct local *l = ctx;

    api_run_control(l->reply, l->request, s, wait);
}

static void open_local(struct store *s, struct store_wait *wait, void *ctx)
{
    struct local *l = ctx;

    (void)s;
    *wait = l->request->pin;
}

static void run_on_catalog_thread(struct api_server *server, struct local *l,
                                  void (*run_fn)(struct store *s, struct store_wait *wait,
                                                 void *ctx))
{
    enum st st = store_keeper_call(server->keeper, run_fn, l);

    if (st)
        api_problem(l->reply, l->request, st);
}

static void run_in_view(struct api_server *server, struct local *l)
{
    l->request->view = store_view_enter(server->keeper, 0);
    api_run_data(l->reply, l->request);
    store_view_leave(server->keeper, 0);
}

static void answer(struct api_server *server, struct api_reply *reply, struct api_request *request,
                   const char *target_text)
{
    struct local l = {.reply = reply, .request = request};
    struct api_target *target = malloc(sizeof *target);
    char allow[64];
    enum st st = target ? api_route_match(request, target, allow, "GET", target_text)
                        : st_fail(ST_NOMEM, NULL, "out of memory");

    if (st) {
        api_problem(reply, request, st);
    } else if (request->route->control) {
        run_on_catalog_thread(server, &l, run_local);
        if (request->work)
            api_run_later(reply, request);
    } else {
        run_in_view(server, &l);
        if (request->pin.version) { /* a kept version: opened, then read */
            api_reply_release(reply);
            api_reply_init(reply);
            run_on_catalog_thread(server, &l, open_local);
            if (reply->status == 200)
                run_in_view(server, &l);
        }
    }
    free(target);
}

/* ---- an export, which is in the audit like any other ---- */

struct export_act {
    struct act act;
    const char *tenant;
    struct audit_record record;
    struct st_report report;
};

static void begin_export(struct store *s, struct store_wait *wait, void *ctx)
{
    struct export_act *a = ctx;

    (void)wait;
    st_save(&a->report, act_begin(&a->act, s, a->tenant, &a->record));
}

static void end_export(struct store *s, struct store_wait *wait, void *ctx)
{
    struct export_act *a = ctx;

    (void)s;
    (void)wait;
    st_save(&a->report, act_end(&a->act, a->report.status ? st_restore(&a->report) : ST_OK));
}

static enum st export_text(struct buf *out, const struct api_reply *reply)
{
    uint64_t count = 0;
    enum st st = store_export_text(out, &count, reply->export, reply->export_format, SIZE_MAX);

    if (st == ST_TOO_LARGE)
        return st_hint(st, "everline export writes it into a file");
    return st == ST_END ? ST_OK : st;
}

static enum st add_export(struct buf *out, const struct api_reply *reply, const char *tenant,
                          struct store_keeper *keeper)
{
    struct export_act a = {.act = {.lock = -1},
                           .tenant = tenant,
                           .record = {.event = "exportVersion",
                                      .dataset = store_export_definition(reply->export)->name,
                                      .version = store_export_version(reply->export)}};
    enum st st = store_keeper_call(keeper, begin_export, &a);

    if (st)
        return st;
    if (!a.report.status)
        st_save(&a.report, export_text(out, reply));
    st = store_keeper_call(keeper, end_export, &a);
    return st || !a.report.status ? st : st_restore(&a.report);
}

enum st api_get(struct buf *out, unsigned *status, const struct store_options *store,
                const char *tenant, const char *target)
{
    struct auth_identity identity = {.scopes =
                                         AUTH_DATA_READ | AUTH_ANALYTICS_READ | AUTH_AUDIT_READ};
    struct api_server server = {.options = {.store = *store, .workers = 1},
                                .exports =
                                    API_PLACES_INIT(API_EXPORTS_MAX, API_EXPORTS_OF_TENANT_MAX)};
    struct api_request request = {.identity = &identity,
                                  .server = &server,
                                  .request_id = "local",
                                  .socket = -1,
                                  .now_us = clock_wall_us()};
    struct api_reply reply;
    enum st st = store_name_check("tenant", tenant);

    if (st)
        return st;
    snprintf(identity.tenant, sizeof identity.tenant, "%s", tenant);
    api_reply_init(&reply);
    st = api_start_keeper(&server, 1);
    if (!st) {
        const struct store_view *view = store_view_enter(server.keeper, 0);
        bool known = store_view_tenant(view, tenant) != NULL;
        store_view_leave(server.keeper, 0);
        if (!known)
            st = st_fail(ST_NOT_FOUND, "UNKNOWN_TENANT", "there is no tenant \"%s\"", tenant);
    }
    if (!st) {
        answer(&server, &reply, &request, target);
        *status = reply.status;
        if (reply.fixed)
            buf_add(out, reply.fixed->bytes, reply.fixed->len);
        else
            buf_add(out, reply.body.data ? reply.body.data : "", reply.body.len);
        st = reply.export ? add_export(out, &reply, tenant, server.keeper) : buf_status(out);
    }
    api_reply_release(&reply);
    store_keeper_stop(server.keeper);
    metrics_free(server.metrics);
    return st;
}

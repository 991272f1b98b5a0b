#include "api/internal.h"

#include "api_openapi.h"

#include <string.h>

#define REASONS_MAX 32 /* codes that there are: fewer */

enum st api_op_livez(struct api_reply *reply, struct api_request *request)
{
    (void)request;
    buf_addstr(&reply->body, "{\"status\":\"ok\"}");
    return ST_OK;
}

/* How many are unavailable for which reason. */
static void add_reasons(struct buf *b, const struct store_view *view)
{
    struct {
        const char *code;
        unsigned count;
    } reasons[REASONS_MAX] = {{NULL, 0}};
    const struct store_served *d;

    for (size_t i = 0; (d = store_view_dataset_at(view, i)); i++)
        for (size_t j = 0; d->unavailable && j < REASONS_MAX; j++) {
            if (reasons[j].code && strcmp(reasons[j].code, d->unavailable_code) != 0)
                continue;
            reasons[j].code = d->unavailable_code;
            reasons[j].count++;
            break;
        }
    buf_addstr(b, ",\"reasons\":{");
    for (size_t j = 0; j < REASONS_MAX && reasons[j].code; j++)
        buf_addf(b, "%s\"%s\":%u", j ? "," : "", reasons[j].code, reasons[j].count);
    buf_addch(b, '}');
}

/* Probes carry no token: they learn how many datasets and tenants are in trouble and why, not
 * which. The log names them. */
static void add_counts(struct api_reply *reply, const struct api_request *request)
{
    const struct api_keys *keys = store_view_extension(request->view);
    const struct store_served *d;
    struct auth_jwks_state jwks = {0};
    unsigned unavailable = 0;
    struct buf why;
    size_t lines = 0;

    for (size_t i = 0; (d = store_view_dataset_at(request->view, i)); i++)
        unavailable += d->unavailable != NULL;
    buf_init(&why, 64u << 10);
    store_keeper_ready(request->server->keeper, &why);
    for (size_t i = 0; i < why.len; i++)
        lines += why.data[i] == '\n';
    buf_release(&why);
    if (request->server->jwks)
        auth_jwks_look(&jwks, request->server->jwks);
    buf_addf(&reply->body, ",\"jwks_sources\":%zu,\"jwks_failing\":%zu", jwks.sources,
             jwks.failing);
    buf_addf(&reply->body, ",\"damaged_segments\":%u",
             store_keeper_damaged_segments(request->server->keeper));
    buf_addf(&reply->body,
             ",\"late\":%zu,\"unavailable\":%u,\"bad_keys\":%u,\"catalog\":\"%s\","
             "\"configuration\":\"%s\"",
             lines > unavailable ? lines - unavailable : 0, unavailable, keys->bad,
             store_keeper_catalog_damaged(request->server->keeper) ? "damaged" : "ok",
             atomic_load(&request->server->settings_failed) ? "failed" : "ok");
    add_reasons(&reply->body, request->view);
}

/* Who has just started refuses tokens that are right until each issuer was asked and its keys are
 * in the view. Afterwards a new tenant's issuer can be as slow as it likes. */
static bool has_asked_issuers(const struct api_request *request)
{
    struct api_server *server = request->server;
    const struct api_keys *keys = store_view_extension(request->view);
    struct auth_jwks_state state = {.settled = true};

    if (server->jwks && !atomic_load(&server->issuers_asked)) {
        auth_jwks_look(&state, server->jwks);
        state.settled &= keys->generation == atomic_load(&server->keys_generation);
        atomic_store(&server->issuers_asked, state.settled);
    }
    return state.settled;
}

enum st api_op_readyz(struct api_reply *reply, struct api_request *request)
{
    const char *verbose = api_query(request, "verbose");
    bool stopping = atomic_load(&request->server->stopping);
    bool ready = !stopping && store_keeper_ready(request->server->keeper, NULL) &&
                 has_asked_issuers(request);

    buf_addf(&reply->body, "{\"status\":\"%s\"",
             stopping ? "stopping"
             : ready  ? "ok"
                      : "not_ready");
    if (verbose && strcmp(verbose, "false") != 0)
        add_counts(reply, request);
    buf_addch(&reply->body, '}');
    reply->status = ready ? 200 : 503;
    return ST_OK;
}

enum st api_op_get_contract(struct api_reply *reply, struct api_request *request)
{
    (void)request;
    reply->fixed = &API_OPENAPI;
    return ST_OK;
}

enum st api_op_get_metrics(struct api_reply *reply, struct api_request *request)
{
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_set(request->server->counts.in_flight, 0, atomic_load(&request->server->in_flight));
    metrics_render(request->server->metrics, &reply->body);
    return ST_OK;
}

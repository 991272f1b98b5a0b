#include "api/connection.h"

#include "api/followers.h"
#include "base/clock.h"

#include <stdlib.h>

/* The one file that queues responses. */

/* All of them, or there is no answer: without Cache-Control it could be kept where it must not be.
 */
static bool add_headers(struct MHD_Response *response, const struct api_exchange *x)
{
    const struct api_reply *reply = &x->reply;
    const char *type = reply->content_type ? reply->content_type : "application/json";
    bool added = MHD_add_response_header(response, "X-Request-Id", x->request.request_id);

    if (reply->status != 304)
        added = added && MHD_add_response_header(response, "Content-Type", type);
    for (size_t i = 0; i < reply->header_count; i++)
        added = added &&
                MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (x->close || atomic_load(&x->server->stopping))
        added = added && MHD_add_response_header(response, "Connection", "close");
    return added;
}

static struct MHD_Response *whole(struct api_reply *reply)
{
    if (reply->fixed)
        return MHD_create_response_from_buffer(reply->fixed_len, (void *)(uintptr_t)reply->fixed,
                                               MHD_RESPMEM_PERSISTENT);

    if (reply->body.status) /* not even a problem could be written */
        return NULL;
    size_t len = reply->status == 304 ? 0 : reply->body.len;
    char *body = buf_take(&reply->body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body ? len : 0, body, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(body);
    return response;
}

static struct MHD_Response *stream(struct api_exchange *x)
{
    return api_follow(x->server->followers, x->connection, x->identity.tenant, x->reply.follow,
                      x->reply.body.data);
}

enum MHD_Result api_reply_queue(struct api_exchange *x)
{
    struct MHD_Response *response = *x->reply.follow ? stream(x) : whole(&x->reply);

    if (!response || !add_headers(response, x)) {
        MHD_destroy_response(response);
        return MHD_NO; /* the connection is closed */
    }
    api_metrics_count(&x->server->counts, x->request.route, x->reply.status,
                      clock_steady_ns() - x->start_ns);
    enum MHD_Result queued = MHD_queue_response(x->connection, x->reply.status, response);
    MHD_destroy_response(response);
    return queued;
}

/* From libmicrohttpd's callbacks to a request and its reply. */
#ifndef EVERLINE_API_CONNECTION_H
#define EVERLINE_API_CONNECTION_H

#include "api/head.h"
#include "api/internal.h"
#include "api/links.h"
#include "api/pool.h"
#include "api/responses.h"

#include <microhttpd.h>

/* Bytes of a refused body that are read and forgotten, so that its client, which may still be
 * sending, gets the answer: more than any body that the contract takes, so that who was a little
 * over a limit is told. One whose Content-Length is over it is answered at once, and the connection
 * closed, which a client that still sends can take for a failure. A chunked one tells its size only
 * while it comes, and nothing can be answered in its middle: over this the connection is closed
 * without an answer. */
#define API_BODY_DRAIN_MAX (2u << 20)

enum exchange_state {
    EXCHANGE_NEW,     /* the head has not been looked at */
    EXCHANGE_BODY,    /* the body is read, or drained when `refused` */
    EXCHANGE_RUNNING, /* suspended: another thread works on it */
    EXCHANGE_DONE,    /* `reply` is complete */
};

struct api_exchange {
    struct api_server *server;
    const struct api_listener *listener;
    const struct api_settings *settings; /* in force when it began */
    struct MHD_Connection *connection;
    struct api_link *link;
    struct api_response *response;     /* that the connection has been given; or NULL */
    _Atomic enum exchange_state state; /* what one thread did to the rest, the next one sees */
    struct api_head head;
    struct buf body; /* of a streamed one: the piece that is not written yet */
    bool streamed, is_arriving;
    uint64_t upload_most, arrived; /* bytes: of all of the tenant's, 0: any; of this one */
    struct api_exchange *next_arriving;
    struct api_work work; /* the pool's */
    bool prepared;        /* what comes before its handler has been done */
    struct api_repeat repeat;
    struct store_task task;
    uint64_t start_ns, drained;
    unsigned opened; /* how often a kept version was opened for it */
    bool refused;    /* `reply` is there already, mostly a problem: the handler does not run */
    bool options;    /* it answers OPTIONS */
    bool bodiless;   /* it answers HEAD */
    bool close;
    bool counted;
    char *raw; /* the request target as it was sent */

    /* Large, and written before they are read: not zeroed for each request. */
    struct api_request request;
    struct api_reply reply;
    char allow[64]; /* the methods of the path, when the one that was sent is none of them */
    struct auth_identity identity;
    struct api_target target;
    struct api_act act;
    struct store_incoming received; /* the body of a streamed request; begins without a directory */
};

/* Suspends the connection for another thread. False: the server has all but stopped, and the
 * request is refused. */
bool api_exchange_suspend(struct api_exchange *x);
/* From that thread, as the last thing it does with the exchange. */
void api_exchange_resume(struct api_exchange *x, enum exchange_state state);

/* Who asks: api_client_address of its connection and head. */
void api_exchange_client(struct sockaddr_in6 *out, const struct api_exchange *x);

/* The only place that queues responses. Leaves the exchange's body empty. */
enum MHD_Result api_reply_queue(struct api_exchange *x);

/* libmicrohttpd's callbacks; cls is the struct api_server, but of the first the listener. */
void *api_on_uri(void *cls, const char *uri, struct MHD_Connection *connection);
enum MHD_Result api_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls);
void api_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                      enum MHD_RequestTerminationCode code);
size_t api_on_unescape(void *cls, struct MHD_Connection *connection, char *s);

#endif

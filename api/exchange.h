/* One request and its reply, as handlers see them: nothing of libmicrohttpd. A handler returns a
 * status and fills the reply; on a failure its report becomes a problem document (api/problem.h).
 * Everything that comes before a handler (routing, token, scope, parameter types, body size and
 * media type) has been decided by the generated route table when it runs. */
#ifndef EVERLINE_API_EXCHANGE_H
#define EVERLINE_API_EXCHANGE_H

#include "api/trace.h"
#include "auth/limits.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/status.h"
#include "store/export.h"
#include "store/keeper.h"
#include "store/rollup.h"
#include "store/upload.h"

#define API_PATH_PARAMS_MAX 4
#define API_QUERY_MAX 32
#define API_HEADERS_MAX 16
/* Of the values of one answer, NULs included. The longest is a page of CSV: its cursor has two
 * digits for each byte of a tuple, and 40 bytes beside; the limit headers have 192 at most, the
 * request id and the trace 121, Vary 64, the tag 35 and then 40 more for that by gzip, Date 30; the
 * other six, such as Content-Type, have 26 or less: 680 in all. */
#define API_HEADER_BYTES (2 * STORE_TUPLE_MAX + 800)
#define API_REQUEST_ID_SIZE 65
#define API_REASON_MAX 1000 /* bytes */

struct api_follower;
struct api_repeat;
struct api_route; /* generated */

struct api_pair {
    const char *name;
    const char *value; /* decoded, NUL-terminated; value_len says if a NUL is inside */
    size_t value_len;
};

/* What the audit learns of an act from its handler. */
struct api_act {
    bool repeated;    /* it was done before: an Idempotency-Key (api/repeat.h) */
    uint64_t version; /* 0: none */
    char target[STORE_NAME_SIZE];
    char reason[API_REASON_MAX + 1];
};

/* The limit that is nearest, as answers tell it. */
struct api_quota {
    const char *who; /* "tenant" or "subject"; NULL: there is none */
    uint64_t allowed;
    uint32_t window_s;
    struct auth_quota state;
};

struct api_request {
    const struct api_route *route;
    const struct auth_identity *identity;         /* NULL on public routes */
    unsigned tenant_class;                        /* of the metrics' label; 0: of no tenant */
    const char *path_params[API_PATH_PARAMS_MAX]; /* in the order of the path; decoded once */
    size_t query_count;
    const char *body;
    size_t body_len;
    const char *if_match; /* header values, or NULL */
    const char *if_none_match;
    const char *accept;
    const char *idempotency_key;
    struct api_repeat *repeat; /* of one that counts; NULL: there is none */
    const char *purpose;       /* X-Purpose, or NULL */
    char address[46];          /* the client's, as text; "" where there is none */
    struct api_quota quota;
    uint64_t keys, matches;          /* that were looked up for the answer */
    struct api_act *act;             /* of an act that is audited: what its handler says of it */
    struct store_incoming *received; /* the body of a streamed request, synced; or NULL */
    char request_id[API_REQUEST_ID_SIZE];
    char trace[API_TRACE_SIZE];         /* the traceparent of our span; or "" */
    unsigned slot;                      /* the worker's */
    const struct store_view *view;      /* entered; NULL in a control handler */
    const struct store_served *current; /* of the dataset that api_dataset found; inside the view */
    uint64_t page_version;              /* of the page before, when its cursor was sent; else 0 */
    struct store_wait pin;              /* `version` not 0: what must be opened to answer */
    struct store_move_progress move;    /* of a move, from one run of its handler to the next */
    struct api_server *server;          /* metrics, readiness, limits */
    void *work;    /* what a control handler leaves to its long part; or NULL */
    int socket;    /* the client's, in a long part; -1: there is none */
    size_t helper; /* that its long part has */
    bool exports;  /* it has a place among the exports, until its answer is sent: */
    size_t place;
    int64_t now_us;                       /* when its head had come, and then when it was whole */
    struct api_pair query[API_QUERY_MAX]; /* large: not zeroed for each request */
};

/* Bytes that are part of the program, the same by gzip, and their entity tag. */
struct api_fixed {
    const unsigned char *bytes;
    size_t len;
    const unsigned char *gzip;
    size_t gzip_len;
    const char *tag;
};

struct api_reply {
    unsigned status;          /* HTTP; 0 means 200 */
    const char *content_type; /* NULL: application/json */
    struct buf body;
    const struct api_fixed *fixed; /* instead of `body`, sent without a copy; or NULL */
    size_t header_count, header_text_len;
    bool packed;                   /* by gzip: api/reply.c's */
    bool by_type;                  /* Accept has decided about it */
    const char *lost_header;       /* had no room: the reply has failed; or NULL */
    struct api_follower *follower; /* the body goes on with its events; the reply's; or NULL */
    struct store_export *export;   /* is the body; the reply's; or NULL */
    enum store_export_format export_format;
    int file; /* is the body; the reply's; -1: there is none */
    /* Large: not zeroed for each request. */
    struct api_pair headers[API_HEADERS_MAX]; /* values copied by api_reply_header */
    char header_text[API_HEADER_BYTES];
};

/* `fmt` is printed into the reply; `name` is borrowed. One for which there is no room fails the
 * reply, whatever else it is given: without Cache-Control, say, it could be kept where it must not
 * be. */
void api_reply_header(struct api_reply *r, const char *name, const char *fmt, ...) ST_PRINTF(3, 4);
void api_reply_text(struct api_reply *r, const char *name, const char *value); /* as it is */

/* A data handler runs on the worker's thread inside a view and never blocks. */
typedef enum st (*api_data_fn)(struct api_reply *reply, struct api_request *request);

/* A control handler runs on the catalog thread; the connection is suspended meanwhile. What it
 * moved goes into `wait`. */
typedef enum st (*api_control_fn)(struct api_reply *reply, struct api_request *request,
                                  struct store *s, struct store_wait *wait);

/* What comes before a control operation's handler and takes long, on a thread of the pool
 * (api/pool.h); the connection is suspended. It asks api_go_on again and again. */
typedef enum st (*api_before_fn)(struct api_request *request);

/* The long part of a control operation, on a helper thread (api/helper.h): it runs when the
 * control handler has left `request->work`, which it takes; the connection stays suspended. It asks
 * api_go_on again and again. */
typedef enum st (*api_later_fn)(struct api_reply *reply, struct api_request *request);

const char *api_query(const struct api_request *r, const char *name); /* NULL: absent */

#endif

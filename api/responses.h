/* Responses of libmicrohttpd that are used again. One costs a dozen allocations, three for each of
 * its headers, a tenth of what a lookup takes outside the kernel. But the answers of one operation
 * are much alike: a worker keeps those that have been sent by the length of their bytes, which
 * cannot be changed, and gives the next answer of that length one of them, with its own bytes, and
 * with its own headers where they differ. Until then the last answer's bytes stay in memory, as
 * those of the segment do that it was made from; they hold no key and no token, and are wiped when
 * they go. */
#ifndef EVERLINE_API_RESPONSES_H
#define EVERLINE_API_RESPONSES_H

#include "api/exchange.h"

#include <microhttpd.h>

struct api_responses; /* one worker's */

struct api_response {
    struct MHD_Response *response;
    /* What follows is api/responses.c's. */
    bool is_sent; /* a connection has it, and it is not to be touched */
    char *body;
    size_t len, header_count;
    struct api_response_header {
        const char *name;
        char *value; /* libmicrohttpd's; NULL: there is none yet */
        size_t len;
    } headers[API_HEADERS_MAX];
};

enum st api_responses_new(struct api_responses **out) ST_MUST_USE;
void api_responses_free(struct api_responses *r); /* none may be sent; accepts NULL */

/* One with exactly these headers and bytes, its connection's until api_response_give. The names are
 * borrowed for ever. NULL: there is none just now, or it is too large to be kept. */
struct api_response *api_responses_take(struct api_responses *r, const struct api_pair *headers,
                                        size_t header_count, const char *body, size_t len);
/* The connection is done with it, or has never had it. Accepts NULL. */
void api_response_give(struct api_response *response);

#endif

/* The head of a request, judged before anything else looks at it: what libmicrohttpd lets through
 * and a proxy in front may read otherwise (RFC 9112 sections 5.1, 6.3; RFC 9110 section 5.3). */
#ifndef EVERLINE_API_HEAD_H
#define EVERLINE_API_HEAD_H

#include <stddef.h>
#include <stdint.h>

/* Header values that matter, borrowed; NULL: absent. */
struct api_head {
    const char *authorization, *content_type, *content_length, *transfer_encoding;
    const char *request_id, *if_match, *if_none_match, *content_encoding, *expect;
    const char *idempotency_key, *purpose, *accept, *accept_encoding, *origin;
    const char *forwarded, *x_forwarded_for, *traceparent;
    const char *host;
    unsigned authorizations, lengths, encodings, hosts, idempotency_keys; /* how many */
    const char *fault; /* NULL, or what is wrong with a header's name or value */
};

/* One header, in any order; `head` begins zeroed. `value` may be NULL (empty). */
void api_head_add(struct api_head *head, const char *name, size_t name_len, const char *value,
                  size_t value_len);

/* After the last header: NULL, or why the request is refused with 400 and the connection closed.
 * `target` is the request target as it was sent, `version` "HTTP/1.1" or an older one, which needs
 * no Host (RFC 9112 section 3.2). Static text. */
const char *api_head_fault(const struct api_head *head, const char *method, const char *target,
                           const char *version);

/* What Content-Length says, 0 without one; only after api_head_fault found none. */
uint64_t api_head_length(const struct api_head *head);

#endif

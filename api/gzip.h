/* gzip of whole answers. What this costs a request thread is bounded: larger bodies go as they
 * are. */
#ifndef EVERLINE_API_GZIP_H
#define EVERLINE_API_GZIP_H

#include "base/buf.h"

#include <stdbool.h>

#define API_GZIP_MAX (1u << 20) /* bytes of a body: about ten milliseconds */

/* What the entity tag of the compressed form ends with, inside its quotes (RFC 9110
 * section 8.8.3.3). */
#define API_GZIP_TAG "-gzip"

struct api_gzip; /* the memory of one thread for it */

/* Replaces `body` by its compressed form. *g is made when it is NULL. False: it stays as it is,
 * for it does not get smaller or there is no memory. */
bool api_gzip_body(struct buf *body, struct api_gzip **g);
void api_gzip_free(struct api_gzip *g); /* accepts NULL */

#endif

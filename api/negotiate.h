/* What a client takes (RFC 9110 section 12.4.2): lists of names with weights. */
#ifndef EVERLINE_API_NEGOTIATE_H
#define EVERLINE_API_NEGOTIATE_H

#include <stdbool.h>

/* The weight, in thousandths, that Accept-Encoding gives to gzip; 0: it must not be. `header` may
 * be NULL: nothing but what there is without being asked for. Members that are not understood say
 * nothing. */
int api_weight_gzip(const char *header);

/* The same that Accept gives to a media type, such as "text/csv": what names it most closely
 * counts. Without the header every type is as good as another. */
int api_weight_type(const char *header, const char *type);

#endif

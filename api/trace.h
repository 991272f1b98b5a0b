/* Distributed tracing: the traceparent header (W3C Trace Context). A request that belongs to a
 * trace is one span of it; without the header there is no trace. */
#ifndef EVERLINE_API_TRACE_H
#define EVERLINE_API_TRACE_H

#include <stdbool.h>

#define API_TRACE_SIZE 56   /* "00-TRACE-SPAN-FLAGS" and NUL */
#define API_TRACE_ID_AT 3   /* in it */
#define API_TRACE_ID_LEN 32 /* hexadecimal digits */
#define API_SPAN_BYTES 8

/* The header that continues the trace of `header` with the span `span`; false: `header` is none. */
bool api_trace_continue(char out[API_TRACE_SIZE], const char *header,
                        const unsigned char span[API_SPAN_BYTES]);

#endif

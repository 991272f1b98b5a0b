/* The answers that are exports: text that is made while it is sent, so that neither its length nor
 * the pace of who reads it costs memory. A piece is made on the worker thread that sends it, and is
 * small, so that lookups between two pieces do not wait. */
#ifndef EVERLINE_API_EXPORT_H
#define EVERLINE_API_EXPORT_H

#include "api/places.h"
#include "store/export.h"

#include <microhttpd.h>

#define API_EXPORTS_MAX 16 /* that are being sent by this process: each keeps a version's files */
#define API_EXPORTS_OF_TENANT_MAX 4

struct api_request;

/* A response that sends `e`, which is open, and frees it; what was sent is the request's usage
 * then. NULL: out of memory, and `e` is freed, too. A version that cannot be read to its end ends
 * the connection without the end of the body. */
struct MHD_Response *api_export_response(const struct api_request *request, struct store_export *e,
                                         enum store_export_format format);

#endif

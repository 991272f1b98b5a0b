/* Which pages of other origins may ask this server from a browser (Fetch standard, CORS
 * protocol): those that are listed, and without a list none. */
#ifndef EVERLINE_API_CORS_H
#define EVERLINE_API_CORS_H

#include "api/connection.h"

/* An origin as browsers write it, "https://app.example:8443", or "*". ST_USAGE otherwise. */
enum st api_cors_check(const char *origin) ST_MUST_USE;

/* What Access-Control-Allow-Origin says to this Origin; NULL: nothing. */
const char *api_cors_origin(const struct api_settings *settings, const char *origin);

/* The headers for a browser: of an answer, or of one to OPTIONS with what the path allows. False:
 * out of memory. */
bool api_cors_add(struct MHD_Response *response, const struct api_exchange *x);

#endif

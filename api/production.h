/* What --production refuses: each refusal names the command that mends it. */
#ifndef EVERLINE_API_PRODUCTION_H
#define EVERLINE_API_PRODUCTION_H

#include "api/server.h"

#include <sys/socket.h>

enum st api_check_production(const struct api_options *options,
                             const struct sockaddr *listen) ST_MUST_USE;

#endif

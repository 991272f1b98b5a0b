/* What --production refuses: each refusal names the command that mends it. */
#ifndef EVERLINE_API_PRODUCTION_H
#define EVERLINE_API_PRODUCTION_H

#include "api/listener.h"
#include "api/server.h"

enum st api_check_production(const struct api_options *options,
                             const struct api_listeners *listeners) ST_MUST_USE;

#endif

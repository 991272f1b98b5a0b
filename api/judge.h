/* A request whose head is there: what it says, and whether a handler may run. */
#ifndef EVERLINE_API_JUDGE_H
#define EVERLINE_API_JUDGE_H

#include "api/connection.h"

/* Takes the headers, the request's id (one is made when there is none, or no harmless one) and the
 * trace that it belongs to. */
void api_exchange_take_head(struct api_exchange *x);

/* Everything that is decided before a handler runs, in this order: shape of the head, route, place,
 * token and scope, limits, parameters (by the router), expectation, body. With ST_METHOD `allow`
 * has the methods of the path. */
enum st api_exchange_judge(struct api_exchange *x, const char *method) ST_MUST_USE;

enum st api_body_too_large(uint64_t limit) ST_MUST_USE;

#endif

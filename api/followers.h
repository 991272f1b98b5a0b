/* Who follows a job by server-sent events (HTML Living Standard, section 9.2): each gets the job as
 * it is, again whenever it has changed, and the end of the stream when the job has ended. */
#ifndef EVERLINE_API_FOLLOWERS_H
#define EVERLINE_API_FOLLOWERS_H

#include "store/keeper.h"

#include <microhttpd.h>

#define API_FOLLOWERS_MAX 256
#define API_FOLLOWERS_OF_TENANT_MAX 32

struct api_followers;

enum st api_followers_start(struct api_followers **out, struct store_keeper *keeper) ST_MUST_USE;
/* Ends every stream, and begins no more; accepts NULL. */
void api_followers_end(struct api_followers *f);
void api_followers_stop(struct api_followers *f); /* no connection may be left; accepts NULL */

/* ST_UNAVAILABLE, code BUSY: there are too many. Any thread. */
enum st api_followers_check(struct api_followers *f, const char *tenant) ST_MUST_USE;

/* A response that begins with `first` and follows the job; NULL: out of memory. */
struct MHD_Response *api_follow(struct api_followers *f, struct MHD_Connection *connection,
                                const char *tenant, const char *job, const char *first);

/* What has to be served before anybody is told of the job as it is: the version that it has made.
 * Nothing (`wait` stays as it is) when it has made none, has ended for STORE_SERVE_WAIT_MS, or its
 * dataset is gone. */
void api_job_await(struct store_wait *wait, struct store *s, const char *tenant, const json_t *job);
/* One event of the stream, for a job as it is now. */
void api_follower_event(struct buf *out, json_t *job);

#endif

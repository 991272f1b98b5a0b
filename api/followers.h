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

/* Who follows this job from now on, by a stream that begins with `first`. ST_UNAVAILABLE, code
 * BUSY: there are too many. Any thread. */
struct api_follower;
enum st api_follower_new(struct api_follower **out, struct api_followers *f, const char *tenant,
                         const char *job, const char *first) ST_MUST_USE;
void api_follower_free(struct api_follower *f); /* accepts NULL */
/* The response that is the stream, and frees the follower. NULL: out of memory, and it is freed,
 * too. */
struct MHD_Response *api_follower_response(struct api_follower *f,
                                           struct MHD_Connection *connection);

/* What has to be served before anybody is told of the job as it is: the version that it has made.
 * Nothing (`wait` stays as it is) when it has made none, has ended for STORE_SERVE_WAIT_MS, or its
 * dataset is gone. */
void api_job_await(struct store_wait *wait, struct store *s, const char *tenant, const json_t *job);
/* One event of the stream, for a job as it is now. */
void api_follower_event(struct buf *out, json_t *job);

#endif

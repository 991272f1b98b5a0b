/* A few threads for work that may wait for a disk, so that no request thread does. */
#ifndef EVERLINE_API_POOL_H
#define EVERLINE_API_POOL_H

#include "base/status.h"

struct api_pool;

/* A piece of work; its memory is the caller's until run_fn is called. */
struct api_work {
    void (*run_fn)(void *ctx);
    void *ctx;
    struct api_work *next; /* the pool's */
};

enum st api_pool_start(struct api_pool **out) ST_MUST_USE;
void api_pool_stop(struct api_pool *p); /* nothing may be posted any more; runs what was */
void api_pool_post(struct api_pool *p, struct api_work *work);

#endif

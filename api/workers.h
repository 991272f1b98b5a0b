/* Workers of a serving process: everline-ingest programs that run the queue's jobs. They are
 * started when something waits, at most as many as allowed, end by themselves when there is nothing
 * to do, and give their job back when the server stops or dies. */
#ifndef EVERLINE_API_WORKERS_H
#define EVERLINE_API_WORKERS_H

#include "store/keeper.h"

struct api_workers;

struct api_workers_options {
    const char *data_dir, *keys_dir, *inbox, *config_file; /* the last three may be NULL */
    unsigned limit;
};

/* `limit` 0: none are started, and *out is NULL. */
enum st api_workers_start(struct api_workers **out, const struct api_workers_options *options,
                          struct store_keeper *keeper) ST_MUST_USE;
/* Tells them to stop, and starts no more; accepts NULL. */
void api_workers_dismiss(struct api_workers *w);
/* Dismisses them and waits for them; accepts NULL. */
void api_workers_stop(struct api_workers *w);

#endif

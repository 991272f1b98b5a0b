/* The audit of a serving process: request threads say what happened, one thread writes it down, all
 * that has come together in one commit per interval. A crash loses what came since the last one.
 *
 * It fails closed: when lines cannot be written, or come faster than they can be, api_audit_push
 * refuses, and so does who calls it. What was taken is kept, and written when that works again. */
#ifndef EVERLINE_API_AUDIT_H
#define EVERLINE_API_AUDIT_H

#include "auth/audit_line.h"
#include "base/metrics.h"
#include "store/keeper.h"

struct api_audit;

struct api_audit_options {
    const char *data_dir, *keys_dir;
    uint64_t interval_ms;  /* between two commits */
    uint64_t retention_ms; /* files whose lines are all older go; 0: never */
    unsigned slots;        /* threads that push */
    struct store_keeper *keeper;
    struct metrics *metrics;
};

/* A directory that cannot be written to is no failure: it is tried again, and refuses meanwhile. */
enum st api_audit_start(struct api_audit **out,
                        const struct api_audit_options *options) ST_MUST_USE;
/* Writes what has come, and anchors it; before the keeper stops. Accepts NULL. */
void api_audit_stop(struct api_audit *a);

/* Everything is copied, but `event` and `outcome`, which must be static. Thread `slot` of
 * api_audit_options.slots. ST_UNAVAILABLE, code AUDIT_UNAVAILABLE. NULL: there is no server, and it
 * is not noted. */
enum st api_audit_push(struct api_audit *a, unsigned slot,
                       const struct audit_record *record) ST_MUST_USE;
/* The same without a record: is it of use to begin? */
enum st api_audit_ready(const struct api_audit *a) ST_MUST_USE;

#endif

/* A failure's report as JSON, to carry it from one process to another. */
#ifndef EVERLINE_BASE_REPORT_H
#define EVERLINE_BASE_REPORT_H

#include "base/json.h"
#include "base/status.h"

/* {"status","code","message","place","hint"}: a new reference, or NULL (out of memory). Text that
 * is not UTF-8 is left out. */
json_t *report_to_json(const struct st_report *report);

/* Absent members are "", an unknown status is ST_UNAVAILABLE. */
void report_from_json(struct st_report *out, const json_t *object);

/* {"ok":true}, or {"error":...} when `st` is a failure, as a line on standard output: what a
 * program says to the one that started it. */
enum st report_say(enum st st) ST_MUST_USE;
/* The other side: *said is what was said. False: it is no whole answer. */
bool report_hear(enum st *said, const char *text, size_t len) ST_MUST_USE;

#endif

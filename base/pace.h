/* Background work beside something that must not feel it: after each short step it rests for as
 * long as the step took, and so takes at most half of a core, or of a disk, and never for long; or
 * it keeps to a number of bytes a second. */
#ifndef EVERLINE_BASE_PACE_H
#define EVERLINE_BASE_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pace {
    const _Atomic bool *resting;  /* false: there is nobody to be felt by yet; may change */
    const _Atomic bool *stopping; /* true: the work is not wanted any more */
    uint64_t since_ns;            /* when the step, or all that has a rate, began */
    uint64_t bytes_per_s;         /* 0: no rate */
};

void pace_begin(struct pace *p, const _Atomic bool *resting, const _Atomic bool *stopping);

void pace_begin_rate(struct pace *p, uint64_t bytes_per_s, const _Atomic bool *stopping);

/* After a step, which should be of a tenth of a millisecond; the next one begins with the return.
 * False: there should be no next one. NULL: returns true at once. */
bool pace_rest(struct pace *p);
/* After a step by which `bytes` have been read since the beginning: the same, or with a rate, until
 * so many were due. Stopping ends it within PACE_NAP_MS. */
#define PACE_NAP_MS 20
bool pace_rest_after(struct pace *p, uint64_t bytes);

#endif

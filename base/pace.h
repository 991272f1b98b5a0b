/* Background work beside something that must not feel it: after each short step it rests for as
 * long as the step took, and so takes at most half of a core, or of a disk, and never for long. */
#ifndef EVERLINE_BASE_PACE_H
#define EVERLINE_BASE_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pace {
    const _Atomic bool *resting;  /* false: there is nobody to be felt by yet; may change */
    const _Atomic bool *stopping; /* true: the work is not wanted any more */
    uint64_t since_ns;            /* when the step began */
};

void pace_begin(struct pace *p, const _Atomic bool *resting, const _Atomic bool *stopping);

/* After a step, which should be of a tenth of a millisecond; the next one begins with the return.
 * False: there should be no next one. NULL: returns true at once. */
bool pace_rest(struct pace *p);

#endif

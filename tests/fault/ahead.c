/* A clock that is EVERLINE_AHEAD_S seconds ahead, for what happens at a time of the day: loaded
 * before the C library (LD_PRELOAD). The steady clocks are left alone. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *out)
{
    const char *ahead = getenv("EVERLINE_AHEAD_S");
    int result = (int)syscall(SYS_clock_gettime, id, out);

    if (!result && ahead && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        out->tv_sec += atoi(ahead);
    return result;
}

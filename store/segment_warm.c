#include "base/fs.h"
#include "store/segment_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Warming, so that a request finds every page mapped, and its opposite.
 *
 * Both work on one short piece after the other. A piece that is in the page cache takes 50 us to
 * map and 15 us to unmap; one that is not waits for the disk. All of a large segment at once would
 * keep a core, the disk, and now and then the lock of the address space, for up to a second. That
 * is also why a segment is cooled before it is closed: munmap would unmap all of it in one go.
 *
 * Nice values and idle classes are not used: who is preempted while the kernel holds the lock of
 * the address space for him makes others wait for as long as he does. */

#define STEP_BYTES ((size_t)1 << 20)

/* LMDB does not tell where it mapped the file. */
static bool find_mapping(struct store_segment *s)
{
    FILE *maps = s->map ? NULL : fopen("/proc/self/maps", "re");
    char line[FS_PATH_MAX + 128];

    while (maps && !s->map && fgets(line, sizeof line, maps)) {
        unsigned long low, high;
        if (sscanf(line, "%lx-%lx", &low, &high) == 2 && (uintptr_t)s->inside >= low &&
            (uintptr_t)s->inside < high) {
            s->map = (char *)(uintptr_t)low;
            s->map_bytes = high - low < s->bytes ? high - low : s->bytes;
        }
    }
    if (maps)
        fclose(maps);
    return s->map != NULL;
}

/* How much of a piece is not in the page cache. */
static size_t missing_bytes(char *start, size_t len)
{
    unsigned char resident[STEP_BYTES / 4096];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), missing = 0;

    if (mincore(start, len, resident) != 0)
        return len;
    for (size_t i = 0; i * page < len; i++)
        missing += resident[i] & 1 ? 0 : page;
    return missing;
}

static void touch(const char *start, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t at = 0; at < len; at += page)
        (void)*(const volatile char *)(start + at);
}

struct warming {
    struct store_segment *segment;
    uint64_t room; /* that is left for pages which are not in the page cache */
    uint64_t cold; /* bytes that were left out */
    struct pace *pace;
};

static enum st warm(void *ctx)
{
    struct warming *w = ctx;
    struct store_segment *s = w->segment;

    for (size_t at = 0, len; at < s->map_bytes; at += len) {
        len = s->map_bytes - at < STEP_BYTES ? s->map_bytes - at : STEP_BYTES;
        size_t missing = w->room < s->map_bytes ? missing_bytes(s->map + at, len) : 0;
        if (missing > w->room) {
            w->cold += missing;
            continue;
        }
        w->room -= missing;
        if (madvise(s->map + at, len, MADV_POPULATE_READ) != 0) {
            if (errno == EFAULT || errno == EHWPOISON)
                return guard_unreadable();
            if (errno == EINVAL)
                touch(s->map + at, len); /* a kernel before 5.14 */
            else
                w->cold += len; /* there is no memory for more */
        }
        if (!pace_rest(w->pace))
            break; /* nobody will read it */
    }
    return ST_OK;
}

enum st store_segment_warm(uint64_t *cold, struct store_segment *s, uint64_t room,
                           struct pace *pace)
{
    struct warming w = {.segment = s, .room = room, .pace = pace};
    enum st st = find_mapping(s) ? guard_call(warm, &w) : ST_OK;

    *cold = w.cold;
    return st ? segment_unreadable(s) : ST_OK;
}

void store_segment_cool(struct store_segment *s, struct pace *pace)
{
    if (!find_mapping(s))
        return;
    for (size_t at = 0, len; at < s->map_bytes; at += len) {
        len = s->map_bytes - at < STEP_BYTES ? s->map_bytes - at : STEP_BYTES;
        (void)madvise(s->map + at, len, MADV_DONTNEED);
        if (!pace_rest(pace))
            break; /* who stops is felt by nobody */
    }
}

#include "api/overload.h"

#include "base/clock.h"
#include "base/log.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_EVERY 16 /* as long as all is well: it is a system call */
#define INTERVAL_NS 1000000000u
#define NS_PER_MS 1000000u
#define PART 10           /* of the longest wait: what is allowed under overload */
#define PART_MIN_MS 5     /* the kernel tells it in ticks */
#define USUAL_TIMES 3     /* so often as long as one usually takes, it may wait, too */
#define REQUEST_NS 50000u /* what one takes before and after it is run, or when it is refused */
#define EARNED_MAX_NS 100000000u

/* Since when the last bytes have lain in the socket. */
static int64_t waited_ms(int socket)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_last_data_recv) + sizeof info.tcpi_last_data_recv)
        return -1;
    return info.tcpi_last_data_recv;
}

static void set(struct api_overload *o, bool is_overloaded)
{
    if (o->is_overloaded == is_overloaded)
        return;
    o->is_overloaded = is_overloaded;
    log_event(LOG_LEVEL_WARN, "overload", "%s",
              is_overloaded ? "requests wait too long: those that did are refused"
                            : "requests are answered in time again");
}

/* What was seen before a second in which nobody asked says nothing of now. */
static void forget_old(struct api_overload *o, uint64_t now_ns)
{
    if (now_ns >= o->busy_ns + INTERVAL_NS) {
        o->above_ns = o->below_ns = 0;
        set(o, false);
    }
    o->busy_ns = now_ns;
}

static void note(struct api_overload *o, bool waited_too_long, uint64_t now_ns)
{
    uint64_t *since = waited_too_long ? &o->above_ns : &o->below_ns;

    *(waited_too_long ? &o->below_ns : &o->above_ns) = 0;
    if (!*since)
        *since = now_ns;
    if (now_ns - *since >= INTERVAL_NS)
        set(o, waited_too_long);
}

static void halve(struct api_overload *o, uint64_t now_ns)
{
    uint64_t times = (now_ns - o->halved_ns) / INTERVAL_NS;

    if (times == 0)
        return;
    for (unsigned i = 0; i < o->tenant_count; i++)
        o->tenants[i].took_ns >>= times < 63 ? times : 63;
    o->halved_ns = now_ns;
}

/* Its own place, or a new one, or that of who took least, with what that took: it may have taken as
 * much, and been forgotten. */
static struct api_overload_tenant *place_of(struct api_overload *o, const char *tenant)
{
    struct api_overload_tenant *place = &o->tenants[0];

    for (unsigned i = 0; i < o->tenant_count; i++) {
        if (strcmp(o->tenants[i].name, tenant) == 0)
            return &o->tenants[i];
        if (o->tenants[i].took_ns < place->took_ns)
            place = &o->tenants[i];
    }
    if (o->tenant_count < API_OVERLOAD_TENANTS) {
        place = &o->tenants[o->tenant_count++];
        place->took_ns = 0;
    }
    memcpy(place->name, tenant, strnlen(tenant, STORE_NAME_SIZE - 1) + 1);
    return place;
}

/* Notes the request, and says whether its tenant is among those that took most. */
static bool bears_it(struct api_overload *o, const char *tenant, uint64_t now_ns)
{
    uint64_t most_ns = 0;

    halve(o, now_ns);
    o->running = place_of(o, tenant);
    o->running->took_ns += REQUEST_NS;
    o->began_ns = now_ns;
    for (unsigned i = 0; i < o->tenant_count; i++)
        if (o->tenants[i].took_ns > most_ns)
            most_ns = o->tenants[i].took_ns;
    return o->running->took_ns >= most_ns / 2;
}

static uint64_t limit_ms(const struct api_overload *o, uint64_t max_wait_ms)
{
    uint64_t part = max_wait_ms / PART, usual = USUAL_TIMES * o->usual_ns / NS_PER_MS;

    part = part < usual ? usual : part;
    part = part < PART_MIN_MS ? PART_MIN_MS : part;
    return o->is_overloaded && part < max_wait_ms ? part : max_wait_ms;
}

enum st api_overload_judge(struct api_overload *o, int64_t waited, const char *tenant,
                           uint64_t now_ns, uint64_t max_wait_ms)
{
    o->running = NULL;
    if (waited < 0)
        return ST_OK;
    forget_old(o, now_ns);
    bool too_long = waited > (int64_t)limit_ms(o, max_wait_ms);
    note(o, too_long, now_ns);
    bool bears = bears_it(o, tenant, now_ns);
    if (!o->is_overloaded || !bears || !too_long || o->earned_ns < REQUEST_NS)
        return ST_OK;
    o->earned_ns -= REQUEST_NS;
    o->running = NULL;
    return st_hint(
        st_fail(ST_UNAVAILABLE, "OVERLOADED", "there are more requests than are answered"),
        "try again later, and not all at once");
}

void api_overload_ran(struct api_overload *o, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - o->began_ns;

    o->busy_ns = now_ns;
    o->running->took_ns += took_ns;
    o->usual_ns = o->usual_ns - o->usual_ns / 8 + took_ns / 8;
    o->earned_ns += took_ns + REQUEST_NS;
    if (o->earned_ns > EARNED_MAX_NS)
        o->earned_ns = EARNED_MAX_NS;
    o->running = NULL;
}

enum st api_overload_check(struct api_overload *o, int socket, const char *tenant,
                           uint64_t max_wait_ms)
{
    bool calm = !o->is_overloaded && !o->above_ns;

    if (!max_wait_ms || (calm && ++o->unseen < LOOK_EVERY))
        return ST_OK;
    o->unseen = 0;
    return api_overload_judge(o, waited_ms(socket), tenant, clock_steady_ns(), max_wait_ms);
}

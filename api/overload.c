#include "api/overload.h"

#include "base/log.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_EVERY 16 /* as long as all is well: it is a system call */
#define INTERVAL_NS 1000000000u
#define WINDOW_NS 100000000u

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

static void note(struct api_overload *o, bool waited_too_long, uint64_t now_ns)
{
    bool was = o->is_overloaded;
    uint64_t *since = waited_too_long ? &o->above_ns : &o->below_ns;

    *(waited_too_long ? &o->below_ns : &o->above_ns) = 0;
    if (!*since)
        *since = now_ns;
    if (now_ns - *since >= INTERVAL_NS)
        o->is_overloaded = waited_too_long;
    if (o->is_overloaded != was)
        log_event(LOG_LEVEL_WARN, "overload", "%s",
                  was ? "requests are answered in time again"
                      : "requests wait too long: those that did are refused");
}

/* Counts the request, and says whether its tenant has asked its share of the window already. */
static bool has_had_its_share(struct api_overload *o, const char *tenant, uint64_t now_ns)
{
    unsigned i = 0;

    if (now_ns - o->window_ns >= WINDOW_NS) {
        o->window_ns = now_ns;
        o->total = o->tenant_count = 0;
    }
    while (i < o->tenant_count && strcmp(o->tenants[i].name, tenant) != 0)
        i++;
    if (i == API_OVERLOAD_TENANTS)
        return true;
    if (i == o->tenant_count) {
        o->tenant_count++;
        o->tenants[i].count = 0;
        memcpy(o->tenants[i].name, tenant, strnlen(tenant, STORE_NAME_SIZE - 1) + 1);
    }
    o->tenants[i].count++;
    o->total++;
    return o->tenants[i].count * o->tenant_count >= o->total;
}

enum st api_overload_judge(struct api_overload *o, int64_t waited, const char *tenant,
                           uint64_t now_ns, uint64_t max_wait_ms)
{
    bool too_long = waited > (int64_t)max_wait_ms;

    if (waited < 0)
        return ST_OK;
    note(o, too_long, now_ns);
    if (!o->is_overloaded || !has_had_its_share(o, tenant, now_ns) || !too_long)
        return ST_OK;
    return st_hint(
        st_fail(ST_UNAVAILABLE, "OVERLOADED", "there are more requests than are answered"),
        "try again later, and not all at once");
}

enum st api_overload_check(struct api_overload *o, int socket, const char *tenant, uint64_t now_ns,
                           uint64_t max_wait_ms)
{
    bool calm = !o->is_overloaded && !o->above_ns;

    if (!max_wait_ms || (calm && ++o->unseen < LOOK_EVERY))
        return ST_OK;
    o->unseen = 0;
    return api_overload_judge(o, waited_ms(socket), tenant, now_ns, max_wait_ms);
}

#include "store/keeper_internal.h"

#include "base/clock.h"

#include <string.h>

#define PIN_BUSY_MS 1000   /* one that was used so lately is not closed for another */
#define PIN_IDLE_MS 300000 /* one that was not used for so long is closed */

static struct pin *find_pin(struct store_keeper *k, const struct store_wait *wait)
{
    for (size_t i = 0; i < k->pin_count; i++) {
        struct pin *p = &k->pins[i];
        if (p->version == wait->version && strcmp(p->tenant, wait->tenant) == 0 &&
            strcmp(p->dataset, wait->dataset) == 0)
            return p;
    }
    return NULL;
}

static uint64_t last_used_ms(const struct store_keeper *k, const struct pin *p)
{
    const struct serving *s =
        view_find_pinned(atomic_load(&k->current), p->tenant, p->dataset, p->version);
    uint64_t used_ms = s ? atomic_load_explicit(&s->used_ms, memory_order_relaxed) : 0;

    return used_ms > p->asked_ms ? used_ms : p->asked_ms;
}

/* Requests go on taking it: the last may have done so after `now_ms`. */
static uint64_t unused_ms(const struct store_keeper *k, const struct pin *p, uint64_t now_ms)
{
    uint64_t last_ms = last_used_ms(k, p);

    return now_ms > last_ms ? now_ms - last_ms : 0;
}

static void remove_pin(struct store_keeper *k, struct pin *p)
{
    *p = k->pins[--k->pin_count];
    k->pins_changed = true;
}

static size_t pins_of(const struct store_keeper *k, const char *tenant)
{
    size_t theirs = 0;

    for (size_t i = 0; i < k->pin_count; i++)
        theirs += strcmp(k->pins[i].tenant, tenant) == 0;
    return theirs;
}

/* Of the tenants that have so many at least. */
static struct pin *oldest_pin(struct store_keeper *k, size_t theirs)
{
    struct pin *oldest = NULL;

    for (size_t i = 0; i < k->pin_count; i++)
        if (pins_of(k, k->pins[i].tenant) >= theirs &&
            (!oldest || last_used_ms(k, &k->pins[i]) < last_used_ms(k, oldest)))
            oldest = &k->pins[i];
    return oldest;
}

/* The one that makes room for a tenant's, or NULL. From who has two more than it the tenant gets
 * one, busy or not: whoever reads how many versions, those that want more than there are have
 * equally many in the end. From who has as many it gets one that is not busy. */
static struct pin *pin_to_close(struct store_keeper *k, const char *tenant, uint64_t now_ms)
{
    size_t own = pins_of(k, tenant);
    struct pin *oldest = oldest_pin(k, own + 2);

    if (oldest)
        return oldest;
    oldest = oldest_pin(k, own);
    return oldest && unused_ms(k, oldest, now_ms) >= PIN_BUSY_MS ? oldest : NULL;
}

enum st keeper_add_pin(struct store_keeper *k, const struct store_wait *wait)
{
    uint64_t now_ms = clock_steady_ns() / 1000000u;
    struct pin *p = find_pin(k, wait);

    if (p) {
        p->asked_ms = now_ms;
        return ST_OK;
    }
    if (k->pin_count == STORE_PINS_MAX) {
        p = pin_to_close(k, wait->tenant, now_ms);
        if (!p)
            return st_hint(st_fail(ST_UNAVAILABLE, "TOO_MANY_VERSIONS",
                                   "%d kept versions are being read already", STORE_PINS_MAX),
                           "try again later");
        remove_pin(k, p);
    }
    p = &k->pins[k->pin_count++];
    *p = (struct pin){.version = wait->version, .asked_ms = now_ms};
    memcpy(p->tenant, wait->tenant, sizeof p->tenant);
    memcpy(p->dataset, wait->dataset, sizeof p->dataset);
    k->pins_changed = true;
    return ST_OK;
}

void keeper_close_idle_pin(struct store_keeper *k)
{
    struct pin *oldest = oldest_pin(k, 0);

    if (oldest && unused_ms(k, oldest, clock_steady_ns() / 1000000u) >= PIN_IDLE_MS)
        remove_pin(k, oldest);
}

bool keeper_version_settled(struct store_keeper *k, const struct store_view *v,
                            const struct store_wait *wait)
{
    const struct serving *s = view_find(v, wait->tenant, wait->dataset);
    const struct store_served *unused;
    struct st_report report;
    bool settled = true;

    if (s && find_pin(k, wait)) {
        settled = store_view_version(&unused, v, &s->served, wait->version) == ST_OK;
        if (!settled) {
            st_save(&report, ST_OK);
            settled = strcmp(report.code, "VERSION_CLOSED") != 0;
        }
    }
    return settled;
}

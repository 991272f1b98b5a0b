#include "store/keeper_internal.h"

#include "base/log.h"

/* Views are published by one atomic pointer. A slot announces the view it is about to use and looks
 * again whether it is still current (a hazard pointer): a view that is no longer current and that
 * no slot announces is used by nobody, and is freed here, on the catalog thread. Both sides use
 * sequentially consistent operations: announce, then look; swap, then look at the announcements. */

const struct store_view *store_view_enter(struct store_keeper *k, unsigned slot)
{
    struct store_view *v, *again = atomic_load(&k->current);

    do {
        v = again;
        atomic_store(&k->slots[slot].inside, v);
        again = atomic_load(&k->current);
    } while (v != again);
    return v;
}

void store_view_leave(struct store_keeper *k, unsigned slot)
{
    atomic_store_explicit(&k->slots[slot].inside, NULL, memory_order_release);
}

static bool is_announced(const struct store_keeper *k, const struct store_view *v)
{
    for (unsigned i = 0; i < k->options.slots; i++)
        if (atomic_load(&k->slots[i].inside) == v)
            return true;
    return false;
}

static void release_extension(struct store_keeper *k, void *extension)
{
    if (k->options.release_fn && extension)
        k->options.release_fn(extension, k->options.ctx);
}

void keeper_free_retired(struct store_keeper *k)
{
    bool any = false;

    for (struct store_view **at = &k->retired; *at;) {
        struct store_view *v = *at;
        if (is_announced(k, v)) {
            at = &v->next_retired;
            continue;
        }
        *at = v->next_retired;
        release_extension(k, v->extension);
        view_free(v);
        any = true;
    }
    if (any)
        k->again |= adopter_sweep(k->adopter, k->round);
}

static void count_flips(struct store_keeper *k, const struct store_view *next,
                        const struct store_view *previous)
{
    for (size_t i = 0; previous && i < next->dataset_count; i++) {
        const struct store_served *now = &next->datasets[i]->served;
        const struct serving *before = view_find(previous, now->tenant, now->dataset);
        if (now->version == 0 || (before && before->served.version == now->version))
            continue;
        metric_add(k->metrics.flips, 0, 1);
        log_event(LOG_LEVEL_INFO, "flip", "%s/%s serves version %llu (was %llu)", now->tenant,
                  now->dataset, (unsigned long long)now->version,
                  before ? (unsigned long long)before->served.version : 0);
    }
}

void keeper_swap_view(struct store_keeper *k, struct store_view *next)
{
    struct store_view *previous = atomic_exchange(&k->current, next);

    count_flips(k, next, previous);
    if (previous) {
        previous->next_retired = k->retired;
        k->retired = previous;
    }
}

#include "api/places.h"

#include <stdio.h>
#include <string.h>

/* p->count: there is none for the tenant. The mutex is held. */
static size_t find(const struct api_places *p, const char *tenant)
{
    size_t theirs = 0, place = p->count;

    for (size_t i = 0; i < p->count; i++) {
        theirs += strcmp(p->tenants[i], tenant) == 0;
        if (!p->tenants[i][0])
            place = i;
    }
    return theirs < p->of_tenant ? place : p->count;
}

bool api_places_take(size_t *place, struct api_places *p, const char *tenant)
{
    pthread_mutex_lock(&p->mutex);
    *place = find(p, tenant);
    bool taken = *place < p->count;
    if (taken)
        snprintf(p->tenants[*place], sizeof p->tenants[*place], "%s", tenant);
    pthread_mutex_unlock(&p->mutex);
    return taken;
}

void api_places_leave(struct api_places *p, size_t place)
{
    pthread_mutex_lock(&p->mutex);
    p->tenants[place][0] = '\0';
    pthread_mutex_unlock(&p->mutex);
}

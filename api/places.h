/* Places for work that holds something for long: so many in all, and fewer for one tenant, so that
 * none is kept waiting by another's. Any thread. */
#ifndef EVERLINE_API_PLACES_H
#define EVERLINE_API_PLACES_H

#include "store/name.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define API_PLACES_MAX 16

struct api_places {
    pthread_mutex_t mutex;
    size_t count, of_tenant;                       /* at most API_PLACES_MAX */
    char tenants[API_PLACES_MAX][STORE_NAME_SIZE]; /* whose; "": nobody's */
};
#define API_PLACES_INIT(in_all, of_one)                                                            \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .count = (in_all), .of_tenant = (of_one)               \
    }

/* False: there is none. `place` is its number, for api_places_leave. */
bool api_places_take(size_t *place, struct api_places *p, const char *tenant);
void api_places_leave(struct api_places *p, size_t place);

#endif

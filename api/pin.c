#include "api/internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which version a reader gets: the one that `version` or `as_of` names, or that the page before was
 * of; else the current one. A kept version that is not open here makes the handler fail with `pin`
 * set: the request then waits until the catalog thread has it opened, and the handler runs again.
 */

static enum st parse_as_of(int64_t *at_us, const char *text)
{
    struct store_value value;
    enum st st = store_value_parse(&value, STORE_TIMESTAMP, text, strlen(text));

    if (st)
        return st_place(st_wrap(ST_INVALID, "\"as_of\""), "query/as_of");
    *at_us = value.as.i;
    if (*at_us > clock_wall_us())
        return st_place(st_fail(ST_INVALID, "INVALID_PARAMETER", "\"as_of\" is in the future"),
                        "query/as_of");
    return ST_OK;
}

enum st api_asked_version(uint64_t *version, int64_t *as_of_us, const struct api_request *request)
{
    const char *number = api_query(request, "version"), *time = api_query(request, "as_of");

    *version = number ? strtoull(number, NULL, 10) : 0;
    *as_of_us = 0;
    if (!time)
        return ST_OK;
    if (number)
        return st_place(st_fail(ST_INVALID, "INVALID_PARAMETER",
                                "\"version\" and \"as_of\" exclude each other"),
                        "query/as_of");
    enum st st = parse_as_of(as_of_us, time);
    if (!st && *as_of_us == 0)
        *as_of_us = -1; /* nothing was served then, either */
    return st;
}

/* 0: the current one. */
static enum st wanted_version(uint64_t *version, const struct api_request *request,
                              const struct store_served *d)
{
    int64_t as_of_us;
    enum st st = api_asked_version(version, &as_of_us, request);

    if (!st && api_query(request, "as_of"))
        st = store_served_as_of(version, d, as_of_us);
    else if (!*version)
        *version = request->page_version;
    return st;
}

enum st api_may_read(const struct api_request *request, uint64_t version, const char *state)
{
    if (!state || strcmp(state, "HELD") != 0 ||
        auth_identity_has_scope(request->identity, AUTH_VERSIONS_WRITE))
        return ST_OK;
    return st_hint(st_fail(ST_DENIED, "SCOPE_MISSING",
                           "version %llu is HELD: nobody has released it yet",
                           (unsigned long long)version),
                   "the scope versions:write lets you look at it");
}

static void ask_to_open(struct api_request *request, const struct store_served *d, uint64_t version)
{
    request->pin = (struct store_wait){.version = version};
    snprintf(request->pin.tenant, sizeof request->pin.tenant, "%s", d->tenant);
    snprintf(request->pin.dataset, sizeof request->pin.dataset, "%s", d->dataset);
}

enum st api_dataset(const struct store_served **out, struct api_request *request)
{
    const struct store_served *d;
    uint64_t version = 0;
    enum st st = api_visible(request);

    request->pin.version = 0;
    if (!st)
        st = store_view_dataset(&d, request->view, request->identity->tenant,
                                request->path_params[0]);
    request->current = st ? NULL : d;
    if (!st && d->unavailable && !d->version)
        st = store_served_ready(d); /* nothing is known of its versions */
    if (!st)
        st = wanted_version(&version, request, d);
    if (!st && version) {
        const struct store_served *current = d;
        st = store_view_version(&d, request->view, current, version);
        if (st == ST_UNAVAILABLE)
            ask_to_open(request, current, version);
    }
    if (!st)
        st = api_may_read(request, d->version, d->state);
    if (!st)
        st = store_served_ready(d);
    *out = st ? NULL : d;
    return st;
}

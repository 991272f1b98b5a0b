#include "api/audit_prune.h"

#include "auth/audit_prune.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/anchor.h"

#include <stdlib.h>
#include <string.h>

/* The catalog hears of it first: a file that goes without its knowing would be missing. */

struct round {
    const char *directory;
    int64_t before_s;
    enum st st;
};

static enum st put_away(struct store *s, const char *directory, const char *tenant,
                        const struct audit_doomed *doomed, size_t count)
{
    struct store_anchor anchor;
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < count; i++) {
        st = store_anchor_get(&anchor, s, tenant, doomed[i].chain);
        anchor.first = doomed[i].kept_first;
        if (!st)
            st = store_anchor_put(s, &anchor, 1);
        if (!st)
            st = audit_prune_remove(directory, tenant, &doomed[i]);
    }
    if (count)
        log_event(LOG_LEVEL_INFO, "audit", "tenant %s: %zu files are put away", tenant, count);
    return st;
}

static void run(struct store *s, struct store_wait *wait, void *ctx)
{
    struct round *r = ctx;
    json_t *tenants = NULL, *row;
    size_t i;

    (void)wait;
    r->st = store_tenant_list(&tenants, s);
    json_array_foreach(tenants, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "tenant"));
        struct audit_doomed *doomed = NULL;
        struct store_tenant t;
        size_t count = 0;
        if (!r->st)
            r->st = store_tenant_get(&t, s, name);
        if (!r->st)
            r->st = audit_prune_find(&doomed, &count, r->directory, name, r->before_s,
                                     t.max_audit_bytes);
        if (!r->st)
            r->st = put_away(s, r->directory, name, doomed, count);
        free(doomed);
    }
    json_decref(tenants);
}

enum st api_audit_prune(struct store_keeper *keeper, const char *directory, uint64_t retention_ms)
{
    int64_t now_s = clock_wall_us() / 1000000;
    struct round r = {.directory = directory};

    if (retention_ms && retention_ms / 1000 < (uint64_t)now_s)
        r.before_s = now_s - (int64_t)(retention_ms / 1000);
    enum st st = store_keeper_call(keeper, run, &r);
    return st ? st : r.st;
}

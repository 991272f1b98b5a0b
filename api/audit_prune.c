#include "api/audit_prune.h"

#include "auth/audit_chain.h"
#include "auth/audit_prune.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/anchor.h"

#include <stdlib.h>
#include <string.h>

/* The catalog hears of it first: a file that goes without its knowing would be missing. */

struct round {
    const char *directory;
    unsigned own; /* chain: who prunes appends to it, and does not while it prunes */
    int64_t before_s;
    enum st st;
};

/* Where the chain ends: at the last line of its newest file, which the catalog need not know yet.
 */
static enum st find_end(struct store_anchor *anchor, const struct round *r)
{
    struct audit_head head = {.sequence = anchor->sequence};
    struct audit_chain *chain = NULL;

    memcpy(head.hash, anchor->hash, sizeof head.hash);
    enum st st = audit_chain_open(&chain, r->directory, anchor->tenant, anchor->chain, &head,
                                  AUDIT_ROTATE_BYTES);
    if (st)
        return st;
    anchor->sequence = audit_chain_head(chain)->sequence;
    memcpy(anchor->hash, audit_chain_head(chain)->hash, sizeof anchor->hash);
    anchor->first = anchor->sequence + 1;
    audit_chain_close(chain);
    return ST_OK;
}

/* ST_CONFLICT: another process may append to the file at any time. */
static enum st put_one_away(struct store *s, const struct round *r, const char *tenant,
                            const struct audit_doomed *doomed)
{
    bool newest = doomed->kept_first == 0;
    struct store_anchor anchor;
    int lock = -1;
    enum st st = newest && doomed->chain != r->own
                     ? audit_chain_lock(&lock, r->directory, doomed->chain)
                     : ST_OK;

    if (!st)
        st = store_anchor_get(&anchor, s, tenant, doomed->chain);
    if (!st && newest)
        st = find_end(&anchor, r);
    else if (!st)
        anchor.first = doomed->kept_first;
    if (!st)
        st = store_anchor_put(s, &anchor, 1);
    if (!st)
        st = audit_prune_remove(r->directory, tenant, doomed);
    fs_close(&lock);
    return st;
}

static enum st put_away(struct store *s, const struct round *r, const char *tenant,
                        const struct audit_doomed *doomed, size_t count)
{
    size_t gone = 0;
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < count; i++) {
        st = put_one_away(s, r, tenant, &doomed[i]);
        gone += !st;
        if (st == ST_CONFLICT)
            st = ST_OK;
    }
    if (gone)
        log_event(LOG_LEVEL_INFO, "audit", "tenant %s: %zu files are put away", tenant, gone);
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
            r->st = put_away(s, r, name, doomed, count);
        free(doomed);
    }
    json_decref(tenants);
}

int64_t api_audit_too_old(uint64_t retention_ms)
{
    int64_t now_s = clock_wall_us() / 1000000;

    return retention_ms && retention_ms / 1000 < (uint64_t)now_s
               ? now_s - (int64_t)(retention_ms / 1000)
               : 0;
}

enum st api_audit_prune(struct store_keeper *keeper, const char *directory, unsigned own,
                        int64_t before_s)
{
    struct round r = {.directory = directory, .own = own, .before_s = before_s};
    enum st st = store_keeper_call(keeper, run, &r);
    return st ? st : r.st;
}

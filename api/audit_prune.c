#include "api/audit_prune.h"

#include "auth/audit_chain.h"
#include "auth/audit_file.h"
#include "auth/audit_prune.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/anchor.h"
#include "store/name.h"

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

/* Of a tenant that is not there any more, too. One whose row is damaged has no budget meanwhile. */
static enum st prune_tenant(struct store *s, const struct round *r, const char *tenant)
{
    struct audit_doomed *doomed = NULL;
    struct store_tenant t = {.max_audit_bytes = 0};
    size_t count = 0;
    enum st st = store_tenant_get(&t, s, tenant);

    if (st == ST_NOT_FOUND || st == ST_CORRUPT)
        t.max_audit_bytes = 0;
    else if (st)
        return st;
    st = audit_prune_find(&doomed, &count, r->directory, tenant, r->before_s, t.max_audit_bytes);
    if (!st)
        st = put_away(s, r, tenant, doomed, count);
    free(doomed);
    return st;
}

static void run(struct store *s, struct store_wait *wait, void *ctx)
{
    struct round *r = ctx;
    struct fs_list tenants = {0};

    (void)wait;
    r->st = audit_tenants_list(&tenants, r->directory);
    for (size_t i = 0; !r->st && i < tenants.count; i++) {
        const char *tenant = tenants.names[i];
        if (store_name_check("tenant", tenant) == ST_OK && prune_tenant(s, r, tenant))
            log_failure(LOG_LEVEL_WARN, "audit", "what is old of tenant %s stays for now", tenant);
    }
    fs_list_free(&tenants);
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

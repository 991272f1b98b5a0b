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

/* The catalog hears of it first: a file that goes without its knowing would be missing. What tasks
 * of the catalog thread change is committed after they have run (store/keeper.h), so that files go
 * when the keeper has said that it is. Files are looked at on the caller's thread. */

struct round {
    struct store_keeper *keeper;
    const char *directory;
    unsigned own; /* chain: who prunes appends to it, and does not while it prunes */
    int64_t before_s;
};

/* ---- errands for the catalog thread ---- */

struct budgets {
    const struct fs_list *tenants;
    uint64_t *max_bytes; /* of each; 0: it has none */
    enum st st;
};

/* Of tenants that are not there any more, too. One whose row is damaged has no budget meanwhile. */
static void get_budgets(struct store *s, struct store_wait *wait, void *ctx)
{
    struct budgets *b = ctx;
    struct store_tenant t;

    (void)wait;
    for (size_t i = 0; !b->st && i < b->tenants->count; i++) {
        b->st = store_tenant_get(&t, s, b->tenants->names[i]);
        b->max_bytes[i] = b->st ? 0 : t.max_audit_bytes;
        if (b->st == ST_NOT_FOUND || b->st == ST_CORRUPT)
            b->st = ST_OK;
    }
}

struct anchoring {
    const char *tenant;
    struct store_anchor *anchors; /* in the order in which files go */
    size_t count;
    enum st st;
};

static void get_anchors(struct store *s, struct store_wait *wait, void *ctx)
{
    struct anchoring *a = ctx;

    (void)wait;
    for (size_t i = 0; !a->st && i < a->count; i++)
        a->st = store_anchor_get(&a->anchors[i], s, a->tenant, a->anchors[i].chain);
}

static void put_anchors(struct store *s, struct store_wait *wait, void *ctx)
{
    struct anchoring *a = ctx;

    (void)wait;
    a->st = store_anchor_put(s, a->anchors, a->count);
}

/* ---- one tenant ---- */

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

struct going {
    struct audit_doomed file;
    int lock; /* of the chain, when the file is its newest and the chain not our own */
};

/* Another process may append to the newest file of its chain at any time: that one stays. */
static enum st take_locks(struct going *going, size_t *count, const struct round *r,
                          const struct audit_doomed *doomed, size_t doomed_count)
{
    enum st st = ST_OK;

    *count = 0;
    for (size_t i = 0; !st && i < doomed_count; i++) {
        struct going *g = &going[*count];
        *g = (struct going){.file = doomed[i], .lock = -1};
        if (doomed[i].kept_first == 0 && doomed[i].chain != r->own)
            st = audit_chain_lock(&g->lock, r->directory, doomed[i].chain);
        *count += !st;
        if (st == ST_CONFLICT)
            st = ST_OK;
    }
    return st;
}

static enum st tell_catalog(struct anchoring *a, const struct round *r, const struct going *going)
{
    for (size_t i = 0; i < a->count; i++)
        a->anchors[i].chain = going[i].file.chain;
    enum st st = store_keeper_call(r->keeper, get_anchors, a);
    if (!st)
        st = a->st;
    for (size_t i = 0; !st && i < a->count; i++) {
        a->anchors[i].first = going[i].file.kept_first;
        if (going[i].file.kept_first == 0)
            st = find_end(&a->anchors[i], r);
    }
    if (!st)
        st = store_keeper_call(r->keeper, put_anchors, a);
    return st ? st : a->st;
}

static enum st put_away(const struct round *r, const char *tenant,
                        const struct audit_doomed *doomed, size_t count)
{
    struct going *going = calloc(count, sizeof *going);
    struct anchoring a = {.tenant = tenant, .anchors = calloc(count, sizeof *a.anchors)};
    size_t gone = 0;
    enum st st = going && a.anchors ? take_locks(going, &a.count, r, doomed, count)
                                    : st_fail(ST_NOMEM, NULL, "out of memory");

    if (!st && a.count)
        st = tell_catalog(&a, r, going);
    while (!st && gone < a.count) {
        st = audit_prune_remove(r->directory, tenant, &going[gone].file);
        gone += !st;
    }
    for (size_t i = 0; i < a.count; i++)
        fs_close(&going[i].lock);
    if (gone)
        log_event(LOG_LEVEL_INFO, "audit", "tenant %s: %zu files are put away", tenant, gone);
    free(a.anchors);
    free(going);
    return st;
}

static enum st prune_tenant(const struct round *r, const char *tenant, uint64_t max_bytes)
{
    struct audit_doomed *doomed = NULL;
    size_t count = 0;
    enum st st = audit_prune_find(&doomed, &count, r->directory, tenant, r->before_s, max_bytes);

    if (!st && count)
        st = put_away(r, tenant, doomed, count);
    free(doomed);
    return st;
}

/* ---- all of them ---- */

static enum st find_budgets(struct budgets *b, struct store_keeper *keeper)
{
    b->max_bytes = calloc(b->tenants->count + 1, sizeof *b->max_bytes);
    enum st st = b->max_bytes ? store_keeper_call(keeper, get_budgets, b)
                              : st_fail(ST_NOMEM, NULL, "out of memory");

    return st ? st : b->st;
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
    const struct round r = {keeper, directory, own, before_s};
    struct fs_list tenants = {0};
    struct budgets budgets = {.tenants = &tenants};
    enum st st = audit_tenants_list(&tenants, directory);

    if (!st)
        st = find_budgets(&budgets, keeper);
    for (size_t i = 0; !st && i < tenants.count; i++) {
        const char *tenant = tenants.names[i];
        if (store_name_check("tenant", tenant) == ST_OK &&
            prune_tenant(&r, tenant, budgets.max_bytes[i]))
            log_failure(LOG_LEVEL_WARN, "audit", "what is old of tenant %s stays for now", tenant);
    }
    free(budgets.max_bytes);
    fs_list_free(&tenants);
    return st;
}

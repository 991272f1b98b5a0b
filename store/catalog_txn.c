#include "store/catalog_internal.h"

#include "base/log.h"
#include "store/env.h"

#include <string.h>
#include <unistd.h>

/* Transactions: beginning, ending, groups, and finding out what became of a commit.
 *
 * A writer takes the writers' lock (store/catalog_lock.h), then LMDB's mutex, and gives them back
 * in the other order. So nobody else commits between a commit that failed and the look at what
 * became of it, and LMDB's transaction number alone tells: the next one is the same number again
 * (it did not happen) or a higher one (it did). LMDB writes data pages, syncs, then writes one meta
 * page through to the disk. What fails before the meta page did not happen, and the environment
 * goes on. After a failure of the meta page it refuses everything; then the environment is opened
 * again, and a further commit fixes on the disk what was read: it writes the other meta page if the
 * commit happened, and the same one over again if it did not. */

/* ---- LMDB's calls, in a guard ---- */

struct call {
    struct catalog *catalog;
    MDB_txn *parent, *txn;
    unsigned flags;
};

static int call_begin(void *ctx)
{
    struct call *call = ctx;

    return mdb_txn_begin(call->catalog->env, call->parent, call->flags, &call->txn);
}

static int begin_txn(MDB_txn **txn, struct catalog *c, MDB_txn *parent, unsigned flags)
{
    struct call call = {.catalog = c, .parent = parent, .flags = flags};
    int rc = c->env ? catalog_guarded(c, call_begin, &call) : MDB_PANIC;

    *txn = call.txn;
    return rc;
}

static int renew_txn(void *ctx)
{
    return mdb_txn_renew(ctx);
}

static int reset_txn(void *ctx)
{
    mdb_txn_reset(ctx);
    return 0;
}

static int commit_txn(void *ctx)
{
    return mdb_txn_commit(ctx);
}

static int abort_txn(void *ctx)
{
    mdb_txn_abort(ctx);
    return 0;
}

static int call_enlarge(void *ctx)
{
    struct call *call = ctx;
    MDB_env *env = call->catalog->env;
    MDB_envinfo info;
    int rc = mdb_env_info(env, &info);

    if (call->flags) /* as another process has made it */
        return mdb_env_set_mapsize(env, 0);
    size_t used = (info.me_last_pgno + 1) * (size_t)sysconf(_SC_PAGESIZE);
    return rc == 0 && used > info.me_mapsize / 4 * 3 ? mdb_env_set_mapsize(env, info.me_mapsize * 2)
                                                     : rc;
}

/* Not with a transaction open: it would lose its map. That it cannot be larger shows when it is
 * full. */
static void enlarge_map(struct catalog *c, bool as_others)
{
    struct call call = {.catalog = c, .flags = as_others};

    if (c->env && c->open_txns == 0)
        (void)catalog_guarded(c, call_enlarge, &call);
}

/* ---- beginning ---- */

static enum st begin_failed(struct catalog *c, int rc)
{
    if (rc == MDB_READERS_FULL)
        return st_hint(st_fail(ST_UNAVAILABLE, "TOO_MANY_READERS",
                               "%d transactions read the catalog already", CATALOG_READERS),
                       "run fewer commands on the directory at the same time");
    return catalog_lmdb_fail(c, rc, "opening a transaction of the catalog");
}

/* After MDB_PANIC. What is open elsewhere in this process would lose its map. */
static enum st reopen(struct catalog *c)
{
    if (c->open_txns)
        return begin_failed(c, MDB_PANIC);
    catalog_close_env(c);
    return catalog_open_whole(c);
}

static enum st begin(MDB_txn **txn, struct catalog *c, unsigned flags)
{
    enum st st = catalog_look(c);

    if (st)
        return st;
    int rc = begin_txn(txn, c, NULL, flags);
    if (rc == MDB_PANIC)
        st = reopen(c);
    else if (rc == MDB_READERS_FULL)
        catalog_check_readers(c); /* some may be dead */
    else if (rc == MDB_MAP_RESIZED)
        enlarge_map(c, true);
    else
        return rc == 0 ? ST_OK : begin_failed(c, rc);
    if (st)
        return st;
    rc = begin_txn(txn, c, NULL, flags);
    return rc == 0 ? ST_OK : begin_failed(c, rc);
}

static enum st begin_reading(MDB_txn **txn, struct catalog *c)
{
    MDB_txn *idle = c->idle;
    enum st st = idle ? catalog_look(c) : ST_OK;

    if (st)
        return st;
    c->idle = NULL;
    if (idle && catalog_guarded(c, renew_txn, idle) == 0) {
        *txn = idle;
        return ST_OK;
    }
    if (idle)
        (void)catalog_guarded(c, abort_txn, idle);
    return begin(txn, c, MDB_RDONLY);
}

/* Who was left by a jump while it wrote has left LMDB's lock taken: then ours stays taken too, and
 * says so to who waits. */
static void unlock(struct catalog *c)
{
    if (c->state != CATALOG_ABANDONED)
        catalog_lock_give_back(&c->lock);
}

static enum st begin_writing(MDB_txn **txn, struct catalog *c)
{
    enum st st = catalog_lock_take(&c->lock, c->path);

    if (st)
        return st;
    enlarge_map(c, false);
    st = begin(txn, c, 0);
    if (st)
        unlock(c);
    return st;
}

static enum st begin_inside(MDB_txn **txn, struct catalog *c, MDB_txn *parent)
{
    int rc = begin_txn(txn, c, parent, 0);

    return rc == 0 ? ST_OK : begin_failed(c, rc);
}

static enum st begin_in_group(MDB_txn **txn, struct catalog *c)
{
    struct catalog_group *g = &c->group;
    enum st st = ST_OK;

    if (g->refused)
        return st_fail(ST_TIMEOUT, "CATALOG_BUSY", "somebody else writes to the catalog");
    if (!g->txn) {
        st = begin_writing(&g->txn, c);
        if (st) {
            g->txn = NULL;
            g->refused = catalog_is_busy(st);
            return st;
        }
        c->open_txns++;
    }
    if (g->in_part && !g->part) {
        st = begin_inside(&g->part, c, g->txn);
        if (st) {
            g->part = NULL;
            return st;
        }
        c->open_txns++;
    }
    return begin_inside(txn, c, g->part ? g->part : g->txn);
}

static void settle_begin(struct catalog_txn *t, MDB_txn *txn, enum st st)
{
    t->status = st;
    t->txn = st ? NULL : txn;
    if (!st)
        t->catalog->open_txns++;
}

void catalog_begin_read(struct catalog_txn *t, struct catalog *c)
{
    MDB_txn *txn = NULL;
    enum st st = begin_reading(&txn, c);

    *t = (struct catalog_txn){.catalog = c};
    settle_begin(t, txn, st);
}

void catalog_begin_write(struct catalog_txn *t, struct catalog *c)
{
    MDB_txn *txn = NULL;
    enum st st = c->group.open ? begin_in_group(&txn, c) : begin_writing(&txn, c);

    *t = (struct catalog_txn){.catalog = c, .writes = true};
    settle_begin(t, txn, st);
}

uint64_t catalog_txn_id(const struct catalog_txn *t)
{
    return t->txn ? mdb_txn_id(t->txn) : 0;
}

void catalog_fail(struct catalog_txn *t, enum st status)
{
    if (t->status == ST_OK)
        t->status = status;
}

bool catalog_is_busy(enum st st)
{
    return st == ST_TIMEOUT && strcmp(st_code(), "CATALOG_BUSY") == 0;
}

/* ---- ending ---- */

/* Writes something, so that there is a commit. */
static enum st fix(struct catalog *c, MDB_txn *txn)
{
    struct catalog_txn t = {.catalog = c, .txn = txn};
    json_t *row = json_pack("{s:I}", "next", (json_int_t)mdb_txn_id(txn));

    catalog_put(&t, CATALOG_COUNTERS, "read_back", row);
    json_decref(row);
    if (t.status) {
        (void)catalog_guarded(c, abort_txn, txn);
        return t.status;
    }
    int rc = catalog_guarded(c, commit_txn, txn);
    return rc == 0 ? ST_OK : catalog_lmdb_fail(c, rc, "reading the catalog back");
}

/* What became of transaction `id`, whose commit ended with `rc`? The writers' lock is held. */
static enum st read_back(struct catalog *c, uint64_t id, int rc)
{
    MDB_txn *txn = NULL;

    if (begin_txn(&txn, c, NULL, 0) == 0) { /* it did not come to the meta page */
        (void)catalog_guarded(c, abort_txn, txn);
        return catalog_lmdb_fail(c, rc, "committing to the catalog");
    }
    enum st st = c->state == CATALOG_USABLE ? reopen(c) : ST_CORRUPT;
    if (!st)
        st = begin(&txn, c, 0);
    bool happened = !st && mdb_txn_id(txn) > id;
    if (!st)
        st = fix(c, txn);
    if (st)
        return st_hint(st_fail(ST_UNKNOWN_OUTCOME, NULL,
                               "the commit to the catalog failed at its end (%s); whether it "
                               "happened could not be read back",
                               mdb_strerror(rc)),
                       "look again when the disk is well; the system's log says what it has");
    log_event(LOG_LEVEL_WARN, "read_back", "a commit failed at its end (%s): it %s",
              mdb_strerror(rc), happened ? "happened" : "did not happen");
    return happened ? ST_OK : catalog_lmdb_fail(c, rc, "committing to the catalog");
}

/* Gone, whatever comes of it. A file that was cut since the transaction began is not made longer
 * again: what was cut off would be zeros, and nobody would know. */
static enum st commit_and_unlock(struct catalog *c, MDB_txn *txn)
{
    uint64_t id = mdb_txn_id(txn);
    enum st st = catalog_look(c);
    int rc = st ? catalog_guarded(c, abort_txn, txn) : catalog_guarded(c, commit_txn, txn);

    c->open_txns--;
    if (!st && rc != 0)
        st = read_back(c, id, rc);
    unlock(c);
    return st;
}

static enum st commit_into_group(struct catalog *c, MDB_txn *txn)
{
    int rc = catalog_guarded(c, commit_txn, txn);

    c->open_txns--;
    if (c->group.in_part)
        c->group.part_written += rc == 0;
    else
        c->group.written += rc == 0;
    return rc == 0 ? ST_OK : catalog_lmdb_fail(c, rc, "writing to the catalog");
}

enum st catalog_commit(struct catalog_txn *t)
{
    MDB_txn *txn = t->txn;

    if (t->status)
        return catalog_end(t);
    t->txn = NULL;
    t->status = t->catalog->group.open ? commit_into_group(t->catalog, txn)
                                       : commit_and_unlock(t->catalog, txn);
    return t->status;
}

enum st catalog_end(struct catalog_txn *t)
{
    struct catalog *c = t->catalog;

    if (!t->txn)
        return t->status;
    c->open_txns--;
    if (t->writes || c->idle)
        (void)catalog_guarded(c, abort_txn, t->txn);
    else if (catalog_guarded(c, reset_txn, t->txn) == 0)
        c->idle = t->txn;
    if (t->writes && !c->group.open)
        unlock(c);
    t->txn = NULL;
    return t->status;
}

/* ---- groups ---- */

void catalog_group_begin(struct catalog *c)
{
    c->group = (struct catalog_group){.open = true};
}

void catalog_group_note_head(struct catalog_txn *t, const char *key)
{
    struct catalog_group *g = &t->catalog->group;

    if (!g->open)
        return;
    if (!g->heads)
        g->heads = json_object();
    if (json_object_set_new(g->heads, key, json_true()) != 0)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
}

void catalog_group_check_head(struct catalog_txn *t, const char *key)
{
    if (t->writes && json_object_get(t->catalog->group.heads, key))
        catalog_fail(t, st_fail(ST_TIMEOUT, "CATALOG_BUSY",
                                "somebody else is changing the dataset at this moment"));
}

void catalog_part_begin(struct catalog *c)
{
    c->group.in_part = c->group.open;
}

enum st catalog_part_end(struct catalog *c, bool keep)
{
    struct catalog_group *g = &c->group;
    MDB_txn *part = g->part;

    keep = keep && g->part_written;
    g->in_part = false;
    g->part = NULL;
    g->part_written = 0;
    if (!part)
        return ST_OK;
    if (keep)
        return commit_into_group(c, part);
    (void)catalog_guarded(c, abort_txn, part);
    c->open_txns--;
    return ST_OK;
}

enum st catalog_group_end(struct catalog *c)
{
    struct catalog_group g = c->group;
    enum st st = ST_OK;

    c->group = (struct catalog_group){.open = false};
    json_decref(g.heads);
    if (g.written) {
        st = commit_and_unlock(c, g.txn);
    } else if (g.txn) {
        (void)catalog_guarded(c, abort_txn, g.txn);
        c->open_txns--;
        unlock(c);
    }
    return st;
}

/* ---- lock table ---- */

enum st catalog_touch(struct catalog *c)
{
    struct catalog_txn t;

    catalog_begin_write(&t, c);
    return catalog_end(&t);
}

#include "store/catalog_internal.h"

#include "store/env.h"
#include "store/guard.h"

#include <errno.h>
#include <sys/stat.h>

/* The catalog's file, as a process has it open. How it is opened: catalog_open.c; transactions:
 * catalog_txn.c; what is done inside one: catalog_steps.c.
 *
 * The file can come to harm while it is open. It is looked at before each transaction: removed,
 * replaced or cut, it is damaged, and LMDB is not asked. For a page that is gone in spite of that,
 * or cannot be read, every call of LMDB runs in a guard (store/guard.h), and so for an assertion of
 * LMDB's. What such a jump leaves behind is in no state that LMDB knows: nothing of the environment
 * is touched or freed from then on, all that comes after is refused, and the process goes on
 * without a catalog until it is started again. If it was writing, it keeps the writers'
 * lock: LMDB's own may be taken for ever, and who waits for ours is told so in time. */

const char *const catalog_table_names[CATALOG_TABLES] = {
    [CATALOG_COUNTERS] = "counters",
    [CATALOG_TENANTS] = "tenants",
    [CATALOG_DEFINITIONS] = "definitions",
    [CATALOG_HEADS] = "heads",
    [CATALOG_VERSIONS] = "versions",
    [CATALOG_REJECTS] = "rejects",
    [CATALOG_EVENTS] = "events",
    [CATALOG_JOBS] = "jobs",
    [CATALOG_TENANT_JOBS] = "tenant_jobs",
    [CATALOG_QUEUE] = "queue",
    [CATALOG_PINS] = "pins",
    [CATALOG_CANDIDATES] = "candidates",
    [CATALOG_ACKS] = "acks",
    [CATALOG_SEALS] = "seals",
    [CATALOG_REVOCATIONS] = "revocations",
    [CATALOG_UPLOADS] = "uploads",
    [CATALOG_REPEATS] = "repeats",
    [CATALOG_STARTS] = "starts",
    [CATALOG_HOOKS] = "hooks",
    [CATALOG_ANCHORS] = "anchors",
    [CATALOG_USAGE] = "usage",
};

static MDB_env *abandoned; /* the last one: its lock must stay mapped while this thread lives */

int catalog_guarded(struct catalog *c, int (*fn)(void *ctx), void *ctx)
{
    struct guard g;

    if (c->state == CATALOG_ABANDONED)
        return MDB_CORRUPTED;
    if (!guard_begin(&g)) {
        abandoned = c->env;
        c->state = CATALOG_ABANDONED;
        return MDB_CORRUPTED;
    }
    int rc = fn(ctx);
    guard_end(&g);
    return rc;
}

enum st catalog_lmdb_fail(struct catalog *c, int rc, const char *what)
{
    enum st st = c->state == CATALOG_USABLE ? store_env_fail(rc, what) : ST_CORRUPT;

    if (st != ST_CORRUPT)
        return st;
    if (c->state == CATALOG_USABLE)
        c->state = CATALOG_LOST;
    return catalog_damaged(c->path, c->state == CATALOG_ABANDONED
                                        ? "a page of it cannot be read any more"
                                        : "its pages contradict each other");
}

enum st catalog_look(struct catalog *c)
{
    struct stat opened, named;
    int fd;

    if (c->state != CATALOG_USABLE)
        return catalog_lmdb_fail(c, MDB_CORRUPTED, "");
    if (!c->env)
        return ST_OK; /* looked at when it is opened */
    if (mdb_env_get_fd(c->env, &fd) != 0 || fstat(fd, &opened) != 0)
        return st_fail_errno(errno, "%s", c->path);
    if (stat(c->path, &named) != 0 || named.st_ino != opened.st_ino ||
        named.st_dev != opened.st_dev)
        return catalog_damaged(c->path, "it was removed or replaced while it was open");
    if (opened.st_size < c->file_bytes) /* LMDB never makes it shorter */
        return catalog_damaged(c->path, "it was cut while it was open");
    c->file_bytes = opened.st_size;
    return ST_OK;
}

struct information {
    MDB_env *env;
    MDB_envinfo info;
};

static int ask_env(void *ctx)
{
    struct information *i = ctx;

    return mdb_env_info(i->env, &i->info);
}

bool catalog_moved(struct catalog *c, uint64_t seen)
{
    struct information i = {.env = c->env};

    return !c->env || (catalog_guarded(c, ask_env, &i) == 0 && i.info.me_last_txnid != seen);
}

static int check_readers(void *ctx)
{
    int dead;

    return mdb_reader_check(ctx, &dead);
}

void catalog_check_readers(struct catalog *c)
{
    if (c->env) /* best effort: a slot that stays costs only space */
        (void)catalog_guarded(c, check_readers, c->env);
}

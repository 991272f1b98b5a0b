#include "store/catalog_internal.h"

#include "store/catalog_check.h"
#include "store/env.h"
#include "store/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The catalog's file and its transactions; what is done inside one: catalog_steps.c.
 *
 * The file can come to harm while it is open. It is looked at before each transaction: removed,
 * replaced or cut, it is damaged, and LMDB is not asked. For a page that is gone in spite of that,
 * or cannot be read, every call of LMDB runs in a guard (store/guard.h), and so for an assertion of
 * LMDB's. What such a jump leaves behind is in no state that LMDB knows: nothing of the environment
 * is touched or freed from then on, all that comes after is refused, and the process goes on
 * without a catalog until it is started again. The writer's lock may stay with it. */

const char *const catalog_table_names[CATALOG_TABLES] = {
    [CATALOG_COUNTERS] = "counters",
    [CATALOG_TENANTS] = "tenants",
    [CATALOG_DEFINITIONS] = "definitions",
    [CATALOG_HEADS] = "heads",
    [CATALOG_VERSIONS] = "versions",
    [CATALOG_EVENTS] = "events",
    [CATALOG_JOBS] = "jobs",
    [CATALOG_QUEUE] = "queue",
    [CATALOG_PINS] = "pins",
    [CATALOG_CANDIDATES] = "candidates",
    [CATALOG_ACKS] = "acks",
    [CATALOG_SEALS] = "seals",
    [CATALOG_REVOCATIONS] = "revocations",
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

static int open_tables_in(struct catalog *c, unsigned txn_flags, unsigned table_flags)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, txn_flags, &txn);

    for (int i = 0; rc == 0 && i < CATALOG_TABLES; i++)
        rc = mdb_dbi_open(txn, catalog_table_names[i], table_flags, &c->tables[i]);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

/* Reading first: who starts must not wait for a writer that is stopped. */
static int open_or_make_tables(void *ctx)
{
    struct catalog *c = ctx;
    int rc = open_tables_in(c, MDB_RDONLY, 0);

    return rc == MDB_NOTFOUND ? open_tables_in(c, 0, MDB_CREATE) : rc;
}

static enum st open_tables(struct catalog *c)
{
    int rc = catalog_guarded(c, open_or_make_tables, c);

    return rc == 0 ? ST_OK : catalog_lmdb_fail(c, rc, "opening the tables of the catalog");
}

static enum st open_env(struct catalog *c, const char *path, unsigned flags)
{
    int rc = mdb_env_create(&c->env);

    if (rc == 0)
        rc = mdb_env_set_maxdbs(c->env, CATALOG_TABLES);
    if (rc == 0)
        rc = mdb_env_set_mapsize(c->env, CATALOG_MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(c->env, 510);
    if (rc == 0)
        rc = mdb_env_set_assert(c->env, store_env_assert);
    if (rc == 0)
        rc = mdb_env_open(c->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
    c->file_bytes = 0;
    if (rc == 0)
        return ST_OK;
    catalog_close(c);
    return store_env_fail(rc, "opening the catalog");
}

/* A catalog that was half made when its maker was stopped would be refused for ever. So it is made
 * under another name, and takes its own when it is whole; unless somebody else was faster. */
static enum st make_catalog(const char *path)
{
    char temporary[FS_PATH_MAX];
    struct catalog c = {0};
    enum st st = fs_temporary(temporary, path);

    if (st)
        return st;
    st = open_env(&c, temporary, MDB_NOLOCK);
    if (!st)
        st = open_tables(&c);
    catalog_close(&c);
    if (st) {
        (void)unlink(temporary);
        return st;
    }
    st = fs_name_new(temporary, path);
    return st == ST_CONFLICT ? ST_OK : st;
}

static enum st open_whole(struct catalog *c)
{
    enum st st = catalog_check_beginning(c->path);

    if (!st)
        st = open_env(c, c->path, 0);
    if (st)
        return st;
    catalog_check_readers(c);
    st = catalog_check(c, false);
    if (!st)
        st = open_tables(c);
    if (st)
        catalog_close(c);
    return st;
}

enum st catalog_open(struct catalog *c, const char *path)
{
    enum st st = fs_path(c->path, "%s", path);

    if (!st && access(path, F_OK) != 0)
        st = make_catalog(path);
    return st ? st : open_whole(c);
}

static int close_env(void *ctx)
{
    mdb_env_close(ctx); /* which writes to the lock file */
    return 0;
}

void catalog_close(struct catalog *c)
{
    if (c->env)
        (void)catalog_guarded(c, close_env, c->env);
    c->env = NULL;
}

struct beginning {
    struct catalog_txn *t;
    unsigned flags;
};

static int begin_txn(void *ctx)
{
    struct beginning *b = ctx;

    return mdb_txn_begin(b->t->catalog->env, NULL, b->flags, &b->t->txn);
}

/* After a failed write of its meta page LMDB refuses everything until the environment is opened
 * again; the disk may be well by then. Whether that commit happened is what the file says. */
static void begin(struct catalog_txn *t, struct catalog *c, unsigned flags)
{
    struct beginning b = {t, flags};
    int rc = MDB_PANIC;

    *t = (struct catalog_txn){.catalog = c, .status = catalog_look(c)};
    if (t->status)
        return;
    if (c->env)
        rc = catalog_guarded(c, begin_txn, &b);
    if (rc == MDB_PANIC && c->open_txns == 0) {
        catalog_close(c);
        t->status = open_whole(c);
        if (!t->status)
            rc = catalog_guarded(c, begin_txn, &b);
    }
    if (rc == 0)
        c->open_txns++;
    else
        t->txn = NULL;
    if (rc != 0 && !t->status)
        t->status = catalog_lmdb_fail(c, rc, "opening a transaction of the catalog");
}

void catalog_begin_read(struct catalog_txn *t, struct catalog *c)
{
    begin(t, c, MDB_RDONLY);
}

void catalog_begin_write(struct catalog_txn *t, struct catalog *c)
{
    begin(t, c, 0);
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

static int commit_txn(void *ctx)
{
    return mdb_txn_commit(ctx);
}

static int abort_txn(void *ctx)
{
    mdb_txn_abort(ctx);
    return 0;
}

/* A file that was cut since the transaction began is not made longer again: what was cut off would
 * be zeros, and nobody would know. */
enum st catalog_commit(struct catalog_txn *t)
{
    struct catalog *c = t->catalog;

    if (!t->status)
        t->status = catalog_look(c);
    if (t->status)
        return catalog_end(t);

    int rc = catalog_guarded(c, commit_txn, t->txn);
    t->txn = NULL; /* gone, whatever rc says */
    c->open_txns--;
    if (rc == ENOSPC || rc == MDB_MAP_FULL)
        t->status = store_env_fail(rc, "committing to the catalog");
    else if (rc != 0)
        t->status = st_fail(ST_UNKNOWN_OUTCOME, NULL,
                            "the commit to the catalog failed at its end (%s); whether it happened "
                            "shows when the catalog is read again",
                            mdb_strerror(rc));
    return t->status;
}

enum st catalog_end(struct catalog_txn *t)
{
    if (t->txn) {
        (void)catalog_guarded(t->catalog, abort_txn, t->txn);
        t->catalog->open_txns--;
    }
    t->txn = NULL;
    return t->status;
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

enum st catalog_touch(struct catalog *c)
{
    struct catalog_txn t;

    catalog_begin_write(&t, c);
    return catalog_end(&t);
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

#include "store/catalog_internal.h"

#include "store/catalog_check.h"
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct tables {
    struct catalog *catalog;
    unsigned txn_flags, table_flags;
    struct buf format; /* of a catalog that is being made */
};

static int open_tables_in(void *ctx)
{
    struct tables *tables = ctx;
    struct catalog *c = tables->catalog;
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, tables->txn_flags, &txn);

    for (int i = 0; rc == 0 && i < CATALOG_TABLES; i++)
        rc = mdb_dbi_open(txn, catalog_table_names[i], tables->table_flags, &c->tables[i]);
    if (rc == 0 && tables->format.len)
        rc = catalog_format_put(txn, c->tables[CATALOG_COUNTERS], &tables->format);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static int find_tables(struct catalog *c)
{
    return catalog_guarded(c, open_tables_in,
                           &(struct tables){.catalog = c, .txn_flags = MDB_RDONLY});
}

static enum st make_tables(struct catalog *c)
{
    struct tables tables = {.catalog = c, .table_flags = MDB_CREATE};

    buf_init(&tables.format, 256);
    catalog_format_make(&tables.format);
    enum st st = buf_status(&tables.format);
    int rc = st ? 0 : catalog_guarded(c, open_tables_in, &tables);
    buf_release(&tables.format);
    return st || rc == 0 ? st : catalog_lmdb_fail(c, rc, "making the tables of the catalog");
}

/* Reading first: who starts must not wait for a writer that is stopped. */
static enum st open_tables(struct catalog *c)
{
    int rc = find_tables(c);

    if (rc == MDB_NOTFOUND) {
        enum st st = catalog_lock_take(&c->lock, c->path);
        if (st)
            return st;
        st = make_tables(c);
        catalog_lock_give_back(&c->lock);
        return st;
    }
    return rc == 0 ? ST_OK : catalog_lmdb_fail(c, rc, "opening the tables of the catalog");
}

/* LMDB maps its table of readers, and writes to it: where the disk has no block for a page of it,
 * that is a signal. So its blocks are there before. */
static enum st reserve_lock_file(const char *catalog_path)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s-lock", catalog_path);
    struct stat sb;

    if (st)
        return st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EROFS)
        return ST_OK;
    if (fd < 0 || fstat(fd, &sb) != 0)
        st = st_fail_errno(errno, "opening %s", path);
    else if (sb.st_blocks * 512 < CATALOG_LOCK_BYTES &&
             fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, CATALOG_LOCK_BYTES) != 0 &&
             (errno == ENOSPC || errno == EDQUOT))
        st = st_fail_errno(errno, "making room for %s", path);
    fs_close(&fd);
    return st;
}

static enum st open_env(struct catalog *c, const char *path, unsigned flags)
{
    int rc = mdb_env_create(&c->env);

    if (rc == 0)
        rc = mdb_env_set_maxdbs(c->env, CATALOG_TABLES);
    if (rc == 0)
        rc = mdb_env_set_mapsize(c->env, CATALOG_MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(c->env, CATALOG_READERS);
    if (rc == 0)
        rc = mdb_env_set_assert(c->env, store_env_assert);
    if (rc == 0)
        rc = mdb_env_open(c->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
    c->file_bytes = 0;
    if (rc == 0)
        return ST_OK;
    catalog_close_env(c);
    if (rc == EROFS && !(flags & MDB_RDONLY)) /* where nobody can write, reading needs no lock */
        return open_env(c, path, flags | MDB_RDONLY);
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
        st = make_tables(&c);
    catalog_close(&c);
    if (st) {
        (void)unlink(temporary);
        return st;
    }
    st = fs_name_new(temporary, path);
    return st == ST_CONFLICT ? ST_OK : st;
}

enum st catalog_open_whole(struct catalog *c)
{
    enum st st = catalog_check_beginning(c->path);

    if (!st)
        st = reserve_lock_file(c->path);
    if (!st)
        st = open_env(c, c->path, 0);
    if (st)
        return st;
    catalog_check_readers(c);
    st = catalog_check(c, false);
    if (!st)
        st = catalog_format_check(c);
    if (!st)
        st = open_tables(c);
    if (st)
        catalog_close_env(c);
    return st;
}

enum st catalog_open(struct catalog *c, const char *path)
{
    enum st st = fs_path(c->path, "%s", path);

    if (!st && access(path, F_OK) != 0)
        st = make_catalog(path);
    return st ? st : catalog_open_whole(c);
}

static int close_env(void *ctx)
{
    struct catalog *c = ctx;

    if (c->idle)
        mdb_txn_abort(c->idle);
    mdb_env_close(c->env); /* which writes to the lock file */
    return 0;
}

void catalog_close_env(struct catalog *c)
{
    if (c->env)
        (void)catalog_guarded(c, close_env, c);
    c->idle = NULL;
    c->env = NULL;
}

void catalog_close(struct catalog *c)
{
    catalog_close_env(c);
    catalog_lock_close(&c->lock);
}

#include "store/catalog_copy.h"

#include "base/fs.h"
#include "store/catalog_internal.h"
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Not mdb_env_copy2: it takes a transaction of its own, and who copies has already read in this one
 * what the copy must agree with. */

#define COMMIT_BYTES ((size_t)32 << 20) /* what one transaction holds in memory */

struct copy {
    MDB_env *env;
    MDB_txn *txn;
    size_t bytes; /* in the transaction */
};

static int begin(struct copy *c)
{
    c->bytes = 0;
    return mdb_txn_begin(c->env, NULL, 0, &c->txn);
}

static int commit(struct copy *c)
{
    MDB_txn *txn = c->txn;

    c->txn = NULL; /* gone, whatever comes of it */
    return mdb_txn_commit(txn);
}

static enum st copy_table(struct copy *c, MDB_dbi to, struct catalog_txn *from,
                          enum catalog_table table)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct buf value;
    int rc = 0;

    buf_init(&value, CATALOG_CHECKSUM_BYTES + CATALOG_VALUE_MAX);
    while (rc == 0 && catalog_next_stored(from, table, key, &value)) {
        MDB_val k = {strlen(key), key}, v = {value.len, value.data};
        c->bytes += k.mv_size + v.mv_size;
        rc = mdb_put(c->txn, to, &k, &v, MDB_APPEND);
        if (rc == 0 && c->bytes >= COMMIT_BYTES) {
            rc = commit(c);
            rc = rc ? rc : begin(c);
        }
    }
    buf_release(&value);
    return rc ? store_env_fail(rc, "copying the catalog") : from->status;
}

static enum st copy_tables(struct copy *c, struct catalog_txn *from,
                           const bool left_out[CATALOG_TABLES])
{
    enum st st = ST_OK;
    MDB_dbi to;

    for (int i = 0; !st && i < CATALOG_TABLES; i++) {
        int rc = mdb_dbi_open(c->txn, catalog_table_names[i], MDB_CREATE, &to);
        if (rc != 0)
            st = store_env_fail(rc, "opening a table of the catalog's copy");
        else if (!left_out[i])
            st = copy_table(c, to, from, (enum catalog_table)i);
    }
    return st;
}

static enum st sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return st_fail_errno(errno, "%s", path);
    enum st st = fs_sync_fd(fd, path);
    fs_close(&fd);
    return st;
}

enum st catalog_copy(const char *path, struct catalog_txn *from,
                     const bool left_out[CATALOG_TABLES])
{
    struct copy c = {0};
    MDB_envinfo source;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum st st = fd < 0 ? st_fail_errno(errno, "creating %s", path) : ST_OK;
    int rc = 0;

    fs_close(&fd);
    if (st || from->status)
        return st ? st : from->status;
    rc = mdb_env_info(from->catalog->env, &source);
    if (rc == 0)
        rc = mdb_env_create(&c.env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(c.env, CATALOG_TABLES);
    if (rc == 0)
        rc = mdb_env_set_mapsize(c.env, source.me_mapsize);
    if (rc == 0) /* synced once, at the end */
        rc = mdb_env_open(c.env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
    if (rc == 0)
        rc = begin(&c);
    if (rc == 0)
        st = copy_tables(&c, from, left_out);
    if (rc == 0 && !st)
        rc = commit(&c);
    if (c.txn)
        mdb_txn_abort(c.txn);
    if (c.env)
        mdb_env_close(c.env);
    if (rc != 0)
        st = store_env_fail(rc, "copying the catalog");
    return st ? st : sync_file(path);
}

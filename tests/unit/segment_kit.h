/* Segments as no build writes them: a file is opened for writing, changed and cut to its last page.
 */
#ifndef EVERLINE_TESTS_SEGMENT_KIT_H
#define EVERLINE_TESTS_SEGMENT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lmdb.h>
#include <unistd.h>

struct segment_edit {
    const char *path;
    MDB_env *env;
    MDB_txn *txn;
};

/* Makes the file when it is not there. */
static inline void segment_edit_begin(struct segment_edit *e, const char *path)
{
    e->path = path;
    assert_int_equal(mdb_env_create(&e->env), 0);
    assert_int_equal(mdb_env_set_mapsize(e->env, (size_t)256 << 30), 0);
    assert_int_equal(mdb_env_set_maxdbs(e->env, 8), 0);
    assert_int_equal(mdb_env_open(e->env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
    assert_int_equal(mdb_txn_begin(e->env, NULL, 0, &e->txn), 0);
}

/* Into a database, made when it is not there; without a key nothing more is done. */
static inline void segment_edit_put(struct segment_edit *e, const char *database, const void *key,
                                    size_t key_len, const void *value, size_t value_len)
{
    MDB_val k = {key_len, (void *)(uintptr_t)key}, v = {value_len, (void *)(uintptr_t)value};
    MDB_dbi db;

    assert_int_equal(mdb_dbi_open(e->txn, database, MDB_CREATE, &db), 0);
    if (key_len)
        assert_int_equal(mdb_put(e->txn, db, &k, &v, 0), 0);
}

static inline void segment_edit_end(struct segment_edit *e)
{
    MDB_envinfo info;

    assert_int_equal(mdb_txn_commit(e->txn), 0);
    assert_int_equal(mdb_env_info(e->env, &info), 0);
    mdb_env_close(e->env);
    assert_int_equal(truncate(e->path, (off_t)(info.me_last_pgno + 1) * 4096), 0);
}

#endif

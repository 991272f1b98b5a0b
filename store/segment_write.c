#include "base/fs.h"
#include "base/word.h"
#include "store/env.h"
#include "store/segment_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writing a segment: one pass in key order, which fills its pages as MDB_APPEND does.
 *
 * The same records must give the same bytes, because a segment is named by its hash. What decides
 * where LMDB puts a page is the order of puts and commits, and both meta pages keep the map size:
 * so the map size is a constant, a commit follows every COMMIT_BYTES of what was put (not of time
 * or of memory), nothing is put out of order, and `meta` has canonical JSON without version, job or
 * time. Pages are zeroed before use (no MDB_NOMEMINIT), so that no memory of the process gets to
 * disk. No MDB_WRITEMAP: a full disk must be an error, not a signal. Commits do not sync
 * (MDB_NOSYNC): the file is nobody's until the one sync at the end. */

/* Few enough that the dirty pages are in the processor's cache when they are written. */
#define COMMIT_BYTES (4u << 20)
#define WRITE_BACK_BYTES (256u << 10) /* a call that hands it to the disk is not preempted */
/* A longer value counts as one that has pages of its own, whatever LMDB's pages are. */
#define INLINE_MAX 2000u
#define PAGE_BYTES 4096u

/* What LMDB takes of a page: its header; and of a node its header and its place in the page's list,
 * even; a node of which a page does not take two has the number of the page that its value is on.
 * LMDB's pages are as large as the machine's. */
#define PAGE_HEADER_BYTES 16u
#define NODE_HEADER_BYTES 8u
#define NODE_PLACE_BYTES 2u
#define KEY_MAX 511u

struct store_segment_writer {
    struct store_segment_info info;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta, records;
    MDB_dbi sets[STORE_SETS_MAX];
    MDB_cursor *cursor; /* on the database that is being filled */
    MDB_dbi cursor_db;
    size_t
        filling; /* 0: records; i + 1: grouping set i. Never goes back: the order of puts counts */
    size_t uncommitted; /* bytes put since the last commit */
    size_t page_room;   /* in an empty page */
    size_t room;        /* in the last page of what is filled */
    bool on_last_page;  /* the cursor, with all pages above */
    unsigned char last_key[KEY_MAX];
    size_t last_key_len; /* 0: none yet */
    off_t written_back;  /* the disk has begun to write what is before */
    uint64_t record_count;
    uint64_t cell_counts[STORE_SETS_MAX];
    struct buf value;
    int fd;         /* of the file, for its fsync */
    enum st status; /* sticky */
};

static int open_databases(struct store_segment_writer *w)
{
    const struct store_definition *d = w->info.definition;
    char name[SEGMENT_DB_NAME_SIZE];
    MDB_stat stat;
    int rc = mdb_env_stat(w->env, &stat);

    if (rc == 0) {
        w->page_room = stat.ms_psize - PAGE_HEADER_BYTES;
        rc = mdb_dbi_open(w->txn, SEGMENT_META, MDB_CREATE, &w->meta);
    }
    if (rc == 0)
        rc = mdb_dbi_open(w->txn, SEGMENT_RECORDS, MDB_CREATE, &w->records);
    if (rc == 0)
        rc = mdb_set_compare(w->txn, w->records, segment_compare_keys);
    for (size_t i = 0; rc == 0 && i < d->set_count; i++) {
        segment_rollup_name(name, &d->sets[i]);
        rc = mdb_dbi_open(w->txn, name, MDB_CREATE, &w->sets[i]);
    }
    return rc;
}

enum st store_segment_writer_open(struct store_segment_writer **out, const char *path,
                                  const struct store_segment_info *info)
{
    static const unsigned FLAGS = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC;
    struct store_segment_writer *w = calloc(1, sizeof *w);
    int rc;

    *out = NULL;
    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    w->info = *info;
    buf_init(&w->value, STORE_CELL_MAX);
    w->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        enum st st = errno == EEXIST
                         ? st_fail(ST_CONFLICT, "EXISTS", "a file of the segment's name exists")
                         : st_fail_errno(errno, "creating a segment");
        store_segment_writer_free(w);
        return st;
    }
    rc = mdb_env_create(&w->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(w->env, SEGMENT_MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(w->env, SEGMENT_DBS_MAX);
    if (rc == 0)
        rc = mdb_env_open(w->env, path, FLAGS, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(w->env, NULL, 0, &w->txn);
    if (rc == 0)
        rc = open_databases(w);
    if (rc != 0) {
        store_segment_writer_free(w);
        return store_env_fail(rc, "creating a segment");
    }
    *out = w;
    return ST_OK;
}

static enum st failed(struct store_segment_writer *w, enum st st)
{
    w->status = st;
    return st;
}

static int file_bytes(off_t *bytes, MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    int rc = mdb_env_info(env, &info);

    if (rc == 0)
        rc = mdb_env_stat(env, &stat);
    if (rc == 0)
        *bytes = (off_t)((info.me_last_pgno + 1) * stat.ms_psize);
    return rc;
}

/* The disk begins now, and the sync at the end waits for less; nothing depends on it. In small
 * steps, because the one who waits for this processor may be a server. */
static void write_back(struct store_segment_writer *w)
{
    off_t end;

    if (file_bytes(&end, w->env) != 0)
        return;
    for (; w->written_back < end; w->written_back += WRITE_BACK_BYTES)
        (void)sync_file_range(w->fd, w->written_back, WRITE_BACK_BYTES, SYNC_FILE_RANGE_WRITE);
    w->written_back = end;
}

static int commit(struct store_segment_writer *w)
{
    if (w->cursor)
        mdb_cursor_close(w->cursor);
    w->cursor = NULL;
    w->uncommitted = 0;
    int rc = mdb_txn_commit(w->txn);
    w->txn = NULL; /* gone, whatever rc says */
    if (rc == 0)
        write_back(w);
    return rc;
}

/* Puts the cursor on the database. */
static int turn_to(struct store_segment_writer *w, MDB_dbi db)
{
    int rc = 0;

    if (w->uncommitted >= COMMIT_BYTES) {
        rc = commit(w);
        if (rc == 0)
            rc = mdb_txn_begin(w->env, NULL, 0, &w->txn);
    }
    if (w->cursor_db != db) {
        if (w->cursor)
            mdb_cursor_close(w->cursor);
        w->cursor = NULL;
        w->cursor_db = db;
        w->room = w->last_key_len = 0;
    }
    if (rc == 0 && !w->cursor) {
        rc = mdb_cursor_open(w->txn, db, &w->cursor);
        w->on_last_page = false;
    }
    return rc;
}

static size_t node_bytes(const struct store_segment_writer *w, size_t key_len, size_t len)
{
    size_t bytes = NODE_HEADER_BYTES + key_len + len;

    if (bytes + NODE_PLACE_BYTES > (w->page_room / 2 & ~(size_t)1))
        bytes = NODE_HEADER_BYTES + key_len + sizeof(uint64_t);
    return (bytes + NODE_PLACE_BYTES + 1) & ~(size_t)1;
}

/* MDB_APPEND looks for the last page from the root, for each record. Where the cursor stands on it
 * and the node fits, a put without it does the same in two thirds of the time. A page that is full
 * needs MDB_APPEND: without, it would be halved. The page that it makes may have other pages above
 * than the one before. */
static unsigned put_flags(struct store_segment_writer *w, size_t bytes)
{
    bool fits = w->room >= bytes;
    unsigned flags = fits && w->on_last_page ? MDB_NOOVERWRITE : MDB_APPEND;

    w->on_last_page = fits;
    w->room = (fits ? w->room : w->page_room) - bytes;
    return flags | MDB_RESERVE;
}

/* Appends a value of `len` bytes, which the caller then writes to *out. */
static int append(void **out, struct store_segment_writer *w, MDB_dbi db, const void *key,
                  size_t key_len, size_t len)
{
    MDB_val k = {key_len, (void *)(uintptr_t)key};
    MDB_val v = {len, NULL};
    int rc = turn_to(w, db);

    if (rc == 0 && key_len > KEY_MAX)
        rc = MDB_BAD_VALSIZE;
    if (rc == 0 && w->last_key_len &&
        segment_compare_keys(&k, &(MDB_val){w->last_key_len, w->last_key}) <= 0)
        rc = MDB_KEYEXIST;
    if (rc != 0)
        return rc;
    rc = mdb_cursor_put(w->cursor, &k, &v, put_flags(w, node_bytes(w, key_len, len)));
    *out = v.mv_data;
    memcpy(w->last_key, key, key_len);
    w->last_key_len = key_len;
    if (len > INLINE_MAX)
        len = (len + PAGE_BYTES) / PAGE_BYTES * PAGE_BYTES;
    w->uncommitted += key_len + len;
    return rc;
}

static enum st append_failed(struct store_segment_writer *w, int rc, const char *what)
{
    return failed(w, rc == MDB_KEYEXIST ? st_fail(ST_CONFLICT, "DUPLICATE_KEY",
                                                  "%s are not strictly ascending", what)
                                        : store_env_fail(rc, "writing a segment"));
}

enum st store_segment_writer_add(struct store_segment_writer *w, const unsigned char *key,
                                 const void *row, size_t row_len)
{
    void *value;

    if (w->status)
        return w->status;
    assert(w->txn && w->filling == 0);
    int rc = append(&value, w, w->records, key, store_record_key_bytes(&w->info.definition->key),
                    1 + row_len);
    if (rc)
        return append_failed(w, rc, "the keys of records");
    *(unsigned char *)value = SEGMENT_ROW;
    word_copy((unsigned char *)value + 1, row, row_len);
    w->record_count++;
    return ST_OK;
}

enum st store_segment_writer_cell(struct store_segment_writer *w, size_t set_index,
                                  const void *tuple, size_t tuple_len, struct store_cell *cell)
{
    void *value;

    if (w->status)
        return w->status;
    assert(w->txn && w->filling <= set_index + 1 && set_index < w->info.definition->set_count);
    w->filling = set_index + 1;
    buf_reset(&w->value);
    store_cell_encode(&w->value, &w->info.definition->sets[set_index], cell);
    enum st st = buf_status(&w->value);
    if (st == ST_TOO_LARGE)
        st = store_cell_too_large(&w->info.definition->sets[set_index]);
    if (st)
        return failed(w, st);
    int rc = append(&value, w, w->sets[set_index], tuple, tuple_len, w->value.len);
    if (rc)
        return append_failed(w, rc, "the cells of a rollup");
    memcpy(value, w->value.data, w->value.len);
    w->cell_counts[set_index]++;
    return ST_OK;
}

static enum st write_meta(struct store_segment_writer *w)
{
    MDB_val k = {strlen(SEGMENT_META_KEY), (void *)(uintptr_t)SEGMENT_META_KEY};
    json_t *meta = segment_meta_new(&w->info, w->record_count, w->cell_counts);
    struct buf text;

    buf_init(&text, SEGMENT_META_MAX);
    if (meta)
        jx_write(&text, meta, true);
    enum st st = meta ? buf_status(&text) : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st) {
        MDB_val v = {text.len, text.data};
        int rc = mdb_put(w->txn, w->meta, &k, &v, 0);
        if (rc)
            st = store_env_fail(rc, "writing a segment's meta");
    }
    buf_release(&text);
    json_decref(meta);
    return st;
}

/* A page that was taken and given back within one commit is counted, but never written: where it is
 * the last one, the file would be shorter than its meta pages say. */
static int set_file_size(struct store_segment_writer *w)
{
    off_t bytes;
    int rc = file_bytes(&bytes, w->env);

    if (rc == 0 && ftruncate(w->fd, bytes) != 0)
        rc = errno;
    return rc;
}

enum st store_segment_writer_finish(struct store_segment_writer *w)
{
    if (w->status)
        return w->status;
    assert(w->txn);
    enum st st = write_meta(w);
    if (st)
        return failed(w, st);
    int rc = commit(w);
    if (rc == 0)
        rc = set_file_size(w);
    if (rc == 0)
        rc = mdb_env_sync(w->env, 1);
    if (rc != 0)
        return failed(w, store_env_fail(rc, "finishing a segment"));
    mdb_env_close(w->env);
    w->env = NULL;
    st = fs_sync_fd(w->fd, "the built segment");
    fs_close(&w->fd);
    return failed(w, st);
}

void store_segment_writer_free(struct store_segment_writer *w)
{
    if (!w)
        return;
    if (w->cursor)
        mdb_cursor_close(w->cursor);
    if (w->txn)
        mdb_txn_abort(w->txn);
    if (w->env)
        mdb_env_close(w->env);
    fs_close(&w->fd);
    buf_release(&w->value);
    free(w);
}

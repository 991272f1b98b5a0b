#include "base/fs.h"
#include "store/env.h"
#include "store/segment_internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading a segment. The file never changes, so that it is opened without locks, and each slot
 * keeps one read transaction for the segment's life: what they point at stays valid
 * until the segment is closed. The map is as large as the file, not as the writer's constant: a
 * process may have hundreds open.
 *
 * LMDB trusts what it opens. The hash of the file was checked before; what can be seen from outside
 * (the meta pages, the size) is checked here again, so that a stray file gives an error and not a
 * signal. */

enum st segment_damaged(const char *what)
{
    return st_fail(ST_CORRUPT, "SEGMENT_DAMAGED", "a segment %s", what);
}

/* ---- opening ---- */

/* The start of the two meta pages of a file of LMDB's data version 1 (64 bits):
 *
 *   page number 8 | pad 2 | flags 2 | bounds 4
 *   magic 4 | version 4 | address 8 | map size 8 | page size 4
 */
struct meta_page {
    uint64_t number;
    uint16_t pad, flags;
    uint32_t bounds, magic, version;
    uint64_t address, map_bytes;
    uint32_t page_bytes;
};

static enum st check_file(size_t *bytes, const char *path)
{
    static const uint16_t META_FLAG = 0x08;
    static const uint32_t MAGIC = 0xBEEFC0DE, VERSION = 1;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat sb;
    enum st st = ST_OK;

    if (fd < 0 || fstat(fd, &sb) != 0) {
        st = st_fail_errno(errno, "opening a segment");
        goto done;
    }
    *bytes = (size_t)sb.st_size;
    if (!S_ISREG(sb.st_mode) || *bytes < 2 * page || *bytes % page) {
        st = segment_damaged("has an impossible size");
        goto done;
    }
    for (size_t i = 0; !st && i < 2; i++) {
        struct meta_page m;

        if (pread(fd, &m, sizeof m, (off_t)(i * page)) != sizeof m)
            st = st_fail_errno(errno, "reading a segment");
        else if (m.number != i || !(m.flags & META_FLAG) || m.magic != MAGIC ||
                 m.version != VERSION || m.map_bytes != SEGMENT_MAP_BYTES || m.page_bytes != page)
            st = segment_damaged("does not begin as one");
    }
done:
    fs_close(&fd);
    return st;
}

static int open_env(struct store_segment *s, const char *path)
{
    static const unsigned FLAGS = MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS | MDB_NOSUBDIR;
    int rc = mdb_env_create(&s->env);

    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, s->bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, SEGMENT_DBS_MAX);
    if (rc == 0)
        rc = mdb_env_set_assert(s->env, store_env_assert);
    if (rc == 0)
        rc = mdb_env_open(s->env, path, FLAGS, 0);
    return rc;
}

/* Only a map that ends where the file ends may be read. */
static bool is_file_whole(const struct store_segment *s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    MDB_envinfo info;

    return mdb_env_info(s->env, &info) == 0 && info.me_mapsize == s->bytes &&
           info.me_last_pgno == s->bytes / page - 1;
}

static enum st check_meta(struct store_segment *s, const char *tenant, const char *dataset)
{
    const char *its_tenant, *its_dataset;
    int64_t format, records;
    json_t *key;

    if (jx_integer(&format, s->meta, "", "format", 0, 0, INT64_MAX))
        return segment_damaged("has a wrong meta");
    if (format != STORE_SEGMENT_FORMAT)
        return st_hint(st_fail(ST_CORRUPT, "SEGMENT_FORMAT",
                               "a segment has format %lld; this program reads %d",
                               (long long)format, STORE_SEGMENT_FORMAT),
                       "use the everline that wrote it, or ingest the batch again with this one");
    if (jx_need_string(&its_tenant, s->meta, "", "tenant") ||
        jx_need_string(&its_dataset, s->meta, "", "dataset") ||
        jx_integer(&records, s->meta, "", "records", -1, 0, INT64_MAX) || records < 0 ||
        jx_object(&key, s->meta, "", "key") || jx_need_string(&s->key_id, key, "", "id") ||
        jx_need_string(&s->check, key, "", "check"))
        return segment_damaged("has a wrong meta");
    if (strcmp(its_tenant, tenant) != 0 || strcmp(its_dataset, dataset) != 0)
        return st_fail(ST_CORRUPT, "SEGMENT_FOREIGN", "a segment belongs to another dataset");
    s->record_count = (uint64_t)records;
    s->key_bytes = json_object_get(key, "sort") ? STORE_RECORD_KEY_MAX : STORE_KEY_BYTES;
    return ST_OK;
}

static uint64_t load_word(const unsigned char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return be64toh(word);
}

int segment_compare_keys(const MDB_val *a, const MDB_val *b)
{
    const unsigned char *x = a->mv_data, *y = b->mv_data;
    size_t at = 0, len = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;

    for (; at + sizeof(uint64_t) <= len; at += sizeof(uint64_t)) {
        uint64_t left = load_word(x + at), right = load_word(y + at);
        if (left != right)
            return left < right ? -1 : 1;
    }
    int order = at < len ? memcmp(x + at, y + at, len - at) : 0;
    return order ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

static enum st read_meta(struct store_segment *s, MDB_txn *txn)
{
    MDB_val k = {strlen(SEGMENT_META_KEY), (void *)(uintptr_t)SEGMENT_META_KEY}, v;
    MDB_dbi db;
    int rc = mdb_dbi_open(txn, SEGMENT_META, 0, &db);

    if (rc == 0)
        rc = mdb_get(txn, db, &k, &v);
    s->inside = rc == 0 ? v.mv_data : NULL;
    if (rc == 0)
        rc = mdb_dbi_open(txn, SEGMENT_RECORDS, 0, &s->records);
    if (rc == 0)
        rc = mdb_set_compare(txn, s->records, segment_compare_keys);
    if (rc == 0)
        rc = segment_find_pages(s, txn);
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
        return segment_damaged("has no meta or no records");
    if (rc != 0)
        return store_env_fail(rc, "opening a segment");
    enum st st = jx_parse_object(&s->meta, v.mv_data, v.mv_size);
    return st == ST_INVALID ? segment_damaged("has a wrong meta") : st;
}

/* Opens every grouping set's database. */
static enum st open_rollups(struct store_segment *s, MDB_txn *txn)
{
    json_t *rollups = json_object_get(s->meta, "rollups"), *value;
    size_t count = json_object_size(rollups);
    const char *name;

    s->rollups = calloc(count + 1, sizeof *s->rollups);
    s->rollup_names = calloc(count + 1, sizeof *s->rollup_names);
    if (!s->rollups || !s->rollup_names)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach(rollups, name, value)
    {
        int rc = mdb_dbi_open(txn, name, 0, &s->rollups[s->rollup_count]);
        if (rc > 0) /* the system's */
            return store_env_fail(rc, "opening a segment");
        if (rc != 0)
            return segment_damaged("lacks a rollup that its meta names");
        s->rollup_names[s->rollup_count++] = name;
    }
    return ST_OK;
}

static enum st open_all(struct store_segment *s, const char *path, const char *tenant,
                        const char *dataset)
{
    MDB_txn *txn = NULL;
    enum st st = ST_OK;
    int rc = open_env(s, path);

    if (rc == 0 && !is_file_whole(s))
        return segment_damaged("is shorter or longer than it says");
    if (rc == 0)
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        st = read_meta(s, txn);
        if (!st)
            st = check_meta(s, tenant, dataset);
        if (!st)
            st = open_rollups(s, txn);
        rc = mdb_txn_commit(txn); /* keeps the databases open */
    }
    return !st && rc != 0 ? store_env_fail(rc, "opening a segment") : st;
}

struct open_args {
    struct store_segment *s;
    const char *path, *tenant, *dataset;
};

static enum st open_guarded(void *ctx)
{
    struct open_args *a = ctx;

    return open_all(a->s, a->path, a->tenant, a->dataset);
}

enum st store_segment_open(struct store_segment **out, const char *path, const char *tenant,
                           const char *dataset, unsigned slots)
{
    struct store_segment *s = NULL;
    size_t bytes = 0;
    enum st st = check_file(&bytes, path);

    *out = NULL;
    if (st)
        return st;
    s = calloc(1, sizeof *s);
    if (s)
        s->slots = aligned_alloc(_Alignof(struct reader_slot), slots * sizeof *s->slots);
    if (!s || !s->slots) {
        free(s);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    memset(s->slots, 0, slots * sizeof *s->slots);
    s->slot_count = slots;
    s->bytes = bytes;
    for (unsigned i = 0; i < slots; i++)
        buf_init(&s->slots[i].row, STORE_ROW_MAX);
    st = guard_call(open_guarded, &(struct open_args){s, path, tenant, dataset});
    if (st) {
        store_segment_close(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void store_segment_close(struct store_segment *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->slot_count; i++) {
        if (s->slots[i].txn)
            mdb_txn_abort(s->slots[i].txn);
        buf_release(&s->slots[i].row);
    }
    if (s->env)
        mdb_env_close(s->env);
    json_decref(s->meta);
    free(s->rollups);
    free(s->rollup_names);
    free(s->slots);
    free(s);
}

enum st store_segment_check(const struct store_segment *s, const char *key_id,
                            const unsigned char check_value[STORE_KEY_BYTES])
{
    char check[STORE_KEY_BYTES * 2 + 1];

    digest_hex(check, check_value, STORE_KEY_BYTES);
    if (strcmp(key_id, s->key_id) == 0 && strcmp(check, s->check) == 0)
        return ST_OK;
    return st_hint(st_fail(ST_CORRUPT, "KEY_MISMATCH",
                           "the segment was built with another HMAC key, normaliser or Unicode "
                           "version than this process has"),
                   "put the key back that it names, or ingest the batch again");
}

const char *store_segment_key_id(const struct store_segment *s)
{
    return s->key_id;
}

uint64_t store_segment_cells(const struct store_segment *s, const struct store_rollup *set)
{
    char name[SEGMENT_DB_NAME_SIZE];

    segment_rollup_name(name, set);
    return (uint64_t)json_integer_value(json_object_get(json_object_get(s->meta, "cells"), name));
}

uint64_t store_segment_records(const struct store_segment *s)
{
    return s->record_count;
}

size_t store_segment_key_bytes(const struct store_segment *s)
{
    return s->key_bytes;
}

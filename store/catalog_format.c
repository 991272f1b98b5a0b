#include "store/catalog_internal.h"

#include <string.h>

/* The number of the format that catalog.mdb has, for itself: the file can be copied, restored or
 * put aside without the directory's FORMAT. It is kept among the counters, as {"format"}. A catalog
 * without it is of format 1: it was made before there was a number. */

static char NAME[] = "format"; /* LMDB wants what it does not write to writable */

struct look {
    struct catalog *catalog;
    struct buf *value;
};

static int read_value(void *ctx)
{
    struct look *look = ctx;
    MDB_val k = {strlen(NAME), NAME}, v;
    MDB_txn *txn = NULL;
    MDB_dbi counters;
    int rc = mdb_txn_begin(look->catalog->env, NULL, MDB_RDONLY, &txn);

    if (rc == 0)
        rc = mdb_dbi_open(txn, catalog_table_names[CATALOG_COUNTERS], 0, &counters);
    if (rc == 0)
        rc = mdb_get(txn, counters, &k, &v);
    if (rc == 0)
        buf_add(look->value, v.mv_data, v.mv_size);
    if (txn)
        mdb_txn_abort(txn); /* closes the table, which was opened in it */
    return rc;
}

static enum st decode(int64_t *format, struct catalog *c, const struct buf *value)
{
    json_t *document = NULL;
    enum st st = catalog_value_check(NAME, strlen(NAME), value->data, value->len);

    if (!st)
        st = jx_parse_object(&document, value->data + CATALOG_CHECKSUM_BYTES,
                             value->len - CATALOG_CHECKSUM_BYTES);
    if (!st)
        st = jx_need_integer(format, document, "", "format", 1, INT64_MAX);
    json_decref(document);
    return st == ST_CORRUPT || st == ST_INVALID
               ? catalog_damaged(c->path, "its format cannot be read")
               : st;
}

enum st catalog_format_check(struct catalog *c)
{
    int64_t format = 1;
    struct buf value;
    enum st st = ST_OK;

    buf_init(&value, CATALOG_VALUE_MAX);
    int rc = catalog_guarded(c, read_value, &(struct look){c, &value});
    if (rc == 0)
        st = buf_status(&value);
    else if (rc != MDB_NOTFOUND)
        st = catalog_lmdb_fail(c, rc, "reading the catalog's format");
    if (rc == 0 && !st)
        st = decode(&format, c, &value);
    buf_release(&value);
    if (!st && format != CATALOG_FORMAT)
        st = st_hint(st_fail(ST_CONFLICT, "CATALOG_FORMAT",
                             "%s has catalog format %lld; this program reads and writes format %d",
                             c->path, (long long)format, CATALOG_FORMAT),
                     "use the %severline that wrote it", format > CATALOG_FORMAT ? "newer " : "");
    return st;
}

void catalog_format_make(struct buf *value)
{
    json_t *document = json_pack("{s:i}", "format", CATALOG_FORMAT);

    if (document)
        catalog_value_make(value, NAME, document);
    else
        value->status = ST_NOMEM;
    json_decref(document);
}

int catalog_format_put(MDB_txn *txn, MDB_dbi counters, const struct buf *value)
{
    MDB_val k = {strlen(NAME), NAME}, v = {value->len, value->data};
    int rc = mdb_put(txn, counters, &k, &v, MDB_NOOVERWRITE);

    return rc == MDB_KEYEXIST ? 0 : rc;
}

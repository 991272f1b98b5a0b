#include "store/export.h"

#include "store/guard.h"
#include "store/held.h"
#include "store/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COOL_RECORDS (1u << 18)

struct store_export {
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE], keys_dir[FS_PATH_MAX];
    char hash_name[STORE_NAME_SIZE + 8]; /* "": keys are not protected */
    const char *state;
    struct held_version held;
    struct store_scan *scan; /* NULL until it is open */
    uint64_t cooled;
    bool began; /* the header was given */
};

/* ---- its life ---- */

static enum st choose(struct store_export *e, const struct head *h, uint64_t version,
                      int64_t as_of_us)
{
    e->held.version = version ? version : as_of_us ? head_as_of(h, as_of_us) : h->current;
    if (e->held.version)
        return ST_OK;
    if (as_of_us && h->turn_count == HEAD_HISTORY_MAX)
        return st_fail(ST_GONE, "VERSION_RETIRED", "what \"%s\" served then is not kept any more",
                       e->dataset);
    return as_of_us ? st_fail(ST_NOT_FOUND, "NO_VERSION", "dataset \"%s\" had no version then",
                              e->dataset)
                    : st_hint(st_fail(ST_NOT_FOUND, "NO_VERSION",
                                      "dataset \"%s\" has no version yet", e->dataset),
                              "ingest a batch first");
}

static void name_hash(struct store_export *e)
{
    const struct store_definition *d = e->held.definition;
    size_t i = 0;

    if (d->key.protect == STORE_PROTECT_NONE)
        return;
    snprintf(e->hash_name, sizeof e->hash_name, "key_hash");
    while (i < d->row_count)
        if (strcasecmp(d->row[i].name, e->hash_name) == 0) {
            strcat(e->hash_name, "_");
            i = 0;
        } else {
            i++;
        }
}

enum st store_export_begin(struct store_export **out, struct store *s, const char *tenant,
                           const char *dataset, uint64_t version, int64_t as_of_us)
{
    struct store_export *e;
    struct catalog_txn t;
    struct head h;

    *out = NULL;
    if (store_name_check("dataset", dataset))
        return st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name");
    e = calloc(1, sizeof *e);
    if (!e)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    snprintf(e->tenant, sizeof e->tenant, "%s", tenant);
    snprintf(e->dataset, sizeof e->dataset, "%s", dataset);
    snprintf(e->keys_dir, sizeof e->keys_dir, "%s", store_keys_dir(s));
    e->held = (struct held_version){.tenant = e->tenant, .dataset = e->dataset, .reader = "export"};
    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, tenant, dataset);
    if (!t.status)
        catalog_fail(&t, choose(e, &h, version, as_of_us));
    if (!t.status)
        catalog_fail(&t, held_find(&e->held, &t, s, &h));
    if (!t.status)
        e->state = version_state_name(head_find(&h, e->held.version)->state);
    head_release(&h);
    enum st st = catalog_end(&t);
    if (st) {
        store_export_free(e);
        return st;
    }
    name_hash(e);
    *out = e;
    return ST_OK;
}

void store_export_free(struct store_export *e)
{
    if (!e)
        return;
    store_scan_free(e->scan);
    held_release(&e->held);
    free(e);
}

uint64_t store_export_version(const struct store_export *e)
{
    return e->held.version;
}

const char *store_export_state(const struct store_export *e)
{
    return e->state;
}

const struct store_definition *store_export_definition(const struct store_export *e)
{
    return e->held.definition;
}

const char *store_export_hash_name(const struct store_export *e)
{
    return e->hash_name[0] ? e->hash_name : NULL;
}

static enum st start_scan(void *ctx)
{
    struct store_export *e = ctx;

    return store_scan_new(&e->scan, e->held.segments, e->held.count, 0);
}

enum st store_export_open(struct store_export *e, enum st (*tell_fn)(void *ctx), void *ctx)
{
    enum st st = held_open(&e->held, e->keys_dir, tell_fn, ctx);

    return st ? st : guard_call(start_scan, e);
}

uint64_t store_export_records(const struct store_export *e)
{
    uint64_t records = 0;

    for (size_t i = 0; i < e->held.count; i++)
        records += store_segment_records(e->held.segments[i]);
    return records;
}

/* ---- records ---- */

struct visit {
    struct store_export *e;
    store_export_fn fn;
    void *ctx;
};

/* Inside a guard: it allocates nothing. */
static enum st visit_records(void *ctx)
{
    const struct visit *v = ctx;
    struct store_record r;
    enum st st = ST_OK;

    while (!st && !(st = store_scan_next(v->e->scan, &r)))
        st = v->fn(r.key, r.row, r.row_len, v->ctx);
    return st;
}

/* What was read leaves this process's memory now and then. */
static void cool(struct store_export *e)
{
    uint64_t position = store_scan_position(e->scan);

    if (position - e->cooled < COOL_RECORDS)
        return;
    e->cooled = position;
    for (size_t i = 0; i < e->held.count; i++)
        store_segment_cool(e->held.segments[i], NULL);
}

enum st store_export_each(struct store_export *e, store_export_fn fn, void *ctx)
{
    enum st st = guard_call(visit_records, &(struct visit){e, fn, ctx});

    cool(e);
    return st;
}

/* ---- text ---- */

struct text {
    struct store_export *e;
    enum store_export_format format;
    struct buf *out;
    uint64_t *count;
    size_t bytes;
    bool full;
};

void store_export_value(struct buf *out, enum store_type type, const struct store_value *value)
{
    size_t start = out->len;

    if (value->null)
        return;
    if (store_type_is_text(type)) {
        buf_add(out, value->as.text.bytes, value->as.text.len);
        return;
    }
    store_value_json(out, type, value);
    if ((type == STORE_DATE || type == STORE_TIMESTAMP) &&
        !out->status) { /* JSON has them quoted */
        out->len -= 2;
        memmove(out->data + start, out->data + start + 1, out->len - start);
    }
}

static bool needs_quotes(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] == ',' || bytes[i] == '"' || bytes[i] == '\n' || bytes[i] == '\r')
            return true;
    return len == 0;
}

void store_export_csv(struct buf *out, enum store_type type, const struct store_value *value)
{
    if (value->null || !store_type_is_text(type) ||
        !needs_quotes(value->as.text.bytes, value->as.text.len)) {
        store_export_value(out, type, value);
        return;
    }
    buf_addch(out, '"');
    for (size_t i = 0; i < value->as.text.len; i++) {
        if (value->as.text.bytes[i] == '"')
            buf_addch(out, '"');
        buf_addch(out, value->as.text.bytes[i]);
    }
    buf_addch(out, '"');
}

static enum st add_csv_line(struct text *t, const char *hash, const void *row, size_t row_len)
{
    const struct store_definition *d = t->e->held.definition;
    struct store_value values[STORE_FIELDS_MAX];
    enum st st = store_row_decode(values, d->row, d->row_count, row, row_len);

    if (st)
        return st;
    buf_addstr(t->out, hash);
    for (size_t i = 0; i < d->row_count; i++) {
        if (i || *hash)
            buf_addch(t->out, ',');
        store_export_csv(t->out, d->row[i].type, &values[i]);
    }
    buf_addch(t->out, '\n');
    return ST_OK;
}

static enum st add_ndjson_line(struct text *t, const char *hash, const void *row, size_t row_len)
{
    const struct store_definition *d = t->e->held.definition;
    size_t start = t->out->len;

    if (*hash)
        buf_addf(t->out, "{\"%s\":\"%s\"", t->e->hash_name, hash);
    size_t at = t->out->len;
    enum st st = store_row_json(t->out, d->row, d->row_count, row, row_len);
    if (!st && at > start && !t->out->status) { /* one object of the two */
        if (d->row_count)
            t->out->data[at] = ',';
        else
            memmove(t->out->data + at, t->out->data + at + 1, t->out->len-- - at - 1);
    }
    buf_addch(t->out, '\n');
    return st;
}

static enum st add_line(const unsigned char key[STORE_KEY_BYTES], const void *row, size_t row_len,
                        void *ctx)
{
    char hash[2 * STORE_KEY_BYTES + 1] = "";
    struct text *t = ctx;

    if (t->e->hash_name[0])
        digest_hex(hash, key, STORE_KEY_BYTES);
    enum st st = t->format == STORE_EXPORT_CSV ? add_csv_line(t, hash, row, row_len)
                                               : add_ndjson_line(t, hash, row, row_len);
    ++*t->count;
    if (st || (st = buf_status(t->out)))
        return st;
    t->full = t->out->len >= t->bytes;
    return t->full ? ST_END : ST_OK;
}

static void add_header(struct text *t)
{
    const struct store_definition *d = t->e->held.definition;

    buf_addstr(t->out, t->e->hash_name);
    for (size_t i = 0; i < d->row_count; i++)
        buf_addf(t->out, "%s%s", i || t->e->hash_name[0] ? "," : "", d->row[i].name);
    buf_addch(t->out, '\n');
}

enum st store_export_text(struct buf *out, uint64_t *count, struct store_export *e,
                          enum store_export_format format, size_t bytes)
{
    struct text t = {.e = e, .format = format, .out = out, .count = count, .bytes = bytes};

    if (!e->began && format == STORE_EXPORT_CSV)
        add_header(&t);
    e->began = true;
    enum st st = store_export_each(e, add_line, &t);
    return st == ST_END && t.full ? ST_OK : st;
}

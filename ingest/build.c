/* build_run, step by step: bind again (the files may have been replaced since), count and load,
 * sort, then one pass in key order that merges duplicates, writes records and feeds the rollups'
 * cells. A record counts once in a rollup however often it was delivered, because cells are fed
 * from the merged pass.
 *
 * Memory is split: half for DuckDB, 3/8 for the sorter, the rest for cells and what has no meter.
 */
#include "ingest/build.h"

#include "ingest/cells.h"
#include "ingest/collect.h"
#include "ingest/plan.h"
#include "store/segment.h"

#include <stdlib.h>
#include <string.h>

static enum st open_database(struct duck **out, const struct task *t)
{
    size_t count = 0;
    char *paths[TASK_FILES_MAX];
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
        for (size_t j = 0; j < t->sources[i].file_count; j++)
            paths[count++] = t->sources[i].files[j].path;
    return duck_open(out, &(struct duck_options){t->memory_bytes / 2, t->threads, paths, count});
}

enum st build_check(const struct task *t)
{
    struct duck *d = NULL;
    struct plan plan = {0};
    enum st st = open_database(&d, t);
    if (!st) {
        st = source_declare(d, t);
        if (!st)
            st = plan_bind(&plan, d, t->definition);
        else if (st == ST_NOT_FOUND)
            st = plan_check(d, t->definition);
    }
    plan_release(&plan);
    duck_close(d);
    return st;
}

enum st build_bind(const struct task *t)
{
    struct duck *d = NULL;
    struct plan plan = {0};
    enum st st = open_database(&d, t);
    if (!st)
        st = source_bind(d, t);
    if (!st)
        st = plan_bind(&plan, d, t->definition);
    plan_release(&plan);
    duck_close(d);
    return st;
}

struct build {
    const struct task *task;
    const struct ingest_progress *progress;
    struct source_ledger sources[STORE_SOURCES_MAX];
    struct collect_ledger collected;
    uint64_t accepted, duplicates, contradictions;
    struct store_hasher *hasher;
    struct sorter *sorter;
    struct cells *cells[STORE_ROLLUPS_MAX];
    struct store_segment_writer *writer;
    struct buf example; /* one contradicting key of an unprotected dataset, as JSON */
    size_t rollup;      /* the one whose cells are being written */
};

static enum st accept(struct build *b, const unsigned char *key, const void *payload)
{
    const struct store_definition *def = b->task->definition;
    int64_t inputs[2 * STORE_METRICS_MAX];
    bool nulls[2 * STORE_METRICS_MAX];
    struct collect_record record = collect_open(payload);
    enum st st = store_segment_writer_add(b->writer, key, record.row, record.row_len);
    for (size_t r = 0; !st && r < def->rollup_count; r++) {
        const void *tuple;
        size_t len;
        collect_inputs(&tuple, &len, inputs, nulls, &record.inputs, &def->rollups[r]);
        st = cells_add(b->cells[r], tuple, len, inputs, nulls);
    }
    if (!st && (++b->accepted & 0xffff) == 0)
        ingest_tell(b->progress, "building", b->accepted, b->collected.prepared);
    return st;
}

static enum st note_contradiction(struct build *b, const void *payload)
{
    const struct store_definition *def = b->task->definition;
    if (b->contradictions++ || def->key.protect != STORE_PROTECT_NONE)
        return ST_OK;
    struct store_value values[STORE_FIELDS_MAX + STORE_KEY_FIELDS_MAX];
    struct collect_record record = collect_open(payload);
    enum st st = store_row_decode(values, def->row, def->row_count, record.row, record.row_len);
    for (size_t i = 0; !st && i < def->key.field_count; i++) {
        buf_addf(&b->example, "%s%s=", i ? ", " : "", def->key.fields[i].name);
        store_value_json(&b->example, STORE_VARCHAR, &values[i]);
    }
    return st;
}

/* All records in order; those that are the same, byte for byte, are one. */
static enum st merge(struct build *b)
{
    const unsigned char *key = NULL, *next_key;
    const void *payload = NULL, *next;
    size_t len = 0, next_len;
    bool contradicted = false;
    enum st st;
    while (!(st = sorter_next(b->sorter, &next_key, &next, &next_len))) {
        if (key && !memcmp(key, next_key, STORE_KEY_BYTES)) {
            if (len == next_len && !memcmp(payload, next, len)) {
                b->duplicates++;
                continue;
            }
            if (!contradicted && (st = note_contradiction(b, next)))
                return st;
            contradicted = true;
        } else {
            contradicted = false;
            if (!b->contradictions && (st = accept(b, next_key, next)))
                return st;
        }
        key = next_key;
        payload = next;
        len = next_len;
    }
    if (st != ST_END)
        return st;
    if (!b->contradictions)
        return ST_OK;
    st = st_fail(ST_INVALID, "DUPLICATE_KEY",
                 "%llu key(s) have records that contradict each other%s%.200s",
                 (unsigned long long)b->contradictions, b->example.len ? ", such as " : "",
                 b->example.len ? b->example.data : "");
    return st_hint(st, "make prepare give one record per key; rows that are the same in everything "
                       "are one record already");
}

static enum st write_cell(const void *tuple, size_t len, const struct store_cell *cell, void *ctx)
{
    struct build *b = ctx;
    return store_segment_writer_cell(b->writer, b->rollup, tuple, len, cell);
}

static enum st open_writer(struct build *b)
{
    const struct task *t = b->task;
    char path[FS_PATH_MAX];
    struct store_segment_info info = {
        .definition = t->definition, .tenant = t->tenant, .key_id = t->key_id};
    enum st st = fs_path(path, "%s/%s", t->directory, TASK_SEGMENT);
    if (!st)
        st = store_hasher_check_value(info.check_value, b->hasher);
    return st ? st : store_segment_writer_open(&b->writer, path, &info);
}

static enum st ledger_json(json_t **rows, const struct build *b)
{
    const struct store_definition *def = b->task->definition;
    struct source_ledger all = {0};
    json_t *sources = json_array();
    for (size_t i = 0; i < def->source_count; i++) {
        const struct source_ledger *l = &b->sources[i];
        all.read += l->read;
        all.parsed += l->parsed;
        all.unparsable += l->unparsable;
        json_array_append_new(sources, json_pack("{s:s, s:I, s:I, s:I, s:O*}", "name",
                                                 def->sources[i].name, "read", (json_int_t)l->read,
                                                 "parsed", (json_int_t)l->parsed, "unparsable",
                                                 (json_int_t)l->unparsable, "files", l->files));
    }
    if (all.read != all.parsed + all.unparsable ||
        b->collected.prepared != b->accepted + b->collected.rejected + b->duplicates) {
        json_decref(sources);
        return st_fail(ST_INVALID, "LEDGER",
                       "the counts of rows do not add up: read %llu, parsed "
                       "%llu; prepared %llu, accepted %llu, duplicates %llu",
                       (unsigned long long)all.read, (unsigned long long)all.parsed,
                       (unsigned long long)b->collected.prepared, (unsigned long long)b->accepted,
                       (unsigned long long)b->duplicates);
    }
    *rows = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "read", (json_int_t)all.read,
                      "parsed", (json_int_t)all.parsed, "unparsable", (json_int_t)all.unparsable,
                      "prepared", (json_int_t)b->collected.prepared, "accepted",
                      (json_int_t)b->accepted, "rejected", (json_int_t)b->collected.rejected,
                      "duplicates", (json_int_t)b->duplicates, "sources", sources);
    return *rows ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* From files to a full sorter; the database is gone afterwards, and its memory with it. */
static enum st gather(struct build *b)
{
    const struct task *t = b->task;
    struct duck *d = NULL;
    struct plan plan = {0};
    struct st_report report;
    ingest_tell(b->progress, "reading", 0, 0);
    enum st st = open_database(&d, t);
    if (!st)
        st = source_bind(d, t);
    if (!st)
        st = plan_bind(&plan, d, t->definition);
    if (!st)
        st = source_load(b->sources, d, t, b->progress);
    if (!st)
        st = collect_rows(&b->collected, b->sorter, &plan, t->definition, b->hasher, b->progress);
    plan_release(&plan);
    duck_close(d);
    /* A file that changed meanwhile explains whatever else went wrong. */
    st_save(&report, st);
    enum st changed = source_check(t);
    return changed == ST_CONFLICT || !st ? changed : st_restore(&report);
}

enum st build_run(json_t **rows, const struct task *t, const struct ingest_progress *progress)
{
    struct build *b = calloc(1, sizeof *b);
    const struct store_definition *def = t->definition;
    enum st st;
    *rows = NULL;
    if (!b)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    b->task = t;
    b->progress = progress;
    buf_init(&b->example, 1u << 20);
    if ((st = store_hasher_new(&b->hasher, &def->key, t->tenant, def->name,
                               def->key.protect == STORE_PROTECT_NONE ? NULL : &t->hmac_key)) ||
        (st = sorter_new(&b->sorter, t->memory_bytes / 8 * 3)) || (st = gather(b)))
        goto done;
    ingest_tell(progress, "sorting", b->collected.prepared, b->collected.prepared);
    if ((st = sorter_finish(b->sorter)) || (st = open_writer(b)))
        goto done;
    for (size_t r = 0; !st && r < def->rollup_count; r++)
        st = cells_new(&b->cells[r], &def->rollups[r], t->memory_bytes / 8 / def->rollup_count);
    if (st)
        goto done;
    ingest_tell(progress, "building", 0, b->collected.prepared);
    if ((st = merge(b)) || (st = ledger_json(rows, b)))
        goto done;
    for (b->rollup = 0; !st && b->rollup < def->rollup_count; b->rollup++)
        st = cells_each(b->cells[b->rollup], write_cell, b);
    if (!st)
        st = store_segment_writer_finish(b->writer);
done:
    store_segment_writer_free(b->writer);
    for (size_t r = 0; r < STORE_ROLLUPS_MAX; r++)
        cells_free(b->cells[r]);
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
        json_decref(b->sources[i].files);
    sorter_free(b->sorter);
    store_hasher_free(b->hasher);
    buf_release(&b->example);
    free(b);
    if (st) {
        json_decref(*rows);
        *rows = NULL;
    }
    return st;
}

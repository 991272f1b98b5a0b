/* build_run, step by step: bind again (the files may have been replaced since), count and load,
 * sort, then one pass in key order: a thread merges duplicates and feeds the rollups' cells, and
 * this one writes the records: each takes about half of the time.
 *
 * Memory is split: half for DuckDB and 3/8 for the sorter while rows come; then DuckDB is gone, and
 * the sorter's share stays until its last record, beside 1/4 for the rollups' cells; then there are
 * these and 1/4 for their grouping sets. The rest is for what has no meter. Records and cells that
 * outgrow their share are put aside, encrypted (ingest/spill.h).
 */
#include "ingest/build_internal.h"

#include "ingest/lattice.h"
#include "ingest/payload.h"
#include "ingest/plan.h"

#include <stdlib.h>

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

/* NULL: keys are not protected. */
static const struct secret *hmac_key(const struct task *t)
{
    return t->definition->key.protect == STORE_PROTECT_NONE ? NULL : &t->hmac_key;
}

/* From the sorter to the segment's records; the rollups' cells and the judged metrics are made on
 * the way. */
static enum st write_records(struct build *b)
{
    struct handoff *h = NULL;
    struct record r;
    enum st st = handoff_start(&h, build_merge, b);
    uint64_t accepted = 0; /* the other thread's counts lie beside b->accepted */
    while (!st && !(st = handoff_take(&r, h))) {
        st = store_segment_writer_add(b->writer, r.bytes, r.bytes + r.key_len, r.len - r.key_len);
        if (!st && (++accepted & 0xffff) == 0)
            ingest_tell(b->progress, "building", accepted, b->collected.prepared);
    }
    b->accepted = accepted;
    handoff_end(h);
    return st == ST_END ? ST_OK : st;
}

static enum st write_cell(size_t set, const void *tuple, size_t len, struct store_cell *cell,
                          void *ctx)
{
    struct build *b = ctx;
    const struct store_definition *def = b->task->definition;
    size_t first = (size_t)(def->rollups[b->rollup].sets - def->sets);
    return store_segment_writer_cell(b->writer, first + set, tuple, len, cell);
}

static enum st write_rollup(struct build *b)
{
    struct cells **cells = &b->cells[b->rollup];
    enum st st = lattice_write(*cells, &b->task->definition->rollups[b->rollup], b->spill,
                               b->task->memory_bytes / 4, write_cell, b);
    cells_free(*cells);
    *cells = NULL;
    return st;
}

static enum st open_writer(struct build *b)
{
    const struct task *t = b->task;
    char path[FS_PATH_MAX];
    struct store_segment_info info = {
        .definition = t->definition, .tenant = t->tenant, .key_id = t->key_id};
    struct store_hasher *hasher = NULL;
    enum st st = fs_path(path, "%s/%s", t->directory, TASK_SEGMENT);
    if (!st)
        st = store_hasher_new(&hasher, &t->definition->key, t->definition->name, hmac_key(t));
    if (!st)
        st = store_hasher_check_value(info.check_value, hasher);
    store_hasher_free(hasher);
    return st ? st : store_segment_writer_open(&b->writer, path, &info);
}

/* The checks of rows and values; those of metrics are known once the records are merged. */
static enum st judge_rows(struct build *b, struct duck *d)
{
    const struct store_definition *def = b->task->definition;
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < def->check_count; i++) {
        b->counts.broken[i] = b->collected.broken[i];
        b->counts.of[i] = b->collected.prepared;
        if (def->checks[i].kind == STORE_CHECK_UNIQUE ||
            def->checks[i].kind == STORE_CHECK_REFERENCE)
            st = plan_count_values(&b->counts.broken[i], &b->counts.of[i], d, &def->checks[i]);
    }
    return st ? st : judge_checks(&b->checks, def, &b->counts, NULL);
}

static enum st judge_metrics(struct build *b)
{
    const struct store_definition *def = b->task->definition;
    if (!b->has_judged)
        store_cell_count(&b->judged, &def->judged, b->accepted);
    json_decref(b->checks);
    b->checks = NULL;
    enum st st = judge_gate_values(&b->gates, def, &b->judged);
    return st ? st : judge_checks(&b->checks, def, &b->counts, &b->judged);
}

/* The plan whose rows say where they come from, if there is such a one: `plan` becomes it. */
static enum st place_rows(struct build *b, struct plan *plan, struct duck *d,
                          struct sources *sources)
{
    const struct store_definition *def = b->task->definition;
    struct placed placed = {0};
    struct plan other = {0};
    enum st st = placed_find(&placed, d, def);
    if (!st)
        st = source_place(sources, placed.source, PLACED_SOURCE, placed.column);
    if (!st)
        st = plan_bind_placed(&other, d, def, &placed);
    if (!st) {
        plan_release(plan);
        *plan = other;
        b->placed = placed.source;
    }
    placed_release(&placed);
    return st == ST_NOMEM ? st : ST_OK; /* it does without */
}

/* From files to a full sorter; the database is gone afterwards, and its memory with it. */
static enum st gather(struct build *b)
{
    const struct task *t = b->task;
    struct duck *d = NULL;
    struct sources *sources = NULL;
    struct plan plan = {0};
    struct st_report report;
    ingest_tell(b->progress, "reading", 0, 0);
    enum st st = open_database(&d, t);
    if (!st)
        st = source_bind(d, t);
    if (!st)
        st = plan_bind(&plan, d, t->definition);
    if (!st)
        st = source_open(&sources, d, t, b->progress);
    bool opened = !st;
    if (!st)
        st = place_rows(b, &plan, d, sources);
    if (!st)
        st =
            collect_rows(&b->collected, &plan, t->definition,
                         &(struct collect_options){b->sorter, t->tenant, hmac_key(t), b->progress});
    if (!st)
        st = collect_check(&b->collected, t->definition, &t->sources[b->placed]);
    if (!st && t->definition->check_count)
        ingest_tell(b->progress, "checking", 0, 0);
    if (!st)
        st = judge_rows(b, d);
    if (st)
        st = source_blame(st, d, t);
    st_save(&report, st);
    enum st found = opened ? source_finish(b->sources, sources, st != ST_OK) : ST_OK;
    plan_release(&plan);
    source_close(sources);
    duck_close(d);
    return found || !st ? found : st_restore(&report);
}

enum st build_run(json_t **report, const struct task *t, const struct ingest_progress *progress)
{
    struct build *b = calloc(1, sizeof *b);
    const struct store_definition *def = t->definition;
    enum st st;
    *report = NULL;
    if (!b)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    b->task = t;
    b->progress = progress;
    b->has_judged = payload_has_judged(def);
    buf_init(&b->example, 1u << 20);
    store_cell_init(&b->judged);
    if ((st = spill_open(&b->spill, t->directory)) ||
        (st = sorter_new(&b->sorter, b->spill, store_record_key_bytes(&def->key),
                         t->memory_bytes / 8 * 3, t->threads)) ||
        (st = gather(b)))
        goto done;
    ingest_tell(progress, "sorting", 0, 0); /* nobody counts how far it is */
    if ((st = sorter_finish(b->sorter)) || (st = open_writer(b)))
        goto done;
    for (size_t r = 0; !st && r < def->rollup_count; r++)
        st = cells_new(&b->cells[r], &def->rollups[r], b->spill,
                       t->memory_bytes / 4 / def->rollup_count);
    if (st)
        goto done;
    ingest_tell(progress, "building", 0, b->collected.prepared);
    if ((st = write_records(b)) || (st = judge_metrics(b)))
        goto done;
    sorter_free(b->sorter);
    b->sorter = NULL;
    for (b->rollup = 0; !st && b->rollup < def->rollup_count; b->rollup++)
        st = write_rollup(b);
    if (!st)
        st = store_segment_writer_finish(b->writer);
    if (!st)
        st = build_report(report, b, true);
done:
    if (st && !*report) {
        struct st_report failure;
        st_save(&failure, st);
        if (build_report(report, b, false))
            *report = NULL;
        st = st_restore(&failure);
    }
    store_segment_writer_free(b->writer);
    for (size_t r = 0; r < STORE_ROLLUPS_MAX; r++)
        cells_free(b->cells[r]);
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++) {
        json_decref(b->sources[i].files);
        rejects_release(&b->sources[i].rejects);
    }
    sorter_free(b->sorter);
    spill_close(b->spill);
    buf_release(&b->example);
    store_cell_release(&b->judged, &def->judged);
    json_decref(b->checks);
    json_decref(b->gates);
    json_decref(b->collected.rules);
    rejects_release(&b->collected.places);
    free(b);
    return st;
}

/* build_run, step by step: bind again (the files may have been replaced since), count and load,
 * sort, then one pass in key order: a thread merges duplicates and feeds the rollups' cells, and
 * this one writes the records: each takes about half of the time. A record counts once in a rollup
 * however often it was delivered, because cells are fed from what is merged.
 *
 * Memory is split: half for DuckDB and 3/8 for the sorter while rows come; then DuckDB is gone, and
 * the sorter's share stays until its last record, beside 1/4 for the rollups' cells; then there are
 * these and 1/4 for their grouping sets. The rest is for what has no meter. Records and cells that
 * outgrow their share are put aside, encrypted (ingest/spill.h).
 */
#include "ingest/build.h"

#include "ingest/collect.h"
#include "ingest/handoff.h"
#include "ingest/judge.h"
#include "ingest/lattice.h"
#include "ingest/plan.h"
#include "store/segment.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

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

struct build {
    const struct task *task;
    const struct ingest_progress *progress;
    struct source_ledger sources[STORE_SOURCES_MAX];
    struct collect_ledger collected;
    uint64_t accepted;
    /* These, `example`, `cells` and `judged` are of the thread that merges, while there is one. */
    uint64_t duplicates, contradictions;
    struct spill *spill;
    struct sorter *sorter;
    struct cells *cells[STORE_ROLLUPS_MAX];
    struct judge_counts counts;
    struct store_cell judged; /* the metrics of checks and gates */
    json_t *checks, *gates;
    struct store_segment_writer *writer;
    struct buf example; /* one contradicting key of an unprotected dataset, as JSON */
    size_t rollup;      /* the one whose cells are being written */
};

static enum st note_contradiction(struct build *b, const void *payload)
{
    const struct store_definition *def = b->task->definition;
    if (b->contradictions++ || def->key.protect != STORE_PROTECT_NONE)
        return ST_OK;
    struct store_value values[STORE_FIELDS_MAX + STORE_KEY_FIELDS_MAX];
    struct payload record = payload_open(def, payload);
    enum st st = store_row_decode(values, def->row, def->row_count, record.row, record.row_len);
    for (size_t i = 0; !st && i < def->key.field_count; i++) {
        buf_addf(&b->example, "%s%s=", i ? ", " : "", def->key.fields[i].name);
        store_value_json(&b->example, STORE_VARCHAR, &values[i]);
    }
    if (!st && def->key.sort) {
        buf_addf(&b->example, ", %s=", def->key.sort->name);
        store_value_json(&b->example, def->key.sort->type, &values[store_sort_index(def)]);
    }
    return st;
}

static enum st fail_contradictions(const struct build *b)
{
    enum st st = st_fail(ST_INVALID, "DUPLICATE_KEY",
                         "%llu key(s) have records that contradict each other%s%.200s",
                         (unsigned long long)b->contradictions, b->example.len ? ", such as " : "",
                         b->example.len ? b->example.data : "");
    return st_hint(st, "make prepare give one record per key, or say which one counts with "
                       "\"on_duplicate\"; rows that are the same in everything are one record "
                       "already");
}

/* A record whose key may come again. */
struct last {
    unsigned char key[STORE_RECORD_KEY_MAX];
    size_t key_bytes;
    struct buf payload;
    bool some;
};

static enum st keep(struct last *last, const unsigned char *key, const void *payload, size_t len)
{
    memcpy(last->key, key, last->key_bytes);
    buf_reset(&last->payload);
    buf_add(&last->payload, payload, len);
    last->some = true;
    return buf_status(&last->payload);
}

/* One record goes into the cells, and its row to the thread that writes. */
static enum st accept(struct build *b, struct handoff *h, const unsigned char *key,
                      const void *payload)
{
    const struct store_definition *def = b->task->definition;
    struct payload_inputs inputs;
    struct payload record = payload_open(def, payload);
    const void *tuple;
    size_t len;
    enum st st = ST_OK;
    for (size_t r = 0; !st && r < def->rollup_count; r++) {
        payload_inputs(&tuple, &len, &inputs, &record.inputs, &def->rollups[r]);
        st = cells_add(b->cells[r], tuple, len, &inputs);
    }
    if (!st && def->judged.metric_count) {
        payload_inputs(&tuple, &len, &inputs, &record.inputs, &def->judged);
        st = store_cell_add(&b->judged, &def->judged, inputs.values, inputs.nulls, inputs.kinds);
    }
    return st ? st
              : handoff_give(h, key, store_record_key_bytes(&def->key), record.row, record.row_len);
}

/* All records in order; those that are the same, byte for byte, are one. Of others that share a key
 * the first or the last counts, as they are sorted by their order. */
static enum st merge(struct build *b, struct last *last, struct handoff *h)
{
    enum store_duplicates rule = b->task->definition->on_duplicate;
    bool contradicted = false; /* the key of `last` */
    const unsigned char *key;
    const void *payload;
    size_t len;
    enum st st;
    while (!(st = sorter_next(b->sorter, &key, &payload, &len))) {
        bool again = last->some && !memcmp(last->key, key, last->key_bytes);
        bool same = again && last->payload.len == len && !memcmp(last->payload.data, payload, len);
        if (again && (rule != STORE_DUPLICATES_FAIL || same)) {
            b->duplicates++;
        } else if (again) {
            if (!contradicted)
                st = note_contradiction(b, payload);
            contradicted = true;
        } else {
            contradicted = false;
            if (rule == STORE_DUPLICATES_LAST && last->some)
                st = accept(b, h, last->key, last->payload.data);
            if (rule != STORE_DUPLICATES_LAST && !b->contradictions)
                st = accept(b, h, key, payload);
        }
        if (!st)
            st = keep(last, key, payload, len);
        if (st)
            return st;
    }
    if (st == ST_END && rule == STORE_DUPLICATES_LAST && last->some)
        st = accept(b, h, last->key, last->payload.data);
    if (st && st != ST_END)
        return st;
    return b->contradictions ? fail_contradictions(b) : ST_OK;
}

static enum st merge_all(struct handoff *h, void *ctx)
{
    struct build *b = ctx;
    struct last last = {.key_bytes = store_record_key_bytes(&b->task->definition->key)};
    buf_init(&last.payload, MERGE_RECORD_MAX);
    enum st st = merge(b, &last, h);
    buf_release(&last.payload);
    return st;
}

/* From the sorter to the segment's records; the rollups' cells and the judged metrics are made on
 * the way. */
static enum st write_records(struct build *b)
{
    struct handoff *h = NULL;
    struct record r;
    enum st st = handoff_start(&h, merge_all, b);
    while (!st && !(st = handoff_take(&r, h))) {
        st = store_segment_writer_add(b->writer, r.bytes, r.bytes + r.key_len, r.len - r.key_len);
        if (!st && (++b->accepted & 0xffff) == 0)
            ingest_tell(b->progress, "building", b->accepted, b->collected.prepared);
    }
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
        st = store_hasher_new(&hasher, &t->definition->key, t->tenant, t->definition->name,
                              hmac_key(t));
    if (!st)
        st = store_hasher_check_value(info.check_value, hasher);
    store_hasher_free(hasher);
    return st ? st : store_segment_writer_open(&b->writer, path, &info);
}

static json_t *ledger_json(const struct build *b, struct source_ledger *all)
{
    const struct store_definition *def = b->task->definition;
    json_t *sources = json_array();
    for (size_t i = 0; i < def->source_count; i++) {
        const struct source_ledger *l = &b->sources[i];
        all->read += l->read;
        all->parsed += l->parsed;
        all->unparsable += l->unparsable;
        json_array_append_new(sources, json_pack("{s:s, s:I, s:I, s:I, s:O*}", "name",
                                                 def->sources[i].name, "read", (json_int_t)l->read,
                                                 "parsed", (json_int_t)l->parsed, "unparsable",
                                                 (json_int_t)l->unparsable, "files", l->files));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "read", (json_int_t)all->read,
                     "parsed", (json_int_t)all->parsed, "unparsable", (json_int_t)all->unparsable,
                     "prepared", (json_int_t)b->collected.prepared, "accepted",
                     (json_int_t)b->accepted, "rejected", (json_int_t)b->collected.rejected,
                     "duplicates", (json_int_t)b->duplicates, "sources", sources);
}

/* The most at once, of memory and of temporary files. */
static json_t *used_json(const struct build *b)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return json_pack("{s:I, s:I}", "memory_bytes", (json_int_t)usage.ru_maxrss * 1024,
                     "temporary_bytes", (json_int_t)(b->spill ? spill_peak_bytes(b->spill) : 0));
}

/* Rows that are not in the version: counted by rule, records of the files by their places, too. */
static json_t *rejects_report(const struct build *b, const struct source_ledger *all)
{
    json_t *rules = json_array(), *places = json_array();
    enum st st = rules && places ? ST_OK : ST_NOMEM;
    for (size_t i = 0; !st && i < b->task->definition->source_count; i++)
        st = rejects_json(places, rules, &b->sources[i].rejects, &b->task->definition->sources[i],
                          &b->task->sources[i]);
    if (!st && b->collected.rules && json_array_extend(rules, b->collected.rules))
        st = ST_NOMEM;
    json_t *rejects =
        st ? NULL
           : json_pack("{s:I, s:I, s:O, s:O}", "unparsable", (json_int_t)all->unparsable,
                       "rejected", (json_int_t)b->collected.rejected, "rules", rules, "places",
                       places);
    json_decref(rules);
    json_decref(places);
    return rejects;
}

/* What there is to say, whether the build came to its end or not. */
static enum st report_json(json_t **report, const struct build *b, bool complete)
{
    struct source_ledger all = {0};
    json_t *rows = ledger_json(b, &all);
    json_t *rejects = rejects_report(b, &all);
    *report = json_pack("{s:o, s:O*, s:O*, s:o, s:o}", "rows", rows, "checks", b->checks, "gates",
                        b->gates, "rejects", rejects, "used", used_json(b));
    if (!*report)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    if (complete && (all.read != all.parsed + all.unparsable ||
                     b->collected.prepared != b->accepted + b->collected.rejected + b->duplicates))
        return st_fail(ST_INVALID, "LEDGER",
                       "the counts of rows do not add up: read %llu, parsed %llu, unparsable %llu; "
                       "prepared %llu, accepted %llu, rejected %llu, duplicates %llu",
                       (unsigned long long)all.read, (unsigned long long)all.parsed,
                       (unsigned long long)all.unparsable,
                       (unsigned long long)b->collected.prepared, (unsigned long long)b->accepted,
                       (unsigned long long)b->collected.rejected,
                       (unsigned long long)b->duplicates);
    return ST_OK;
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
    json_decref(b->checks);
    b->gates = judge_gate_values(def, &b->judged);
    return judge_checks(&b->checks, def, &b->counts, &b->judged);
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
        st =
            collect_rows(&b->collected, &plan, t->definition,
                         &(struct collect_options){b->sorter, t->tenant, hmac_key(t), b->progress});
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
    buf_init(&b->example, 1u << 20);
    store_cell_init(&b->judged);
    if ((st = spill_open(&b->spill, t->directory)) ||
        (st = sorter_new(&b->sorter, b->spill, store_record_key_bytes(&def->key),
                         t->memory_bytes / 8 * 3, t->threads)) ||
        (st = gather(b)))
        goto done;
    ingest_tell(progress, "sorting", b->collected.prepared, b->collected.prepared);
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
        st = report_json(report, b, true);
done:
    if (st && !*report) {
        struct st_report failure;
        st_save(&failure, st);
        if (report_json(report, b, false))
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
    free(b);
    return st;
}

#include "ingest/dry_run.h"

#include "base/clock.h"
#include "base/dry_run_text.h"
#include "ingest/job.h"
#include "store/build_dir.h"
#include "store/diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making the report ---- */

static enum st tell(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    const struct dry_run *d = ctx;

    ingest_tell(d->progress, phase, done, total);
    return d->tick_fn ? d->tick_fn(d->ctx) : ST_OK;
}

/* What differs between the current version and the built file; NULL without a current version. The
 * keys of another normaliser or HMAC key cannot be compared: then the rollups are. */
static enum st compare(json_t **out, const struct dry_run *d, const struct task *t,
                       uint64_t current)
{
    struct store_diff *diff = NULL;
    char path[FS_PATH_MAX];
    struct buf text;

    *out = NULL;
    if (!current)
        return ST_OK;
    buf_init(&text, 64u << 20);
    enum st st = fs_path(path, "%s/%s", t->directory, TASK_SEGMENT);
    for (int only_rollups = 0; !st && only_rollups < 2; only_rollups++) {
        st = store_diff_begin_file(&diff, d->store, d->tenant, t->document, current, path);
        if (!st)
            st = store_diff_run(diff, only_rollups, tell, (void *)(uintptr_t)d);
        if (!st)
            store_diff_json(&text, diff);
        store_diff_free(diff);
        if (!st || only_rollups || strcmp(st_code(), "KEYS_NOT_COMPARABLE") != 0)
            break;
        st = ST_OK;
    }
    if (!st)
        st = buf_status(&text);
    if (!st)
        st = jx_parse_wide(out, text.data, text.len);
    buf_release(&text);
    return st;
}

enum st dry_run_compose(json_t *report, const char *dataset, uint64_t current, json_t *gates,
                        json_t *diff)
{
    json_t *checks = json_object_get(report, "checks"); /* NULL: it did not come to them */
    const struct {
        const char *name;
        json_t *value;
    } MEMBERS[] = {
        {"dataset", json_string(dataset)},
        {"dry_run", json_true()},
        {"current", current ? json_integer((json_int_t)current) : json_null()},
        {"gates", gates ? gates : json_array()},
        {"checks", checks ? json_incref(checks) : json_array()},
        {"diff", diff ? diff : json_null()},
    };
    bool whole = true;

    for (size_t i = 0; i < sizeof MEMBERS / sizeof MEMBERS[0]; i++)
        whole = json_object_set_new(report, MEMBERS[i].name, MEMBERS[i].value) == 0 && whole;
    return whole ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* Judges and compares what was built; *report is filled up. */
static enum st judge(json_t *report, bool *held, const struct dry_run *d, const struct task *t,
                     bool built)
{
    json_t *gates = NULL, *diff = NULL;
    bool passed = true;
    uint64_t current = 0;
    enum st st =
        store_gates_preview(&gates, &passed, &current, d->store, d->tenant, d->dataset, report);

    *held = !passed;
    if (!st && built)
        st = compare(&diff, d, t, current);
    if (!st)
        return dry_run_compose(report, d->dataset, current, gates, diff);
    json_decref(gates);
    json_decref(diff);
    return st;
}

enum st dry_run_make(json_t **report, bool *held, const struct dry_run *d, struct task *t)
{
    struct st_report failure;
    int lock;
    enum st st = build_dir_make_unpublished(t->directory, &lock, d->store, d->lease);

    *report = NULL;
    *held = false;
    if (!st)
        st = spawn_run(NULL, CHILD_BIND, t, d->progress, d->tick_fn, d->ctx);
    if (!st)
        st = spawn_run(report, CHILD_BUILD, t, d->progress, d->tick_fn, d->ctx);
    st_save(&failure, st);
    enum st judged = *report ? judge(*report, held, d, t, !st) : ST_OK;
    if (judged) {
        json_decref(*report);
        *report = NULL;
    }
    if (judged && !st)
        st_save(&failure, judged);
    build_dir_remove(t->directory, &lock);
    return failure.status ? st_restore(&failure) : ST_OK;
}

/* ---- what is kept of it ---- */

static bool fits(bool *out, const json_t *report)
{
    char *text = jx_text(report, false);

    *out = text && strlen(text) <= DRY_RUN_BRIEF_MAX;
    free(text);
    return text != NULL;
}

json_t *dry_run_brief(const json_t *report)
{
    static const char *const LISTS[] = {"diff", "gates", "checks", "rejects", "rows"};
    json_t *brief = json_deep_copy(report), *diff = json_object_get(brief, "diff"), *source;
    bool fit = false, whole = brief != NULL;
    size_t i;

    json_object_del(brief, "used");
    json_object_del(json_object_get(brief, "rejects"), "places");
    json_object_del(diff, "samples");
    json_object_del(diff, "dataset");
    json_array_foreach(json_object_get(json_object_get(brief, "rows"), "sources"), i, source)
        json_object_del(source, "files");
    whole = whole && fits(&fit, brief);
    for (i = 0; i < sizeof LISTS / sizeof LISTS[0] && whole && !fit; i++)
        whole = json_object_set_new(brief, LISTS[i], json_null()) == 0 && fits(&fit, brief);
    if (whole)
        return brief;
    json_decref(brief);
    return NULL;
}

/* ---- the command ---- */

static enum st print_report(const json_t *report)
{
    struct buf text;

    buf_init(&text, 64u << 20);
    jx_write_pretty(&text, report);
    enum st st = buf_status(&text);
    if (!st)
        fputs(text.data, stdout);
    buf_release(&text);
    return st;
}

struct limit {
    uint64_t start_ms, timeout_ms;
};

static enum st go_on(void *ctx)
{
    const struct limit *limit = ctx;
    enum st st = job_check_interrupted();

    return st ? st : job_check_time(limit->start_ms, limit->timeout_ms);
}

enum st dry_run(const struct batch *b, struct task *t, bool json)
{
    struct limit limit = {.start_ms = clock_boot_ms(), .timeout_ms = b->job_timeout_ms};
    const struct dry_run d = {.store = b->store,
                              .tenant = b->tenant,
                              .dataset = b->dataset,
                              .progress = b->progress,
                              .tick_fn = go_on,
                              .ctx = &limit};
    struct st_report failure;
    json_t *report;
    bool held;

    job_catch_signals();
    st_save(&failure, dry_run_make(&report, &held, &d, t));
    enum st st = report && json ? print_report(report) : ST_OK;
    if (report && !json)
        dry_run_print(report);
    json_decref(report);
    if (failure.status)
        return st_restore(&failure);
    if (st)
        return st;
    return held ? st_fail(ST_HELD, "HELD",
                          "a gate would hold this batch: a person would have to promote it")
                : ST_OK;
}

#include "ingest/dry_run.h"

#include "ingest/spawn.h"
#include "store/build_dir.h"
#include "store/diff.h"

#include <stdio.h>
#include <string.h>

#define PLACES_SAID 10 /* --output json has them all */

static enum st tell(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    ingest_tell(ctx, phase, done, total);
    return ST_OK;
}

/* What differs between the current version and the built file; NULL without a current version. The
 * keys of another normaliser or HMAC key cannot be compared: then the rollups are. */
static enum st compare(json_t **out, const struct batch *b, const struct task *t, uint64_t current)
{
    struct store_diff *d = NULL;
    char path[FS_PATH_MAX];
    struct buf text;

    *out = NULL;
    if (!current)
        return ST_OK;
    buf_init(&text, 64u << 20);
    enum st st = fs_path(path, "%s/%s", t->directory, TASK_SEGMENT);
    for (int only_rollups = 0; !st && only_rollups < 2; only_rollups++) {
        st = store_diff_begin_file(&d, b->store, b->tenant, t->document, current, path);
        if (!st)
            st = store_diff_run(d, only_rollups, tell, (void *)(uintptr_t)b->progress);
        if (!st)
            store_diff_json(&text, d);
        store_diff_free(d);
        if (st != ST_CONFLICT || only_rollups)
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

static void print_states(const char *what, const json_t *list)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
        printf("%s %s: %s\n", what, json_string_value(json_object_get(item, "name")),
               json_string_value(json_object_get(item, "state")));
}

static long long number(const json_t *object, const char *name)
{
    return (long long)json_number_value(json_object_get(object, name));
}

/* By rule, and the first places. */
static void print_rejects(const json_t *rejects)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(rejects, "rules"), i, item)
        printf("rejected by %s: %lld\n", json_string_value(json_object_get(item, "rule")),
               number(item, "rows"));
    json_array_foreach(json_object_get(rejects, "places"), i, item)
    {
        if (i == PLACES_SAID)
            break;
        printf("  %s:%lld", json_string_value(json_object_get(item, "file")), number(item, "line"));
        if (number(item, "column"))
            printf(":%lld", number(item, "column"));
        printf(" %s\n", json_string_value(json_object_get(item, "rule")));
    }
}

static void print_summary(const struct batch *b, const json_t *report, uint64_t current)
{
    const json_t *rows = json_object_get(report, "rows"), *diff = json_object_get(report, "diff");
    const json_t *records = json_object_get(diff, "records");

    printf("%s: not published; %lld rows read, %lld accepted, %lld rejected, %lld duplicates\n",
           b->dataset, number(rows, "read"), number(rows, "accepted"), number(rows, "rejected"),
           number(rows, "duplicates"));
    print_rejects(json_object_get(report, "rejects"));
    print_states("check", json_object_get(report, "checks"));
    print_states("gate", json_object_get(report, "gates"));
    if (json_is_object(records))
        printf("against version %llu: %lld added, %lld removed, %lld changed\n",
               (unsigned long long)current, number(records, "added"), number(records, "removed"),
               number(records, "changed"));
}

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

/* Judges and compares what was built; *report is filled up. */
static enum st judge(json_t *report, bool *passed, uint64_t *current, const struct batch *b,
                     const struct task *t, bool built)
{
    json_t *gates = NULL, *diff = NULL;
    enum st st =
        store_gates_preview(&gates, passed, current, b->store, b->tenant, b->dataset, report);

    if (!st && built)
        st = compare(&diff, b, t, *current);
    json_object_set_new(report, "dataset", json_string(b->dataset));
    json_object_set_new(report, "dry_run", json_true());
    json_object_set_new(report, "current",
                        *current ? json_integer((json_int_t)*current) : json_null());
    json_object_set_new(report, "gates", gates ? gates : json_array());
    json_object_set_new(report, "diff", diff ? diff : json_null());
    return st;
}

enum st dry_run(const struct batch *b, struct task *t, bool json)
{
    json_t *report = NULL;
    struct st_report failure;
    uint64_t current = 0;
    bool passed = true;
    int lock;
    enum st st = build_dir_make_unpublished(t->directory, &lock, b->store);

    if (!st)
        st = spawn_run(NULL, CHILD_BIND, t, b->progress, NULL, NULL);
    if (!st)
        st = spawn_run(&report, CHILD_BUILD, t, b->progress, NULL, NULL);
    st_save(&failure, st);
    if (report) {
        enum st judged = judge(report, &passed, &current, b, t, !st);
        if (!st && judged)
            st_save(&failure, st = judged);
        if (json && !judged)
            judged = print_report(report);
        else if (!judged)
            print_summary(b, report, current);
        if (!st && judged)
            st_save(&failure, st = judged);
    }
    build_dir_remove(t->directory, &lock);
    json_decref(report);
    if (st)
        return st_restore(&failure);
    return passed ? ST_OK
                  : st_fail(ST_HELD, "HELD",
                            "a gate would hold this batch: a person would have to "
                            "promote it");
}

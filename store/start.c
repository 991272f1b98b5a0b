#include "store/start.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CATALOG_STARTS: tenant/dataset/schedule and tenant/dataset/inbox/BATCH -> {"mark","job"}. A
 * schedule's mark is the time that was due, and only a later one is another start; a batch's is its
 * marker's. Where a row is damaged, a schedule begins anew: its job takes the files that are there
 * then. A batch was started: once more it would put old records in the place of newer ones. */

#define SCHEDULE "schedule"
#define INBOX "inbox/"
#define MARK_SIZE 64
#define AGAIN_US 60000000

static void start_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *dataset,
                      const char *what)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s/%s", tenant, dataset, what);
}

bool start_find(char job[STORE_JOB_ID_SIZE], struct catalog_txn *t,
                const struct store_job_request *request)
{
    char key[CATALOG_KEY_SIZE];
    bool scheduled = strcmp(request->start, SCHEDULE) == 0;
    json_t *row;

    start_key(key, request->tenant, request->dataset, request->start);
    bool known = catalog_get_any(&row, t, CATALOG_STARTS, key);
    int order = strcmp(queue_text(row, "mark"), request->mark);
    bool found = known ? row && (order == 0 || (order > 0 && scheduled)) : !scheduled;
    if (found)
        snprintf(job, STORE_JOB_ID_SIZE, "%s", queue_text(row, "job"));
    json_decref(row);
    return found;
}

void start_remember(struct catalog_txn *t, const struct store_job_request *request, const char *job)
{
    char key[CATALOG_KEY_SIZE];
    json_t *row = json_object();

    start_key(key, request->tenant, request->dataset, request->start);
    store_set(t, row, "mark", json_string(request->mark));
    store_set(t, row, "job", json_string(job));
    catalog_put(t, CATALOG_STARTS, key, row);
    json_decref(row);
}

/* ---- who starts by itself ---- */

/* [{"source","path"}] of the schedule's {"source": path or [path]}. */
static enum st listed_sources(json_t **out, const json_t *document)
{
    json_t *given = json_object_get(json_object_get(document, "schedule"), "sources"), *value;
    json_t *list = *out = json_array();
    bool full = list != NULL;
    const char *name;

    json_object_foreach(given, name, value)
    {
        size_t count = json_is_array(value) ? json_array_size(value) : 1;
        for (size_t i = 0; full && i < count; i++)
            full =
                json_array_append_new(
                    list, json_pack("{s:s, s:O}", "source", name, "path",
                                    json_is_array(value) ? json_array_get(value, i) : value)) == 0;
    }
    return full ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* A schedule begins when the definition was put, and goes on from what was started last. A
 * definition that a clock which was ahead dated has a mark of the right one (go_on_from_now). */
static enum st due_after(int64_t *due_us, struct catalog_txn *t,
                         const struct store_starter *starter, const json_t *stored, int64_t now_us)
{
    char key[CATALOG_KEY_SIZE];
    int64_t since_us = 0, last_us = 0;
    enum st st = ST_OK;

    start_key(key, starter->tenant, starter->dataset, SCHEDULE);
    json_t *row = catalog_get_whole(t, CATALOG_STARTS, key);
    if (clock_parse(&since_us, queue_text(stored, "updated_at")) ||
        (row && clock_parse(&last_us, queue_text(row, "mark"))))
        st =
            st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "a time of the schedule of %s/%s cannot be read",
                    starter->tenant, starter->dataset);
    if (row && since_us > now_us)
        since_us = 0;
    json_decref(row);
    *due_us = cron_next(&starter->schedule, last_us > since_us ? last_us : since_us);
    return st;
}

static enum st add(struct store_starters *list, struct catalog_txn *t, const char *key,
                   const json_t *stored, int64_t now_us)
{
    struct store_starter *grown = reallocarray(list->items, list->count + 1, sizeof *grown);
    struct store_definition *d = NULL;

    if (!grown)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    list->items = grown;
    enum st st = store_definition_parse(&d, json_object_get(stored, "definition"));
    if (st)
        return st;
    struct store_starter *s = &list->items[list->count];
    *s = (struct store_starter){
        .watched = d->watch_inbox, .scheduled = d->scheduled, .schedule = d->schedule};
    snprintf(s->tenant, sizeof s->tenant, "%.*s", (int)strcspn(key, "/"), key);
    snprintf(s->dataset, sizeof s->dataset, "%s", d->name);
    if (d->source_count == 1)
        snprintf(s->source, sizeof s->source, "%s", d->sources[0].name);
    if (d->scheduled)
        st = listed_sources(&s->sources, d->document);
    if (d->scheduled && !st)
        st = due_after(&s->due_us, t, s, stored, now_us);
    store_definition_free(d);
    if (st)
        json_decref(s->sources);
    else
        list->count++;
    return st;
}

/* What cannot be read of one dataset, because a newer program wrote it say, is that dataset's. */
static enum st load(struct store_starters *list, struct store *s, int64_t now_us)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *stored;

    catalog_begin_read(&t, &s->catalog);
    list->seen = catalog_txn_id(&t);
    while (catalog_after_any(&stored, &t, CATALOG_DEFINITIONS, "", key)) { /* NULL: upkeep tells */
        const json_t *document = json_object_get(stored, "definition");
        bool starts = json_object_get(document, "schedule") ||
                      json_is_true(json_object_get(document, "watch_inbox"));
        enum st st = starts ? add(list, &t, key, stored, now_us) : ST_OK;
        if (st == ST_NOMEM)
            catalog_fail(&t, st);
        else if (st)
            st_save(&list->bad, st);
        json_decref(stored);
    }
    return catalog_end(&t);
}

enum st store_starters_refresh(bool *changed, struct store_starters *list, struct store *s,
                               int64_t now_us)
{
    *changed = !list->seen || catalog_moved(&s->catalog, list->seen);
    if (!*changed)
        return ST_OK;
    store_starters_free(list);
    enum st st = load(list, s, now_us);
    if (st)
        store_starters_free(list);
    return st;
}

void store_starters_free(struct store_starters *list)
{
    for (size_t i = 0; i < list->count; i++)
        json_decref(list->items[i].sources);
    free(list->items);
    *list = (struct store_starters){0};
}

/* ---- starting ---- */

static enum st start(bool *started, struct store *s, const struct store_starter *starter,
                     const char *what, const char *mark, json_t *sources)
{
    char job[STORE_JOB_ID_SIZE];
    bool known = false;
    json_t *spec = json_pack("{s:O}", "sources", sources);

    if (!spec)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    struct store_job_request request = {.tenant = starter->tenant,
                                        .dataset = starter->dataset,
                                        .spec = spec,
                                        .actor = {.name = what},
                                        .start = what,
                                        .mark = mark};
    enum st st = store_job_enqueue(job, NULL, &known, s, &request);
    json_decref(spec);
    *started = !st && !known;
    if (*started)
        log_event(LOG_LEVEL_INFO, "started", "%s of %s/%s by %s", job, starter->tenant,
                  starter->dataset, what);
    return st;
}

static enum st pass_over(struct store *s, const struct store_job_request *request)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    start_remember(&t, request, "");
    return catalog_commit(&t);
}

/* The last of the times that have come: one job makes up for all that were missed. */
static int64_t last_due(const struct store_starter *starter, int64_t now_us)
{
    int64_t due_us = starter->due_us, next_us;

    while ((next_us = cron_next(&starter->schedule, due_us)) != 0 && next_us <= now_us)
        due_us = next_us;
    return due_us;
}

/* The clock was set back: what it was when it was ahead would keep the schedule waiting. */
static bool is_of_another_clock(const struct store_starter *starter, int64_t now_us)
{
    return starter->due_us > now_us + AGAIN_US &&
           starter->due_us > cron_next(&starter->schedule, now_us);
}

/* The mark is written, so that a time that comes just before the list is loaded anew is not lost.
 * False: it is to be tried again. */
static bool go_on_from_now(struct store *s, struct store_starter *starter, int64_t now_us)
{
    char mark[CLOCK_TEXT_SIZE];

    clock_format(mark, now_us);
    if (pass_over(s, &(struct store_job_request){.tenant = starter->tenant,
                                                 .dataset = starter->dataset,
                                                 .start = SCHEDULE,
                                                 .mark = mark})) {
        log_failure(LOG_LEVEL_WARN, "schedule", "of %s/%s, after the clock was set back",
                    starter->tenant, starter->dataset);
        return false;
    }
    starter->due_us = cron_next(&starter->schedule, now_us);
    return true;
}

/* A due time that was found by this clock is none of another's for as long as it goes forwards. */
static void look_at_clock(struct store *s, struct store_starters *list, int64_t now_us)
{
    bool goes_on = list->looked_us && now_us >= list->looked_us;

    list->looked_us = now_us;
    for (size_t i = 0; !goes_on && i < list->count; i++) {
        struct store_starter *starter = &list->items[i];
        if (starter->scheduled && is_of_another_clock(starter, now_us) &&
            !go_on_from_now(s, starter, now_us))
            list->looked_us = 0;
    }
}

void store_start_due(struct store *s, struct store_starters *list, int64_t now_us)
{
    look_at_clock(s, list, now_us);
    for (size_t i = 0; i < list->count; i++) {
        struct store_starter *starter = &list->items[i];
        char mark[CLOCK_TEXT_SIZE];
        bool started;
        if (!starter->scheduled || starter->due_us > now_us)
            continue;
        clock_format(mark, last_due(starter, now_us));
        if (start(&started, s, starter, SCHEDULE, mark, starter->sources)) {
            log_failure(LOG_LEVEL_WARN, "schedule", "the ingest of %s/%s that was due at %s",
                        starter->tenant, starter->dataset, mark);
            starter->due_us = now_us + AGAIN_US;
        } else {
            starter->due_us = cron_next(&starter->schedule, now_us);
        }
    }
}

/* ---- batches ---- */

static void batch_start(char what[CATALOG_KEY_SIZE], char mark[MARK_SIZE],
                        const struct store_batch *batch)
{
    snprintf(what, CATALOG_KEY_SIZE, INBOX "%s", batch->name);
    snprintf(mark, MARK_SIZE, "%lld.%llu", (long long)batch->complete_ns,
             (unsigned long long)batch->inode);
}

enum st store_batches_look(bool *first, struct store *s, const struct store_starter *starter,
                           struct store_batch *batches, size_t count)
{
    char what[CATALOG_KEY_SIZE], mark[MARK_SIZE], job[STORE_JOB_ID_SIZE];
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    struct store_job_request request = {
        .tenant = starter->tenant, .dataset = starter->dataset, .start = what, .mark = mark};
    struct catalog_txn t;

    start_key(prefix, starter->tenant, starter->dataset, INBOX);
    catalog_begin_read(&t, &s->catalog);
    json_t *row;
    *first = !catalog_after_any(&row, &t, CATALOG_STARTS, prefix, key);
    json_decref(row);
    for (size_t i = 0; i < count; i++) {
        batch_start(what, mark, &batches[i]);
        batches[i].started = start_find(job, &t, &request);
    }
    return catalog_end(&t);
}

enum st store_batch_start(bool *started, struct store *s, const struct store_starter *starter,
                          const struct store_batch *batch, json_t *sources)
{
    char what[CATALOG_KEY_SIZE], mark[MARK_SIZE];

    batch_start(what, mark, batch);
    if (sources)
        return start(started, s, starter, what, mark, sources);
    *started = false;
    return pass_over(s, &(struct store_job_request){.tenant = starter->tenant,
                                                    .dataset = starter->dataset,
                                                    .start = what,
                                                    .mark = mark});
}

#include "store/queue_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/upload_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The queue as people see it, and what they may do with a job. */

#define PROGRESS_MAX 4096
/* Of one page, so that no tenant holds the catalog thread, or its memory. */
#define LIST_LOOKED_MAX 2000
#define LIST_FILES_MAX 2000

static json_t *public_row(struct catalog_txn *t, const struct store *s, const json_t *row);

void queue_show(json_t **out, struct catalog_txn *t, const struct store *s, const char *job)
{
    json_t *row = out && !t->status ? catalog_get(t, CATALOG_JOBS, job) : NULL;

    if (row)
        *out = public_row(t, s, row);
    json_decref(row);
}

enum st queue_shown(json_t **out, enum st st)
{
    if (st && out) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

/* The tenant's job, or NULL and the transaction fails. */
static json_t *find(struct catalog_txn *t, const char *tenant, const char *job)
{
    bool plausible = strlen(job) < STORE_JOB_ID_SIZE;
    json_t *row = plausible ? catalog_get(t, CATALOG_JOBS, job) : NULL;

    if (row && (!tenant || strcmp(queue_text(row, "tenant"), tenant) == 0))
        return row;
    json_decref(row);
    if (!t->status) /* else its report stays */
        catalog_fail(t, st_fail(ST_NOT_FOUND, "UNKNOWN_JOB", "there is no such job"));
    return NULL;
}

enum st store_job_cancel(json_t **out, struct store *s, const char *tenant, const char *job,
                         const struct store_actor *actor)
{
    struct catalog_txn t;

    if (out)
        *out = NULL;
    catalog_begin_write(&t, &s->catalog);
    json_t *row = find(&t, tenant, job);
    bool asked = row && json_object_get(row, "cancel");
    if (row && !asked)
        store_set(
            &t, row, "cancel",
            json_pack("{s:s, s:o}", "actor", actor->name, "at", store_time_json(clock_wall_us())));
    if (row && queue_is(row, "queued"))
        queue_end_job(&t, row, "canceled", false);
    else if (row && queue_is(row, "running"))
        catalog_put(&t, CATALOG_JOBS, job, row);
    else if (row && !queue_is(row, "canceled"))
        catalog_fail(&t, st_fail(ST_CONFLICT, "JOB_ENDED", "the job has ended: it is %s",
                                 queue_text(row, "state")));
    json_decref(row);
    queue_show(out, &t, s, job);
    enum st st = catalog_commit(&t);
    if (!st)
        upload_purge(s);
    return queue_shown(out, st);
}

void queue_check_room(struct catalog_txn *t, const char *tenant)
{
    json_t *row = catalog_get(t, CATALOG_TENANTS, tenant);
    json_int_t most = queue_number(json_object_get(row, "limits"), "max_queued_jobs");

    if (most && (json_int_t)queue_entries_of(t, tenant) >= most)
        catalog_fail(t, st_hint(st_fail(ST_FULL, "QUOTA",
                                        "the tenant may have %lld jobs that have not ended",
                                        (long long)most),
                                "wait until some have ended, or cancel some"));
    json_decref(row);
}

static void check_retriable(struct catalog_txn *t, const json_t *row)
{
    if (!queue_is(row, "failed") && !queue_is(row, "canceled"))
        catalog_fail(t, st_fail(ST_CONFLICT, "JOB_NOT_RETRIABLE", "the job is %s",
                                queue_text(row, "state")));
    else if (json_is_true(json_object_get(row, "local")))
        catalog_fail(t, st_hint(st_fail(ST_CONFLICT, "JOB_NOT_RETRIABLE",
                                        "the job was a command's own, which has ended"),
                                "run the command again"));
    else if (!upload_all_there(t, queue_text(row, "tenant"), json_object_get(row, "spec")))
        catalog_fail(
            t, st_hint(st_fail(ST_CONFLICT, "UPLOADS_GONE", "the job's uploads went when it ended"),
                       "upload the files again and start a new ingest"));
}

enum st store_job_retry(json_t **out, struct store *s, const char *tenant, const char *job,
                        const struct store_actor *actor)
{
    static const char *const FORGOTTEN[] = {"cancel", "error", "ended_at", "result", "dead"};
    struct catalog_txn t;

    if (out)
        *out = NULL;
    catalog_begin_write(&t, &s->catalog);
    json_t *row = find(&t, tenant, job);
    if (row)
        check_retriable(&t, row);
    if (row && !t.status)
        queue_check_room(&t, queue_text(row, "tenant"));
    if (row && !t.status) {
        for (size_t i = 0; i < sizeof FORGOTTEN / sizeof FORGOTTEN[0]; i++)
            json_object_del(row, FORGOTTEN[i]);
        store_set(&t, row, "tries", json_integer(0));
        store_set(&t, row, "retried_by", json_string(actor->name));
        queue_set_state(&t, row, "queued");
        queue_put(&t, row);
    }
    json_decref(row);
    queue_show(out, &t, s, job);
    return queue_shown(out, catalog_commit(&t));
}

/* ---- progress: in the build's directory, neither synced nor missed, and gone with it ---- */

static enum st progress_path(char out[FS_PATH_MAX], const struct store *s, const char *job,
                             json_int_t attempt)
{
    return fs_path(out, "%s/%s.%lld/progress", s->build_dir, job, (long long)attempt);
}

enum st store_job_tell(struct store *s, const struct store_lease *lease, const json_t *progress)
{
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX];
    enum st st = progress_path(path, s, lease->job, lease->attempt);
    char *text = jx_text(progress, false);
    size_t len = text ? strlen(text) : 0;
    int fd = -1;

    if (!st)
        st = fs_path(temporary, "%s.tmp", path);
    if (!st)
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (!st && fd < 0 && errno == ENOENT) {
        free(text);
        return ST_OK; /* the build has not begun */
    }
    bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len;
    fs_close(&fd);
    if (!st && (!written || rename(temporary, path) != 0))
        st = st_fail_errno(errno, "writing a job's progress");
    free(text);
    return st;
}

/* Null when there is none. */
static json_t *read_progress(const struct store *s, const json_t *job)
{
    char path[FS_PATH_MAX];
    json_t *progress = NULL;

    if (!queue_is(job, "running") ||
        progress_path(path, s, queue_text(job, "job"), queue_number(job, "attempt")) != ST_OK ||
        jx_parse_file(&progress, path, PROGRESS_MAX) != ST_OK)
        return json_null();
    return progress;
}

/* ---- reading ---- */

static json_t *copy(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    return value ? json_incref(value) : json_null();
}

/* Version 0 is none. */
static json_t *version_of(const json_t *row, const json_t *result)
{
    json_int_t version = queue_number(row, "version");

    if (!version)
        version = queue_number(result, "version");
    return version ? json_integer(version) : json_null();
}

/* NULL, and the transaction fails: out of memory. */
static json_t *public_row(struct catalog_txn *t, const struct store *s, const json_t *row)
{
    static const char *const COPIED[] = {"job",        "tenant",   "dataset",   "state",
                                         "attempt",    "priority", "actor",     "created_at",
                                         "started_at", "ended_at", "updated_at"};
    const json_t *result = json_object_get(row, "result"),
                 *error = json_object_get(result, "error");
    json_t *out = json_object();

    for (size_t i = 0; i < sizeof COPIED / sizeof COPIED[0]; i++)
        store_set(t, out, COPIED[i], copy(row, COPIED[i]));
    store_set(t, out, "sources", copy(json_object_get(row, "spec"), "sources"));
    store_set(t, out, "cancel_requested",
              json_boolean(json_object_get(row, "cancel") && queue_is(row, "running")));
    store_set(t, out, "progress", read_progress(s, row));
    store_set(t, out, "version", version_of(row, result));
    store_set(t, out, "outcome", copy(result, "outcome"));
    store_set(t, out, "error",
              error ? json_incref((json_t *)(uintptr_t)error) : copy(row, "error"));
    store_set(t, out, "timeline", copy(result, "timeline"));
    store_set(t, out, "dry_run", json_boolean(queue_is_dry_run(row)));
    if (!t->status)
        return out;
    json_decref(out);
    return NULL;
}

enum st store_job_get(json_t **out, struct store *s, const char *tenant, const char *job)
{
    struct catalog_txn t;

    *out = NULL;
    catalog_begin_read(&t, &s->catalog);
    json_t *row = find(&t, tenant, job);
    if (row)
        *out = public_row(&t, s, row);
    if (*out)
        store_set(&t, *out, "report", copy(json_object_get(row, "result"), "report"));
    json_decref(row);
    return queue_shown(out, catalog_end(&t));
}

static bool is_listed(const struct store_job_filter *f, const json_t *row)
{
    return (!f->dataset || strcmp(queue_text(row, "dataset"), f->dataset) == 0) &&
           (!f->state || queue_is(row, f->state)) &&
           (!f->sees_fn || f->sees_fn(queue_text(row, "dataset"), f->ctx));
}

/* The tenant's job before, of which the key says all. */
static bool step_back(struct catalog_txn *t, const char *prefix, char key[CATALOG_KEY_SIZE])
{
    json_t *entry = catalog_before(t, CATALOG_TENANT_JOBS, prefix, key);
    bool damaged = t->status == ST_CORRUPT;

    if (damaged)
        catalog_forgive(t);
    json_decref(entry);
    return entry || (damaged && !t->status);
}

/* NULL: it is gone, or damaged, which keeps no other from being listed. */
static json_t *listed_row(struct catalog_txn *t, const char *job)
{
    json_t *row;

    if (!catalog_get_any(&row, t, CATALOG_JOBS, job) && !t->status)
        log_failure(LOG_LEVEL_WARN, "job_damaged", "%s is not listed", job);
    return row;
}

enum st store_job_list(json_t **items, char next[STORE_JOB_ID_SIZE], struct store *s,
                       const struct store_job_filter *filter, const char *before, size_t limit)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "", last[STORE_JOB_ID_SIZE] = "";
    size_t looked = 0, files = 0;
    struct catalog_txn t;

    *items = json_array();
    store_dataset_key(prefix, filter->tenant, "");
    if (before)
        store_dataset_key(key, filter->tenant, before);
    *next = '\0';
    catalog_begin_read(&t, &s->catalog);
    while (step_back(&t, prefix, key)) {
        if (json_array_size(*items) == limit || looked == LIST_LOOKED_MAX ||
            files >= LIST_FILES_MAX) {
            snprintf(next, STORE_JOB_ID_SIZE, "%s", last);
            break;
        }
        snprintf(last, sizeof last, "%s", key + strlen(prefix));
        json_t *row = listed_row(&t, last);
        looked++;
        if (row && is_listed(filter, row)) {
            files += json_array_size(json_object_get(json_object_get(row, "spec"), "sources"));
            if (json_array_append_new(*items, public_row(&t, s, row)) != 0)
                catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
        }
        json_decref(row);
    }
    enum st st = catalog_end(&t);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}

#include "ingest/batch.h"

#include "base/clock.h"
#include "base/log.h"
#include "ingest/spawn.h"

#include <glob.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One batch, from files to a served version, as a job of the queue that nobody else may run.
 *
 * SQL is bound in a first child, before the version's row exists: a definition that does not fit
 * the files leaves a failed job and no version. The second child builds. While a child works, this
 * process only listens, and extends its lease. */

#define TURN_MS 100 /* between looks at the queue */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

const volatile sig_atomic_t *batch_interrupted(void)
{
    return &interrupted;
}

/* ---- sources ---- */

enum st batch_define(struct task *t, struct store *s, const char *tenant, const char *dataset)
{
    struct store_tenant row;
    json_t *document = NULL;
    enum st st = store_tenant_get(&row, s, tenant);

    if (!st)
        st = store_dataset_get(&document, s, tenant, dataset);
    if (!st)
        st = task_define(t, json_object_get(document, "definition"));
    json_decref(document);
    if (st)
        return st;
    snprintf(t->tenant, sizeof t->tenant, "%s", tenant);
    if (t->definition->key.protect == STORE_PROTECT_NONE)
        return ST_OK;
    snprintf(t->key_id, sizeof t->key_id, "%s", row.hmac_key_id);
    return store_tenant_hmac_key(&t->hmac_key, s, &row);
}

static enum st source_names(const struct task *t, enum st st)
{
    char names[200] = "";
    size_t len = 0;

    for (size_t i = 0; i < t->definition->source_count && len < sizeof names; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "",
                                t->definition->sources[i].name);
    return st_hint(st, "the dataset's sources: %s", names);
}

/* The index of the source that an argument names; *path is what follows. */
static enum st find_source(size_t *index, const char **path, const struct task *t,
                           const char *argument)
{
    const struct store_definition *d = t->definition;
    const char *equals = strchr(argument, '=');

    *path = equals ? equals + 1 : argument;
    for (size_t i = 0; equals && i < d->source_count; i++)
        if (strlen(d->sources[i].name) == (size_t)(equals - argument) &&
            strncmp(d->sources[i].name, argument, (size_t)(equals - argument)) == 0) {
            *index = i;
            return ST_OK;
        }
    if (d->source_count == 1 && (!equals || access(argument, F_OK) == 0)) {
        *index = 0;
        *path = argument; /* a name with = in it */
        return ST_OK;
    }
    return source_names(t, st_fail(ST_INVALID, "UNKNOWN_SOURCE",
                                   equals ? "--source: the dataset has no source \"%.*s\""
                                          : "--source: NAME=PATH expected, not %.*s",
                                   equals ? (int)(equals - argument) : 60, argument));
}

enum st batch_add_source(struct task *t, const char *argument)
{
    const char *path;
    size_t index = 0;
    glob_t found = {0};
    enum st st = find_source(&index, &path, t, argument);

    if (st)
        return st;
    if (!strpbrk(path, "*?[") || access(path, F_OK) == 0)
        return task_add_file(t, index, path);
    if (glob(path, 0, NULL, &found) != 0)
        st = st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "no file matches %s", path);
    for (size_t i = 0; !st && i < found.gl_pathc; i++)
        st = task_add_file(t, index, found.gl_pathv[i]);
    globfree(&found);
    return st;
}

enum st batch_check_sources(const struct task *t)
{
    for (size_t i = 0; i < t->definition->source_count; i++)
        if (t->sources[i].file_count == 0)
            return st_hint(st_fail(ST_INVALID, "MISSING_SOURCE", "source \"%s\" has no file",
                                   t->definition->sources[i].name),
                           "add --source %s=PATH", t->definition->sources[i].name);
    return ST_OK;
}

static json_t *sources_json(const struct task *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->definition->source_count; i++)
        for (size_t j = 0; j < t->sources[i].file_count; j++)
            json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "name",
                                                  t->definition->sources[i].name, "file",
                                                  task_file_name(&t->sources[i].files[j]), "bytes",
                                                  (json_int_t)t->sources[i].files[j].stamp.bytes));
    return list;
}

/* ---- the job ---- */

struct pulse {
    struct batch *batch;
    const struct store_lease *lease;
    uint64_t last_ms;
};

static enum st check_interrupted(void)
{
    return interrupted
               ? st_fail(ST_CONFLICT, "CANCELED", "cancelled by signal %d", (int)interrupted)
               : ST_OK;
}

static enum st extend(struct pulse *p)
{
    p->last_ms = clock_boot_ms();
    return store_lease_extend(p->batch->store, p->lease, p->batch->lease_ms);
}

static enum st beat(void *ctx)
{
    struct pulse *p = ctx;
    enum st st = check_interrupted();

    return st || clock_boot_ms() - p->last_ms < p->batch->lease_ms / 3 ? st : extend(p);
}

static enum st build(struct batch *b, struct task *t, struct store_build *build,
                     struct pulse *pulse)
{
    json_t *report = NULL;
    enum st st = fs_path(t->directory, "%s", store_build_directory(build));

    if (!st)
        st = spawn_run(&report, CHILD_BUILD, t, b->progress, beat, pulse);
    if (report)
        store_build_set_report(build, report);
    json_decref(report);
    if (!st)
        st = extend(pulse); /* sealing reads the whole segment and is deaf meanwhile */
    if (!st)
        st = store_build_seal(build, TASK_SEGMENT);
    if (!st) {
        ingest_tell(b->progress, "publishing", 0, 0);
        st = store_build_publish(&b->outcome, build, b->adopt_timeout_ms, beat, pulse);
    }
    return st;
}

static enum st run_leased(struct batch *b, struct task *t, const struct store_lease *lease)
{
    struct pulse pulse = {b, lease, clock_boot_ms()};
    struct store_build *started = NULL;
    struct st_report report;
    json_t *sources = NULL;
    enum st st = spawn_run(NULL, CHILD_BIND, t, b->progress, beat, &pulse);

    if (st)
        return st;
    sources = sources_json(t);
    st = store_build_begin(&started, b->store, lease, t->definition, sources);
    json_decref(sources);
    if (st)
        return st;
    b->version = store_build_version(started);
    st = build(b, t, started, &pulse);
    if (st) {
        st_save(&report, st);
        if (store_build_fail(started, st))
            log_failure(LOG_LEVEL_ERROR, "build_fail", "the failed build could not be recorded");
        st = st_restore(&report);
    }
    store_build_free(started);
    return st;
}

static const char *job_state(const struct batch *b, enum st st)
{
    if (st)
        return interrupted ? "canceled" : "failed";
    return b->outcome == STORE_HELD_BACK ? "held" : "succeeded";
}

/* What the job's row keeps of a failure. */
static json_t *job_result(const struct batch *b, const struct st_report *report)
{
    return json_pack("{s:I, s:{s:s, s:s, s:s, s:s}}", "version", (json_int_t)b->version, "error",
                     "code", report->code, "message", report->message, "place", report->place,
                     "hint", report->hint);
}

/* A burst waits in the queue, in the order of enqueueing, until the dataset's earlier jobs ended.
 */
static enum st lease_in_turn(struct store_lease *lease, const struct batch *b, const char *job)
{
    for (bool told = false;; told = true) {
        json_t *spec = NULL;
        enum st st = check_interrupted();

        if (!st)
            st = store_job_lease(lease, &spec, b->store, job, b->lease_ms);
        json_decref(spec);
        if (st != ST_CONFLICT || strcmp(st_code(), "DATASET_BUSY") != 0)
            return st;
        if (!told) {
            fprintf(stderr, "everline-ingest: waiting for an earlier job of dataset %s\n",
                    b->dataset);
            ingest_tell(b->progress, "waiting", 0, 0);
        }
        poll(NULL, 0, TURN_MS);
    }
}

/* While it waited, somebody may have defined the dataset anew. */
static enum st check_definition(const struct batch *b, const struct task *t)
{
    json_t *document = NULL;
    enum st st = store_dataset_get(&document, b->store, b->tenant, b->dataset);

    if (!st && !json_equal(json_object_get(document, "definition"), t->document))
        st = st_hint(st_fail(ST_CONFLICT, "DEFINITION_CHANGED",
                             "the definition of %s changed while this job waited", b->dataset),
                     "ingest again");
    json_decref(document);
    return st;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

enum st batch_run(struct batch *b, struct task *t)
{
    char actor[128], job[STORE_JOB_ID_SIZE];
    const struct passwd *user = getpwuid(geteuid());
    struct store_lease lease;
    struct st_report report;
    json_t *spec = json_object(), *result = NULL;

    catch_signals();
    snprintf(actor, sizeof actor, "cli:%s", user ? user->pw_name : "unknown");
    enum st st = store_job_enqueue(job, b->store, b->tenant, b->dataset, spec, true,
                                   &(struct store_actor){.name = actor});
    if (!st)
        st = lease_in_turn(&lease, b, job);
    json_decref(spec);
    if (st)
        return st;
    st = check_definition(b, t);
    if (!st)
        st = run_leased(b, t, &lease);
    st_save(&report, st);
    if (st)
        result = job_result(b, &report);
    if (store_lease_finish(b->store, &lease, job_state(b, st), result))
        log_failure(LOG_LEVEL_ERROR, "job", "the job's end could not be recorded");
    json_decref(result);
    return st ? st_restore(&report) : ST_OK;
}

#include "ingest/batch.h"

#include "ingest/job.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is to be ingested, and a job of the command line: one that nobody else may run. */

#define TURN_MS 100 /* between looks at the queue */

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
    if (!*path)
        return st_fail(ST_INVALID, "MISSING_SOURCE", "--source %.60s names no file", argument);
    if (!strpbrk(path, "*?[") || access(path, F_OK) == 0)
        return task_add_file(t, index, path, NULL);
    if (glob(path, 0, NULL, &found) != 0)
        st = st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "no file matches %s", path);
    for (size_t i = 0; !st && i < found.gl_pathc; i++)
        st = task_add_file(t, index, found.gl_pathv[i], NULL);
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

/* ---- the job ---- */

/* A burst waits in the queue, in the order of enqueueing, until the dataset's earlier jobs ended.
 */
static enum st lease_in_turn(struct store_lease *lease, const struct batch *b, const char *job)
{
    for (bool told = false;; told = true) {
        json_t *spec = NULL;
        enum st st = job_check_interrupted();

        if (!st)
            st = store_job_lease(lease, &spec, b->store, job, b->lease_ms);
        json_decref(spec);
        if (st != ST_CONFLICT || strcmp(st_code(), "DATASET_BUSY") != 0)
            return st;
        if (!told)
            fprintf(stderr, "%s: waiting for an earlier job of dataset %s\n",
                    program_invocation_short_name, b->dataset);
        ingest_tell(b->progress, "waiting", 0, 0);
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

enum st batch_run(struct batch *b, struct task *t)
{
    char actor[128], job[STORE_JOB_ID_SIZE];
    const struct passwd *user = getpwuid(geteuid());
    struct store_lease lease;
    json_t *spec = json_object();

    job_catch_signals();
    snprintf(actor, sizeof actor, "cli:%s", user ? user->pw_name : "unknown");
    enum st st = store_job_enqueue(job, NULL, NULL, b->store,
                                   &(struct store_job_request){.tenant = b->tenant,
                                                               .dataset = b->dataset,
                                                               .spec = spec,
                                                               .local = true,
                                                               .actor = {.name = actor}});
    json_decref(spec);
    if (st)
        return st;
    st = lease_in_turn(&lease, b, job);
    if (st)
        return job_give_up(b->store, job, st);
    st = check_definition(b, t);
    if (st)
        return job_refuse(b->store, &lease, st);
    struct job_run run = {.store = b->store,
                          .lease = &lease,
                          .lease_ms = b->lease_ms,
                          .adopt_timeout_ms = b->adopt_timeout_ms,
                          .timeout_ms = b->job_timeout_ms,
                          .progress = b->progress};
    st = job_run(&run, t);
    b->version = run.version;
    b->outcome = run.outcome;
    return st;
}

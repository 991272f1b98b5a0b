#include "store/queue_internal.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* Entries of the queue table: what choosing needs of a job, copied from its row. So one that is
 * damaged can be made again. */

void queue_job_name(char out[STORE_JOB_ID_SIZE], uint64_t order)
{
    snprintf(out, STORE_JOB_ID_SIZE, "job-%012llu", (unsigned long long)order);
}

static const char *owner_of(const json_t *job)
{
    return json_is_true(json_object_get(job, "local"))
               ? queue_text(job, "enqueued_by")
               : queue_text(json_object_get(job, "lease"), "owner");
}

json_t *queue_entry_make(struct catalog_txn *t, const json_t *job)
{
    static const char *const COPIED[] = {"job", "tenant", "dataset", "priority", "local", "at_us"};
    json_t *entry = json_object();

    for (size_t i = 0; i < sizeof COPIED / sizeof COPIED[0]; i++)
        store_set(t, entry, COPIED[i], json_incref(json_object_get(job, COPIED[i])));
    store_set(t, entry, "owner", json_string(owner_of(job)));
    store_set(t, entry, "running", json_boolean(queue_is(job, "running")));
    return entry;
}

/* NULL: the job's row is damaged, too, or gone. Then nobody can work at it. */
static json_t *mend(struct catalog_txn *t, const char *key)
{
    char job[STORE_JOB_ID_SIZE];
    json_t *row, *entry = NULL;

    queue_job_name(job, strtoull(key, NULL, 10));
    if (t->writes)
        log_failure(LOG_LEVEL_ERROR, "queue_damaged", "%s: its place in the queue", job);
    bool known = catalog_get_any(&row, t, CATALOG_JOBS, job);
    if (row && (queue_is(row, "queued") || queue_is(row, "running")))
        entry = queue_entry_make(t, row);
    else if (t->writes && !known)
        log_failure(LOG_LEVEL_ERROR, "queue_damaged", "%s waits until the catalog is rebuilt", job);
    if (entry && t->writes)
        catalog_put(t, CATALOG_QUEUE, key, entry);
    json_decref(row);
    return entry;
}

json_t *queue_entry_after(struct catalog_txn *t, char key[CATALOG_KEY_SIZE])
{
    json_t *entry = NULL;

    while (!entry && catalog_after_any(&entry, t, CATALOG_QUEUE, "", key))
        if (!entry)
            entry = mend(t, key);
    return entry;
}

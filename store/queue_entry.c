#include "store/queue_internal.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* Entries of the queue table: what choosing needs of a job, copied from its row. So one that is
 * damaged can be made again. Behind them each has a place among its tenant's own, so that counting
 * these reads no other tenant's; who was enqueued before there were places has none, and is not
 * counted. */

#define PLACES ":" /* behind all digits */

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

static json_t *make(struct catalog_txn *t, const json_t *job)
{
    static const char *const COPIED[] = {"job", "tenant", "dataset", "priority", "local", "at_us"};
    json_t *entry = json_object();

    for (size_t i = 0; i < sizeof COPIED / sizeof COPIED[0]; i++)
        store_set(t, entry, COPIED[i], json_incref(json_object_get(job, COPIED[i])));
    store_set(t, entry, "owner", json_string(owner_of(job)));
    store_set(t, entry, "running", json_boolean(queue_is(job, "running")));
    return entry;
}

static void place_key(char out[CATALOG_KEY_SIZE], const json_t *job)
{
    char order[CATALOG_KEY_SIZE];

    store_order_key(order, (uint64_t)queue_number(job, "order"));
    snprintf(out, CATALOG_KEY_SIZE, PLACES "%.*s/%.20s", STORE_NAME_SIZE, queue_text(job, "tenant"),
             order);
}

void queue_entry_put(struct catalog_txn *t, const json_t *job)
{
    char key[CATALOG_KEY_SIZE];
    json_t *entry = make(t, job), *empty = json_object();

    store_order_key(key, (uint64_t)queue_number(job, "order"));
    catalog_put(t, CATALOG_QUEUE, key, entry);
    place_key(key, job);
    catalog_put(t, CATALOG_QUEUE, key, empty);
    json_decref(entry);
    json_decref(empty);
}

void queue_entry_remove(struct catalog_txn *t, const json_t *job)
{
    char key[CATALOG_KEY_SIZE];

    store_order_key(key, (uint64_t)queue_number(job, "order"));
    catalog_delete(t, CATALOG_QUEUE, key);
    place_key(key, job);
    catalog_delete(t, CATALOG_QUEUE, key);
}

uint64_t queue_entries_of(struct catalog_txn *t, const char *tenant)
{
    char prefix[CATALOG_KEY_SIZE];

    snprintf(prefix, sizeof prefix, PLACES "%s/", tenant);
    return catalog_sum(t, CATALOG_QUEUE, prefix).rows;
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
        entry = make(t, row);
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

    while (!entry && catalog_after_any(&entry, t, CATALOG_QUEUE, "", key)) {
        if (*key == *PLACES) {
            json_decref(entry);
            return NULL;
        }
        if (!entry)
            entry = mend(t, key);
    }
    return entry;
}

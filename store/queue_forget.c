#include "store/queue_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/repeat_internal.h"

#include <string.h>

/* What is remembered of the queue's past has an end, else a tenant could make the catalog grow for
 * ever: the row of a job STORE_JOB_DAYS after its end, what was answered to an Idempotency-Key
 * after STORE_REPEAT_HOURS. A call looks at LOOK_ROWS of either, from where the last one left off.
 */

#define LOOK_ROWS 500
#define HOUR_US 3600000000LL

typedef bool (*is_over_fn)(const json_t *row, int64_t now_us); /* NULL: the row is damaged */

/* A damaged one is passed over: nothing says whether it has ended. */
static bool job_is_over(const json_t *row, int64_t now_us)
{
    const char *ended = queue_text(row, "ended_at");
    int64_t ended_us;

    return *ended && clock_parse(&ended_us, ended) == ST_OK &&
           now_us - ended_us >= STORE_JOB_DAYS * 24 * HOUR_US;
}

/* The keys of those that are over, among the next rows after `at`, which moves on. */
static json_t *find_over(struct catalog_txn *t, enum catalog_table table, char *at,
                         is_over_fn is_over, int64_t now_us)
{
    json_t *found = json_array(), *row;
    bool more = true;

    for (unsigned i = 0; i < LOOK_ROWS && more; i++) {
        more = catalog_after_any(&row, t, table, "", at);
        if (more && is_over(row, now_us))
            json_array_append_new(found, json_string(at));
        json_decref(row);
    }
    if (!more)
        *at = '\0'; /* from the start, the next time */
    return found;
}

static void forget_job(struct catalog_txn *t, const char *key, const json_t *row)
{
    char listed[CATALOG_KEY_SIZE];

    store_dataset_key(listed, queue_text(row, "tenant"), key);
    catalog_delete(t, CATALOG_TENANT_JOBS, listed);
    catalog_delete(t, CATALOG_JOBS, key);
}

static void forget_answer(struct catalog_txn *t, const char *key, int64_t now_us)
{
    json_t *row;

    if (!catalog_get_any(&row, t, CATALOG_REPEATS, key)) {
        log_failure(LOG_LEVEL_WARN, "upkeep", "its Idempotency-Key is refused for a day");
        repeat_lose(t, key, now_us);
    } else if (row && repeat_is_over(row, now_us)) {
        repeat_forget(t, key);
    }
    json_decref(row);
}

/* Somebody may have retried a job meanwhile, or sent a key again. */
static void forget(struct catalog_txn *t, const json_t *jobs, const json_t *repeats, int64_t now_us)
{
    const json_t *key;
    size_t i;

    json_array_foreach(jobs, i, key)
    {
        json_t *row = catalog_get_whole(t, CATALOG_JOBS, json_string_value(key));
        if (job_is_over(row, now_us))
            forget_job(t, json_string_value(key), row);
        json_decref(row);
    }
    json_array_foreach(repeats, i, key) forget_answer(t, json_string_value(key), now_us);
}

enum st queue_forget(struct queue_forgetting *f, struct store *s, int64_t now_us)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &s->catalog);
    json_t *jobs = find_over(&t, CATALOG_JOBS, f->job, job_is_over, now_us);
    json_t *repeats = find_over(&t, CATALOG_REPEATS, f->repeat, repeat_is_over, now_us);
    enum st st = catalog_end(&t);
    if (!st && json_array_size(jobs) + json_array_size(repeats)) {
        catalog_begin_write(&t, &s->catalog);
        forget(&t, jobs, repeats, now_us);
        st = catalog_commit(&t);
    }
    json_decref(jobs);
    json_decref(repeats);
    return st;
}

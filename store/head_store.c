#include "store/internal.h"

#include "base/clock.h"

#include <stdlib.h>

/* The head inside a catalog transaction, with the event and the head file that go with each change.
 *
 * Order: the head file is written and synced before the transaction commits. A crash between the
 * two leaves a file that is ahead by the change that was being made, whose segments are durable
 * already; one that is behind would lose an acknowledged change. */

void store_head_load(struct head *out, struct catalog_txn *t, const char *tenant,
                     const char *dataset)
{
    char key[CATALOG_KEY_SIZE];

    *out = (struct head){0};
    store_dataset_key(key, tenant, dataset);
    json_t *document = catalog_get(t, CATALOG_HEADS, key);
    if (document)
        catalog_fail(t, head_from_json(out, document));
    else if (!t->status)
        catalog_fail(
            t, st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset \"%s\"", dataset));
    json_decref(document);
}

json_t *store_time_json(int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];

    clock_format(text, wall_us);
    return json_string(text);
}

static json_t *number_or_null(uint64_t number)
{
    return number ? json_integer((json_int_t)number) : json_null();
}

static json_t *string_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *event_json(struct catalog_txn *t, const struct head *h,
                          const struct store_event *event)
{
    json_t *e = json_object();

    store_set(t, e, "sequence", json_integer((json_int_t)h->sequence));
    store_set(t, e, "event", json_string(event->event));
    store_set(t, e, "version", number_or_null(event->version));
    store_set(t, e, "from", number_or_null(event->from));
    store_set(t, e, "to", number_or_null(event->to));
    store_set(t, e, "actor", json_string(event->actor->name));
    store_set(t, e, "reason", string_or_null(event->actor->reason));
    store_set(t, e, "request_id", string_or_null(event->actor->request_id));
    store_set(t, e, "time", store_time_json(h->event_us));
    return e;
}

static enum st write_head_file(const struct store *s, const struct head *h, const json_t *document)
{
    char path[FS_PATH_MAX];
    struct buf text;
    enum st st = fs_path(path, "%s/%s", s->heads_dir, h->tenant);

    buf_init(&text, 64u << 20);
    jx_write(&text, document, true);
    buf_addch(&text, '\n');
    if (!st)
        st = fs_mkdir(path, 0700);
    if (!st)
        st = fs_path(path, "%s/%s/%s.json", s->heads_dir, h->tenant, h->dataset);
    if (!st)
        st = buf_status(&text);
    if (!st)
        st = fs_write_atomic(path, text.data, text.len, 0600);
    buf_release(&text);
    return st;
}

void store_event_save(struct catalog_txn *t, const struct head *h, const struct store_event *event)
{
    char key[CATALOG_KEY_SIZE];
    json_t *row = t->status ? NULL : event_json(t, h, event);

    if (!t->status) {
        store_numbered_key(key, h->tenant, h->dataset, h->sequence);
        catalog_put(t, CATALOG_EVENTS, key, row);
    }
    json_decref(row);
}

void store_head_write(struct catalog_txn *t, const struct store *s, const struct head *h)
{
    char key[CATALOG_KEY_SIZE];
    json_t *document = NULL;

    if (!t->status)
        catalog_fail(t, head_to_json(&document, h));
    if (!t->status) {
        store_dataset_key(key, h->tenant, h->dataset);
        catalog_put(t, CATALOG_HEADS, key, document);
    }
    if (!t->status)
        catalog_fail(t, write_head_file(s, h, document));
    json_decref(document);
}

void store_head_save(struct catalog_txn *t, const struct store *s, const struct head *h,
                     const struct store_event *event)
{
    store_event_save(t, h, event);
    store_head_write(t, s, h);
}

enum st store_head_answer(json_t **out, const struct head *h, uint64_t previous)
{
    *out = json_pack("{s:s, s:I, s:o, s:o, s:o}", "dataset", h->dataset, "sequence",
                     (json_int_t)h->sequence, "current", number_or_null(h->current), "previous",
                     number_or_null(previous), "updated_at", store_time_json(h->event_us));
    return *out ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

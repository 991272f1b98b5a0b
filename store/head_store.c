#include "store/internal.h"

#include "base/clock.h"
#include "store/head_file.h"
#include "store/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The head inside a catalog transaction, with the event and the head file that go with each change.
 *
 * Order: the head file is written and synced before the transaction commits. A crash between the
 * two leaves a file that is ahead by the change that was being made, whose segments are durable
 * already; one that is behind would lose an acknowledged change. */

void store_head_load_any(struct head *out, struct catalog_txn *t, const char *tenant,
                         const char *dataset)
{
    char key[CATALOG_KEY_SIZE];

    *out = (struct head){0};
    snprintf(out->tenant, sizeof out->tenant, "%s", tenant);
    snprintf(out->dataset, sizeof out->dataset, "%s", dataset);
    store_dataset_key(key, tenant, dataset);
    catalog_group_check_head(t, key);
    json_t *document = catalog_get(t, CATALOG_HEADS, key);
    if (document)
        catalog_fail(t, head_from_json(out, document));
    json_decref(document);
}

void store_head_load(struct head *out, struct catalog_txn *t, const char *tenant,
                     const char *dataset)
{
    store_head_load_any(out, t, tenant, dataset);
    if (t->status || (out->sequence && !out->deleted))
        return;
    enum st st = st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset \"%s\"", dataset);
    json_t *row = catalog_get(t, CATALOG_TENANTS, tenant);
    catalog_fail(t,
                 row ? st_hint(st, "everline dataset list, or GET /v1/datasets, has those of the "
                                   "tenant")
                     : st_hint(st, "nor a tenant \"%s\": everline tenant list has them", tenant));
    json_decref(row);
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

/* What is missing or torn says nothing: sequence 0. */
static enum st read_head_file(struct head *out, const struct store *s, const char *tenant,
                              const char *dataset)
{
    enum st st = head_file_read_head(out, s->heads_dir, tenant, dataset);

    return st == ST_NOMEM || st == ST_IO ? st : ST_OK;
}

/* One transaction makes one event, or several that only retire. */
static enum st check_step(const struct store *s, const struct head *h, const struct head *file)
{
    if (file->sequence <= h->sequence + 1 ||
        (file->last_version == h->last_version && file->current == h->current &&
         file->people_sequence == h->people_sequence))
        return ST_OK;
    return st_hint(
        st_fail(ST_CORRUPT, "CATALOG_OLD",
                "the catalog is older than the head file of %s/%s: is it an earlier copy?",
                file->tenant, file->dataset),
        "stop what uses it, then: everline catalog rebuild --data %s", s->data_dir);
}

/* `key` may be unknown to the catalog, when the file is of its dataset's first event. */
static void check_file(struct catalog_txn *t, const struct store *s, const char *key,
                       const struct head *file)
{
    struct head h = {0};
    json_t *document = catalog_get(t, CATALOG_HEADS, key);

    if (document)
        catalog_fail(t, head_from_json(&h, document));
    if (!t->status)
        catalog_fail(t, check_step(s, &h, file));
    json_decref(document);
    head_release(&h);
}

static void look_at_file(struct catalog_txn *t, const struct store *s, const char *tenant,
                         const char *name,
                         void (*file_fn)(struct catalog_txn *t, const struct head *file, void *ctx),
                         void *ctx)
{
    char dataset[STORE_NAME_SIZE], key[CATALOG_KEY_SIZE];
    struct head file;
    size_t len = strlen(name);

    if (len < 6 || len - 5 >= sizeof dataset || strcmp(name + len - 5, ".json") != 0)
        return; /* a temporary file, or not ours */
    memcpy(dataset, name, len - 5);
    dataset[len - 5] = '\0';
    catalog_fail(t, read_head_file(&file, s, tenant, dataset));
    store_dataset_key(key, tenant, dataset);
    check_file(t, s, key, &file);
    if (t->status == ST_CORRUPT && strcmp(st_code(), "CATALOG_DAMAGED") == 0)
        catalog_forgive(t); /* told where it is read; it says nothing of the others */
    if (!t->status && file_fn)
        file_fn(t, &file, ctx);
    head_release(&file);
}

void store_head_files(struct catalog_txn *t, const struct store *s,
                      void (*file_fn)(struct catalog_txn *t, const struct head *file, void *ctx),
                      void *ctx)
{
    struct fs_list tenants = {0}, files = {0};
    char path[FS_PATH_MAX];

    catalog_fail(t, fs_list_dir(&tenants, s->heads_dir));
    for (size_t i = 0; !t->status && i < tenants.count; i++) {
        if (store_name_check("tenant", tenants.names[i]) ||
            fs_path(path, "%s/%s", s->heads_dir, tenants.names[i]) || fs_list_dir(&files, path))
            continue; /* not ours */
        for (size_t j = 0; !t->status && j < files.count; j++)
            look_at_file(t, s, tenants.names[i], files.names[j], file_fn, ctx);
        fs_list_free(&files);
    }
    fs_list_free(&tenants);
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

static void write_head(struct catalog_txn *t, const struct store *s, const struct head *h,
                       const char *key)
{
    json_t *document = NULL;

    if (!t->status)
        catalog_fail(t, head_to_json(&document, h));
    if (!t->status)
        catalog_put(t, CATALOG_HEADS, key, document);
    if (!t->status)
        head_file_write(t, s->heads_dir, h, document);
    json_decref(document);
}

/* In an older copy of the catalog the head file is all that knows what was acknowledged since. */
void store_head_write(struct catalog_txn *t, const struct store *s, const struct head *h)
{
    char key[CATALOG_KEY_SIZE];
    struct head file = {0};

    store_dataset_key(key, h->tenant, h->dataset);
    if (!t->status)
        catalog_fail(t, read_head_file(&file, s, h->tenant, h->dataset));
    if (!t->status)
        check_file(t, s, key, &file);
    write_head(t, s, h, key);
    head_release(&file);
}

void store_head_revive(struct catalog_txn *t, const struct store *s, const struct head *h,
                       const struct store_event *event)
{
    char key[CATALOG_KEY_SIZE];

    store_dataset_key(key, h->tenant, h->dataset);
    store_event_save(t, h, event);
    write_head(t, s, h, key);
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

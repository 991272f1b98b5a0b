#include "store/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/build_dir.h"
#include "store/internal.h"
#include "store/queue_internal.h"
#include "store/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Removal (DESIGN section 5). A file may go when nothing names it: no manifest of a head, no pin of
 * a build or backup that lives, no candidate. That is decided inside a write transaction, and the
 * file is moved aside inside it too. A publisher pins a hash before it looks whether the file is
 * there, and pinning is a write transaction: so either it finds the file, which then stays, or it
 * brings its own. A crash in between leaves a file that nothing names: the next sweep's.
 *
 * A version is RETIRED in an earlier transaction of its own. If the removal came first and the
 * commit failed, a version would be served whose files are gone. */

#define RETIRE_MAX 64 /* versions in one transaction */
#define DAY_US 86400000000LL
#define ASIDE "removed-"

const char *store_build_dir(const struct store *s)
{
    return s->build_dir;
}

/* ---- versions ---- */

static size_t find_expired(uint64_t *out, struct catalog_txn *t, const struct store *s,
                           const struct head *h, struct store_definition **definition)
{
    char key[CATALOG_KEY_SIZE];

    store_dataset_key(key, h->tenant, h->dataset);
    json_t *row = catalog_get(t, CATALOG_DEFINITIONS, key);
    *definition = NULL;
    if (row)
        catalog_fail(t, store_definition_parse(definition, json_object_get(row, "definition")));
    json_decref(row);
    if (!*definition)
        return 0;
    (void)store_tenant_row(&row, t, h->tenant); /* damaged: more is kept */
    json_int_t most =
        json_integer_value(json_object_get(json_object_get(row, "limits"), "max_versions"));
    json_decref(row);
    if (most && most < (*definition)->keep_versions)
        (*definition)->keep_versions = (unsigned)most;
    return head_expired(out, RETIRE_MAX, h, store_rollback_target(t, s, h),
                        (*definition)->keep_versions,
                        clock_wall_us() - (int64_t)(*definition)->keep_days * DAY_US);
}

/* One version; the head is the caller's to write. */
static void retire(struct catalog_txn *t, struct head *h, uint64_t version,
                   const struct store_actor *actor)
{
    json_t *row = t->status ? NULL : store_row_load(t, h->tenant, h->dataset, version);

    if (!t->status)
        catalog_fail(t, head_apply(h, MOVE_RETIRE, version, 0, clock_wall_us()));
    if (row && !t->status) {
        store_set(t, row, "updated_at", store_time_json(h->event_us));
        store_row_save(t, h->tenant, h->dataset, version, row);
    }
    json_decref(row);
    store_event_save(t, h,
                     &(struct store_event){.event = "retired",
                                           .version = version,
                                           .from = h->current,
                                           .to = h->current,
                                           .actor = actor});
}

/* Looks, and with `write` does it. */
static enum st retention_round(size_t *count, struct store *s, const char *tenant,
                               const char *dataset, bool write)
{
    struct store_definition *definition = NULL;
    uint64_t versions[RETIRE_MAX];
    struct catalog_txn t;
    struct head h;
    char reason[96];

    *count = 0;
    (write ? catalog_begin_write : catalog_begin_read)(&t, &s->catalog);
    store_head_load_any(&h, &t, tenant, dataset); /* deleted: it has nothing left */
    if (!t.status)
        *count = find_expired(versions, &t, s, &h, &definition);
    if (write && *count) {
        snprintf(reason, sizeof reason, "kept are %u versions and %u days",
                 definition->keep_versions, definition->keep_days);
        for (size_t i = 0; i < *count; i++)
            retire(&t, &h, versions[i], &(struct store_actor){"retention", reason, NULL});
        store_head_write(&t, s, &h);
    }
    store_definition_free(definition);
    head_release(&h);
    return write && *count ? catalog_commit(&t) : catalog_end(&t);
}

enum st store_retention_run(unsigned *retired, struct store *s, const char *tenant,
                            const char *dataset)
{
    size_t count = 0;

    *retired = 0;
    for (;;) {
        enum st st = retention_round(&count, s, tenant, dataset, false);
        if (!st && count)
            st = retention_round(&count, s, tenant, dataset, true);
        if (st || !count)
            return st;
        *retired += (unsigned)count;
    }
}

enum st store_retire(json_t **head, struct store *s, const struct store_move *move)
{
    struct catalog_txn t;
    struct head h;
    enum st st = store_move_check_reason(&move->actor);

    *head = NULL;
    if (st)
        return st;
    catalog_begin_write(&t, &s->catalog);
    store_head_load(&h, &t, move->tenant, move->dataset);
    if (!t.status)
        catalog_fail(&t, store_move_check_head(&h, move));
    if (!t.status && !head_find(&h, move->to))
        catalog_fail(&t,
                     st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION", "dataset \"%s\" has no version %llu",
                             move->dataset, (unsigned long long)move->to));
    if (!t.status && move->to == store_rollback_target(&t, s, &h))
        catalog_fail(&t, st_hint(st_fail(ST_CONFLICT, "NOT_ALLOWED",
                                         "cannot retire version %llu: a rollback would go to it",
                                         (unsigned long long)move->to),
                                 "publish another version first"));
    retire(&t, &h, move->to, &move->actor);
    store_head_write(&t, s, &h);
    if (!t.status)
        catalog_fail(&t, store_head_answer(head, &h, h.current));
    head_release(&h);
    st = catalog_commit(&t);
    if (st) {
        json_decref(*head);
        *head = NULL;
    }
    return st;
}

/* ---- files ---- */

static void name_all(struct catalog_txn *t, json_t *named, const json_t *segments)
{
    const json_t *segment;
    size_t i;

    json_array_foreach(segments, i, segment)
    {
        const char *sha256 = json_string_value(json_object_get(segment, "sha256"));
        if (sha256)
            store_set(t, named, sha256, json_true());
    }
}

static void name_versions(struct catalog_txn *t, const struct head *h, void *ctx)
{
    json_t *named = ctx;

    for (size_t i = 0; i < h->version_count; i++)
        for (size_t j = 0; j < h->versions[i].segment_count; j++)
            store_set(t, named, h->versions[i].segments[j].sha256, json_true());
}

/* By the catalog and by the head files: nothing goes that either of them knows. */
static void name_heads(struct catalog_txn *t, const struct store *s, json_t *named)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *document;

    store_head_files(t, s, name_versions, named);
    while ((document = catalog_after(t, CATALOG_HEADS, "", key))) {
        struct head h;
        catalog_fail(t, head_from_json(&h, document));
        if (!t->status)
            name_versions(t, &h, named);
        head_release(&h);
        json_decref(document);
    }
}

/* The owner of a pin, and the maker of a candidate, is a job or a process of DATA/run. */
static bool is_gone(struct catalog_txn *t, const struct store *s, const char *owner)
{
    return !queue_job_runs(t, owner) && !run_alive(s->run_dir, owner);
}

/* Of one table; what belongs to the gone is added to `stale`. With a damaged pin nothing is swept:
 * its key may be what is damaged, and then nobody knows which file it is of. */
static void name_pins(struct catalog_txn *t, const struct store *s, json_t *named, json_t *stale)
{
    char key[CATALOG_KEY_SIZE] = "", sha256[DIGEST_HEX_SIZE];
    json_t *pin;

    while ((pin = catalog_after(t, CATALOG_PINS, "", key))) {
        json_decref(pin);
        const char *slash = strchr(key, '/');
        bool whole = slash && slash - key == DIGEST_HEX_SIZE - 1;
        if (!whole || is_gone(t, s, slash + 1)) {
            store_set(t, stale, key, json_integer(CATALOG_PINS));
            continue;
        }
        memcpy(sha256, key, DIGEST_HEX_SIZE - 1);
        sha256[DIGEST_HEX_SIZE - 1] = '\0';
        store_set(t, named, sha256, json_true());
    }
}

/* A damaged one is nobody's: servers pass it over, and its files have a pin or a head. */
static void name_candidates(struct catalog_txn *t, const struct store *s, json_t *named,
                            json_t *stale)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *candidate;

    while (catalog_after_any(&candidate, t, CATALOG_CANDIDATES, "", key)) {
        const char *owner = json_string_value(json_object_get(candidate, "owner"));
        if (!owner || is_gone(t, s, owner))
            store_set(t, stale, key, json_integer(CATALOG_CANDIDATES));
        else
            name_all(t, named, json_object_get(candidate, "segments"));
        json_decref(candidate);
    }
}

/* Everything that must stay, and what is of the gone. */
static void name_everything(struct catalog_txn *t, const struct store *s, json_t *named,
                            json_t *stale)
{
    name_heads(t, s, named);
    name_pins(t, s, named, stale);
    name_candidates(t, s, named, stale);
}

/* Files in segments/ whose names are hashes; of others we know nothing. */
static enum st list_segments(json_t *out, const struct store *s)
{
    struct fs_list shards, files;
    char path[FS_PATH_MAX], sha256[DIGEST_HEX_SIZE];
    unsigned char digest[DIGEST_BYTES];
    enum st st = fs_list_dir(&shards, s->segments_dir);

    if (st)
        return st;
    for (size_t i = 0; !st && i < shards.count; i++) {
        st = fs_path(path, "%s/%s", s->segments_dir, shards.names[i]);
        if (st || fs_list_dir(&files, path))
            continue; /* no directory: not ours */
        for (size_t j = 0; j < files.count; j++) {
            const char *name = files.names[j];
            if (strlen(name) != DIGEST_HEX_SIZE - 1 + 4 ||
                strcmp(name + DIGEST_HEX_SIZE - 1, ".mdb") != 0)
                continue;
            memcpy(sha256, name, DIGEST_HEX_SIZE - 1);
            sha256[DIGEST_HEX_SIZE - 1] = '\0';
            if (digest_unhex(digest, sizeof digest, sha256) == ST_OK &&
                json_object_set_new(out, sha256, json_true()) != 0)
                st = st_fail(ST_NOMEM, NULL, "out of memory");
        }
        fs_list_free(&files);
    }
    fs_list_free(&shards);
    return st;
}

static bool has_unnamed(const json_t *files, const json_t *named)
{
    const char *sha256;
    json_t *unused;

    json_object_foreach((json_t *)(uintptr_t)files, sha256,
                        unused) if (!json_object_get(named, sha256)) return true;
    return false;
}

static void drop_acks(struct catalog_txn *t, const char *candidate_key)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *ack;

    snprintf(prefix, sizeof prefix, "%.250s/", candidate_key);
    while (catalog_after_any(&ack, t, CATALOG_ACKS, prefix, key)) {
        json_decref(ack);
        catalog_delete(t, CATALOG_ACKS, key);
    }
}

static void drop_stale(struct catalog_txn *t, const json_t *stale)
{
    const char *key;
    json_t *table;

    json_object_foreach((json_t *)(uintptr_t)stale, key, table)
    {
        catalog_delete(t, (enum catalog_table)json_integer_value(table), key);
        if (json_integer_value(table) == CATALOG_CANDIDATES)
            drop_acks(t, key);
    }
}

static void move_aside(struct catalog_txn *t, const struct store *s, const json_t *files,
                       const json_t *named)
{
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    const char *sha256;
    json_t *unused;

    json_object_foreach((json_t *)(uintptr_t)files, sha256, unused)
    {
        if (json_object_get(named, sha256) || t->status)
            continue;
        catalog_fail(t, store_segment_path(from, s, sha256));
        catalog_fail(t, fs_path(to, "%s/" ASIDE "%s", s->build_dir, sha256));
        if (!t->status && rename(from, to) != 0 && errno != ENOENT)
            catalog_fail(t, st_fail_errno(errno, "moving segment %.12s aside", sha256));
        catalog_delete(t, CATALOG_SEALS, sha256);
    }
}

enum st store_sweep(bool *aside, struct store *s)
{
    json_t *files = json_object(), *named = json_object(), *stale = json_object();
    struct catalog_txn t;
    enum st st = files && named && stale ? list_segments(files, s)
                                         : st_fail(ST_NOMEM, NULL, "out of memory");

    if (aside)
        *aside = false;
    if (!st) {
        catalog_begin_read(&t, &s->catalog);
        name_everything(&t, s, named, stale);
        st = catalog_end(&t);
    }
    if (!st && (json_object_size(stale) || has_unnamed(files, named))) {
        json_object_clear(named);
        json_object_clear(stale);
        catalog_begin_write(&t, &s->catalog);
        name_everything(&t, s, named, stale);
        drop_stale(&t, stale);
        move_aside(&t, s, files, named);
        st = catalog_commit(&t);
        if (aside)
            *aside = true;
    }
    json_decref(files);
    json_decref(named);
    json_decref(stale);
    return st;
}

static bool is_aside(const char *name)
{
    return strncmp(name, ASIDE, strlen(ASIDE)) == 0;
}

bool store_purge_due(const char *build_dir)
{
    struct fs_list list;
    bool due = build_dir_any_dead(build_dir);

    if (due || fs_list_dir(&list, build_dir))
        return due;
    for (size_t i = 0; !due && i < list.count; i++)
        due = is_aside(list.names[i]);
    fs_list_free(&list);
    return due;
}

void store_purge(const char *build_dir)
{
    struct fs_list list;
    char path[FS_PATH_MAX];

    if (fs_list_dir(&list, build_dir))
        return;
    for (size_t i = 0; i < list.count; i++)
        if (is_aside(list.names[i]) && fs_path(path, "%s/%s", build_dir, list.names[i]) == ST_OK &&
            unlink(path) != 0 && errno != ENOENT)
            log_event(LOG_LEVEL_WARN, "purge", "a removed segment's file stays");
    fs_list_free(&list);
    build_dir_sweep(build_dir);
}

void store_tidy(struct store *s, const char *tenant, const char *dataset)
{
    unsigned retired;
    bool aside = false;
    enum st st = store_retention_run(&retired, s, tenant, dataset);

    if (!st)
        st = store_sweep(&aside, s);
    if (st)
        log_failure(LOG_LEVEL_WARN, "tidy", "old versions are not removed now");
    if (aside)
        store_purge(s->build_dir);
}

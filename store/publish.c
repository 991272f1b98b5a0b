#include "store/publish_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/build_dir.h"
#include "store/offer.h"
#include "store/retention.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Publishing: the order that makes a version whole or not there.
 *
 *   1  the row, IN_PROGRESS, with its number                       (one commit)
 *   2  segment files, built and synced in a directory of their own
 *   3  their hashes pinned: from now on removal leaves them alone  (one commit)
 *   4  renamed into segments/, directories synced
 *   5  candidate: live servers verify, open, warm, acknowledge     (store/offer.c)
 *   6  the head swapped, the pin given back                        (one commit)
 *
 * A crash before 6 leaves a version that is not there: its files are swept when the lease has ended
 * (store/retention.c), or found again by hash and reused. Every commit is fenced by the lease. */

#define OUTCOME_COUNT 4
#define POLL_MS 5
#define TICK_MS 100

const char *store_outcome_name(enum store_outcome outcome)
{
    static const char *const NAMES[OUTCOME_COUNT] = {
        [STORE_FLIPPED] = "flipped",
        [STORE_SUPERSEDED] = "superseded",
        [STORE_IDENTICAL] = "identical",
        [STORE_HELD_BACK] = "held",
    };

    return NAMES[outcome];
}

static struct store_actor actor_of(const struct store_build *b, const char *reason)
{
    return (struct store_actor){.name = b->actor, .reason = reason};
}

static void pin_key(char out[CATALOG_KEY_SIZE], const struct store_build *b, const char *sha256)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s", sha256, b->lease.job);
}

static enum st make_directory(struct store_build *b)
{
    enum st st =
        fs_path(b->directory, "%s/%s.%u", b->store->build_dir, b->lease.job, b->lease.attempt);

    return st ? st : build_dir_make(&b->directory_fd, b->directory);
}

/* ---- begin ---- */

static void set_new_row(struct catalog_txn *t, json_t *row, const struct store_build *b,
                        const struct head *h, const struct store_definition *definition,
                        const json_t *sources)
{
    store_set(t, row, "version", json_integer((json_int_t)b->version));
    store_set(t, row, "created_at", store_time_json(h->event_us));
    store_set(t, row, "updated_at", store_time_json(h->event_us));
    store_set(t, row, "job", json_string(b->lease.job));
    store_set(t, row, "definition", json_incref(definition->document));
    store_set(t, row, "sources", json_deep_copy(sources));
    store_set(t, row, "rows", json_null());
    store_set(t, row, "bytes", json_integer(0));
    store_set(t, row, "segments", json_array());
    store_set(t, row, "checks", json_array());
    store_set(t, row, "gates", json_array());
    store_set(t, row, "rejects", json_null());
    store_set(t, row, "outcome", json_null());
    store_set(t, row, "error", json_null());
}

static enum st create_row(struct store_build *b, const struct store_definition *definition,
                          const json_t *sources)
{
    struct store_actor actor = actor_of(b, NULL);
    struct catalog_txn t;
    struct head h;
    json_t *row = json_object();

    catalog_begin_write(&t, &b->store->catalog);
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    b->version = h.last_version + 1;
    if (!t.status)
        catalog_fail(&t, store_head_check(b->store, &h)); /* numbers are never used again */
    if (!t.status)
        catalog_fail(&t, head_apply(&h, MOVE_BEGIN, b->version, 0, clock_wall_us()));
    if (!t.status) {
        head_find(&h, b->version)->order = b->lease.order;
        queue_set_version(&t, &b->lease, b->version);
        set_new_row(&t, row, b, &h, definition, sources);
        store_row_save(&t, b->lease.tenant, b->lease.dataset, b->version, row);
        store_head_save(&t, b->store, &h,
                        &(struct store_event){.event = "started",
                                              .version = b->version,
                                              .from = h.current,
                                              .to = h.current,
                                              .actor = &actor});
    }
    json_decref(row);
    head_release(&h);
    return catalog_commit(&t);
}

enum st store_build_begin(struct store_build **out, struct store *s,
                          const struct store_lease *lease,
                          const struct store_definition *definition, const json_t *sources)
{
    struct store_build *b = calloc(1, sizeof *b);
    enum st st;

    *out = NULL;
    if (!b)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    b->store = s;
    b->lease = *lease;
    b->directory_fd = -1;
    b->require_promotion = definition->require_promotion;
    snprintf(b->actor, sizeof b->actor, "job:%s", lease->job);
    build_dir_sweep(s->build_dir);
    st = create_row(b, definition, sources);
    if (!st) {
        st = make_directory(b);
        if (st) {
            struct st_report report;
            st_save(&report, st);
            if (store_build_fail(b, st))
                log_failure(LOG_LEVEL_ERROR, "build_fail", "a failed build could not be recorded");
            st = st_restore(&report); /* the first failure is the one to tell */
        }
    }
    if (st) {
        b->settled = true;
        store_build_free(b);
        return st;
    }
    *out = b;
    return ST_OK;
}

uint64_t store_build_version(const struct store_build *b)
{
    return b->version;
}

const char *store_build_directory(const struct store_build *b)
{
    return b->directory;
}

/* Moves the files of the ledger's sources to a list of their own: the version's `sources`. */
static json_t *take_files(json_t *rows)
{
    json_t *all = json_array(), *source, *file;
    size_t i, j;

    json_array_foreach(json_object_get(rows, "sources"), i, source)
    {
        json_array_foreach(json_object_get(source, "files"), j, file)
        {
            json_t *one = json_pack("{s:O}", "name", json_object_get(source, "name"));
            json_object_update(one, file);
            json_array_append_new(all, one);
        }
        json_object_del(source, "files");
    }
    return all;
}

void store_build_set_report(struct store_build *b, const json_t *report)
{
    json_decref(b->report);
    b->report = json_deep_copy(report);
    json_t *files = take_files(json_object_get(b->report, "rows"));
    if (json_array_size(files))
        json_object_set(b->report, "sources", files);
    json_decref(files);
}

void store_build_set_job_result(struct store_build *b, const json_t *result)
{
    json_decref(b->job_result);
    b->job_result = json_deep_copy(result);
}

/* ---- seal ---- */

static enum st pin(struct store_build *b, const char *sha256)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    json_t *empty = json_object();

    pin_key(key, b, sha256);
    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    catalog_put(&t, CATALOG_PINS, key, empty);
    json_decref(empty);
    return catalog_commit(&t);
}

/* A file of that name that is there already, whole, is the same file. */
static enum st move_into_place(struct seal *seal, struct store_build *b, const char *from, int fd,
                               const struct store_segment_ref *ref)
{
    struct seal there;
    char to[FS_PATH_MAX], directory[FS_PATH_MAX];
    enum st st = store_segment_path(to, b->store, ref->sha256);

    if (!st)
        st = fs_path(directory, "%s/%.2s", b->store->segments_dir, ref->sha256);
    if (!st)
        st = fs_mkdir(directory, 0700);
    bool whole =
        !st && access(to, F_OK) == 0 && store_segment_file_verify(&there, to, ref, NULL) == ST_OK;
    if (!st && whole && unlink(from) != 0)
        st = st_fail_errno(errno, "removing a segment's second copy");
    if (!st && !whole && rename(from, to) != 0)
        st = st_fail_errno(errno, "moving a segment into place");
    if (!st && whole)
        *seal = there;
    else if (!st)
        seal_renamed(seal, fd);
    return st ? st : fs_sync_dir(directory); /* also of one whose maker may have died before */
}

struct hashing {
    enum st (*tick_fn)(void *ctx);
    void *ctx;
};

static enum st tick_while_hashing(uint64_t bytes, void *ctx)
{
    const struct hashing *h = ctx;

    (void)bytes;
    return h->tick_fn ? h->tick_fn(h->ctx) : ST_OK;
}

enum st store_build_seal(struct store_build *b, const char *file, enum st (*tick_fn)(void *ctx),
                         void *ctx)
{
    struct hashing hashing = {tick_fn, ctx};
    unsigned char digest[DIGEST_BYTES];
    struct store_segment_ref ref;
    struct seal seal = {0};
    char path[FS_PATH_MAX];
    int fd = -1;
    enum st st = ST_OK;

    if (b->segment_count == BUILD_SEGMENTS_MAX)
        return st_fail(ST_TOO_LARGE, NULL, "a version has at most %d segments", BUILD_SEGMENTS_MAX);
    st = fs_path(path, "%s/%s", b->directory, file);
    if (!st) {
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            st = st_fail_errno(errno, "opening the built segment");
    }
    if (!st && fchmod(fd, 0440) != 0)
        st = st_fail_errno(errno, "protecting the built segment");
    if (!st)
        st = fs_sync_fd(fd, "the built segment");
    if (!st)
        st = seal_begin(&seal, fd);
    if (!st)
        st = digest_file_told(digest, &ref.bytes, fd, tick_while_hashing, &hashing);
    if (!st) {
        seal_end(&seal, fd);
        digest_hex(ref.sha256, digest, sizeof digest);
        st = pin(b, ref.sha256);
    }
    if (!st)
        st = move_into_place(&seal, b, path, fd, &ref);
    if (!st) {
        b->seals[b->segment_count] = seal;
        b->segments[b->segment_count++] = ref;
    }
    fs_close(&fd);
    return st;
}

/* ---- publish ---- */

static bool same_segments(const struct store_build *b, const struct head_version *v)
{
    if (!v || v->segment_count != b->segment_count)
        return false;
    for (size_t i = 0; i < b->segment_count; i++)
        if (strcmp(v->segments[i].sha256, b->segments[i].sha256) != 0)
            return false;
    return true;
}

enum store_outcome build_judge(const struct store_build *b, const struct head *h, bool gates_pass)
{
    const struct head_version *current = head_find(h, h->current);

    if (current && current->order > b->lease.order)
        return STORE_SUPERSEDED;
    for (size_t i = 0; i < h->version_count; i++)
        if (h->versions[i].state == VERSION_QUARANTINED && same_segments(b, &h->versions[i]))
            return STORE_HELD_BACK;
    if (same_segments(b, current))
        return STORE_IDENTICAL;
    if (!gates_pass || b->require_promotion || h->people_sequence != b->lease.people_sequence)
        return STORE_HELD_BACK;
    return STORE_FLIPPED;
}

/* The judgement on top of the head that this transaction sees: its gates too are judged against
 * what is current in it, so that a head that moved meanwhile is judged again by itself. */
static enum store_outcome judge(struct catalog_txn *t, struct store_build *b, const struct head *h)
{
    bool passed = false;
    json_t *current =
        h->current ? store_row_load(t, b->lease.tenant, b->lease.dataset, h->current) : NULL;

    json_decref(b->gates);
    b->gates = NULL;
    if (!t->status)
        catalog_fail(t,
                     gate_judge(&b->gates, &passed, b->held_by, json_object_get(b->report, "gates"),
                                json_object_get(b->report, "rows"), current));
    json_decref(current);
    return build_judge(b, h, passed);
}

/* What the batch's report has, and the gates once they were judged. */
static void put_report(struct catalog_txn *t, json_t *row, const struct store_build *b)
{
    static const char *const MEMBERS[] = {"rows", "sources", "checks", "gates", "rejects", "used"};

    for (size_t i = 0; i < sizeof MEMBERS / sizeof *MEMBERS; i++) {
        json_t *value = json_object_get(b->report, MEMBERS[i]);
        if (strcmp(MEMBERS[i], "gates") == 0 && b->gates)
            value = b->gates;
        if (value)
            store_set(t, row, MEMBERS[i], json_incref(value));
    }
}

static void finish_row(struct catalog_txn *t, const struct store_build *b, const struct head *h,
                       const char *outcome, const struct st_report *error)
{
    json_t *row = store_row_load(t, b->lease.tenant, b->lease.dataset, b->version);
    json_t *segments = json_array();
    json_int_t bytes = 0;

    for (size_t i = 0; !error && i < b->segment_count; i++) {
        json_array_append_new(segments, json_pack("{s:s, s:I}", "sha256", b->segments[i].sha256,
                                                  "bytes", (json_int_t)b->segments[i].bytes));
        bytes += (json_int_t)b->segments[i].bytes;
    }
    if (row) {
        store_set(t, row, "updated_at", store_time_json(h->event_us));
        store_set(t, row, "segments", json_incref(segments));
        store_set(t, row, "bytes", json_integer(bytes));
        store_set(t, row, "outcome", json_string(outcome));
        put_report(t, row, b);
        if (error)
            store_set(t, row, "error",
                      json_pack("{s:s, s:s, s:s, s:s}", "code", error->code, "message",
                                error->message, "place", error->place, "hint", error->hint));
        store_row_save(t, b->lease.tenant, b->lease.dataset, b->version, row);
    }
    json_decref(segments);
    json_decref(row);
}

static void give_back_pins(struct catalog_txn *t, const struct store_build *b)
{
    char key[CATALOG_KEY_SIZE];

    for (size_t i = 0; i < b->segment_count; i++) {
        pin_key(key, b, b->segments[i].sha256);
        catalog_delete(t, CATALOG_PINS, key);
    }
}

/* The files were hashed when they were sealed: nobody needs to do it again. */
static void note_verified(struct catalog_txn *t, const struct store_build *b)
{
    for (size_t i = 0; i < b->segment_count; i++)
        store_seal_write(t, b->segments[i].sha256, &b->seals[i]);
}

static enum st set_manifest(struct store_build *b, struct head_version *v)
{
    free(v->segments); /* the empty list of a version in progress */
    v->segment_count = 0;
    v->segments = calloc(b->segment_count ? b->segment_count : 1, sizeof *v->segments);
    if (!v->segments)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    memcpy(v->segments, b->segments, b->segment_count * sizeof *v->segments);
    v->segment_count = b->segment_count;
    return ST_OK;
}

/* The swap. What happens is judged against the head that is there in this transaction. */
static enum st swap_head(enum store_outcome *outcome, struct store_build *b)
{
    static const char *const EVENTS[OUTCOME_COUNT] = {
        [STORE_FLIPPED] = "flipped",
        [STORE_SUPERSEDED] = "succeeded",
        [STORE_IDENTICAL] = "succeeded",
        [STORE_HELD_BACK] = "held",
    };
    struct catalog_txn t;
    struct head h;

    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    if (!t.status) {
        uint64_t from = h.current;
        *outcome = judge(&t, b, &h);
        const char *name = store_outcome_name(*outcome);
        bool held = *outcome == STORE_HELD_BACK;
        struct store_actor actor = actor_of(b, *outcome == STORE_FLIPPED ? NULL
                                               : held && b->held_by[0]   ? b->held_by
                                                                         : name);

        catalog_fail(&t, set_manifest(b, head_find(&h, b->version)));
        if (!t.status)
            catalog_fail(&t,
                         head_apply(&h, held ? MOVE_HOLD : MOVE_SUCCEED, b->version,
                                    *outcome == STORE_FLIPPED ? b->version : 0, clock_wall_us()));
        if (!t.status) {
            finish_row(&t, b, &h, name, NULL);
            offer_withdraw(&t, b->lease.tenant, b->lease.dataset, b->lease.job);
            give_back_pins(&t, b);
            note_verified(&t, b);
            queue_end(&t, &b->lease, held ? "held" : "succeeded", b->version, name, b->job_result);
            store_head_save(&t, b->store, &h,
                            &(struct store_event){.event = EVENTS[*outcome],
                                                  .version = b->version,
                                                  .from = from,
                                                  .to = h.current,
                                                  .actor = &actor});
        }
    }
    head_release(&h);
    return catalog_commit(&t);
}

/* Waits until every live server has the new segments open, or the time is over: the late ones turn
 * unready until they have caught up. */
static enum st offer_build(struct store_build *b, uint64_t adopt_timeout_ms,
                           enum st (*tick_fn)(void *ctx), void *ctx)
{
    uint64_t start_ns = clock_steady_ns(), tick_ns = start_ns;
    struct offer o = {b->lease.tenant, b->lease.dataset, b->lease.job,    b->lease.attempt,
                      b->version,      b->segments,      b->segment_count};
    struct catalog_txn t;

    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    offer_write(&t, &o);
    note_verified(&t, b);
    enum st st = catalog_commit(&t);
    while (!st) {
        st = offer_look(NULL, b->store, &o);
        uint64_t now_ns = clock_steady_ns();
        if (st != ST_NOT_FOUND)
            return st;
        if (now_ns - start_ns >= adopt_timeout_ms * 1000000u)
            return ST_OK;
        st = ST_OK;
        if (tick_fn && now_ns - tick_ns >= TICK_MS * 1000000u) {
            tick_ns = now_ns;
            st = tick_fn(ctx);
        }
        if (!st && poll(NULL, 0, POLL_MS) < 0 && errno != EINTR)
            st = st_fail_errno(errno, "waiting for the servers");
    }
    return st;
}

static enum st would_flip(bool *flips, struct store_build *b)
{
    struct catalog_txn t;
    struct head h;

    catalog_begin_read(&t, &b->store->catalog);
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    *flips = !t.status && judge(&t, b, &h) == STORE_FLIPPED;
    head_release(&h);
    return catalog_end(&t);
}

enum st store_build_publish(enum store_outcome *outcome, struct store_build *b,
                            uint64_t adopt_timeout_ms, enum st (*tick_fn)(void *ctx), void *ctx)
{
    bool flips = false;
    enum st st = would_flip(&flips, b);

    if (!st && flips)
        st = offer_build(b, adopt_timeout_ms, tick_fn, ctx);
    if (!st)
        st = swap_head(outcome, b);
    if (!st) {
        b->settled = true;
        build_dir_remove(b->directory, &b->directory_fd);
        store_tidy(b->store, b->lease.tenant, b->lease.dataset);
    }
    return st;
}

enum st store_gates_preview(json_t **gates, bool *passed, uint64_t *current, struct store *s,
                            const char *tenant, const char *dataset, const json_t *report)
{
    char why[GATE_WHY_SIZE];
    struct catalog_txn t;
    struct head h;

    *gates = NULL;
    *current = 0;
    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, tenant, dataset);
    json_t *row = !t.status && h.current ? store_row_load(&t, tenant, dataset, h.current) : NULL;
    if (!t.status) {
        *current = h.current;
        catalog_fail(&t, gate_judge(gates, passed, why, json_object_get(report, "gates"),
                                    json_object_get(report, "rows"), row));
    }
    json_decref(row);
    head_release(&h);
    return catalog_end(&t);
}

/* ---- fail ---- */

enum st store_build_fail(struct store_build *b, enum st status)
{
    struct st_report report;
    struct catalog_txn t;
    struct head h;

    st_save(&report, status);
    b->settled = true;
    build_dir_remove(b->directory, &b->directory_fd);
    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    if (!t.status)
        catalog_fail(&t, head_apply(&h, MOVE_FAIL, b->version, 0, clock_wall_us()));
    if (!t.status) {
        struct store_actor actor = actor_of(b, report.message);

        finish_row(&t, b, &h, "failed", &report);
        offer_withdraw(&t, b->lease.tenant, b->lease.dataset, b->lease.job);
        give_back_pins(&t, b);
        queue_set_version(&t, &b->lease, 0);
        store_head_save(&t, b->store, &h,
                        &(struct store_event){.event = "failed",
                                              .version = b->version,
                                              .from = h.current,
                                              .to = h.current,
                                              .actor = &actor});
    }
    head_release(&h);
    enum st st = catalog_commit(&t);
    if (!st)
        store_tidy(b->store, b->lease.tenant, b->lease.dataset);
    return st;
}

void store_build_free(struct store_build *b)
{
    if (!b)
        return;
    if (!b->settled && store_build_fail(b, st_fail(ST_IO, "ABANDONED", "the build was given up")))
        log_failure(LOG_LEVEL_ERROR, "build_fail", "a given-up build could not be recorded");
    fs_close(&b->directory_fd);
    json_decref(b->report);
    json_decref(b->gates);
    json_decref(b->job_result);
    free(b);
}

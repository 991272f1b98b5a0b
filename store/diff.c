#include "store/diff_internal.h"

#include "base/log.h"
#include "store/internal.h"
#include "store/seal.h"
#include "store/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The diff's life. Between the moment the versions are found and the moment their segments are
 * mapped, retention may have moved the files away: so they are opened at once, and everything later
 * (the seal, the hash, the map) is of that open file and not of whatever has its name by then.
 *
 * A segment that this process serves is mapped here a second time: without locks (MDB_NOLOCK) two
 * environments on one unchanging file have nothing in common. */

#define FD_PATH_SIZE 32

static void fd_path(char out[FD_PATH_SIZE], int fd)
{
    snprintf(out, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
}

/* ---- finding the versions: on the catalog thread ---- */

/* What is wrong is for the log: it names files. */
static enum st unavailable(const struct store_diff *d, const struct diff_side *side)
{
    log_failure(LOG_LEVEL_ERROR, "diff", "version %llu of %s/%s cannot be read",
                (unsigned long long)side->version, d->tenant, d->dataset);
    return st_hint(st_fail(ST_UNAVAILABLE, "VERSION_UNAVAILABLE",
                           "version %llu of \"%s\" is damaged and cannot be read",
                           (unsigned long long)side->version, d->dataset),
                   "everline verify --deep says what is wrong with it");
}

static enum st hold_files(struct store_diff *d, struct diff_side *side, struct catalog_txn *t,
                          const struct store *s, const struct head_version *v)
{
    char path[FS_PATH_MAX], held[FD_PATH_SIZE];

    side->files = calloc(v->segment_count + 1, sizeof *side->files);
    side->segments = calloc(v->segment_count + 1, sizeof(struct store_segment *));
    if (!side->files || !side->segments)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < v->segment_count; i++) {
        struct diff_file *file = &side->files[i];
        enum st st = store_segment_path(path, s, v->segments[i].sha256);

        file->ref = v->segments[i];
        file->fd = st ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        side->count++;
        if (!st && file->fd < 0)
            st = st_fail_errno(errno, "segment %.12s", file->ref.sha256);
        if (st)
            return unavailable(d, side);
        fd_path(held, file->fd);
        file->sealed = store_seal_holds(t, file->ref.sha256, held);
    }
    return ST_OK;
}

static enum st check_state(const struct store_diff *d, const struct head_version *v,
                           uint64_t version)
{
    unsigned long long number = version;

    if (!v || v->state == VERSION_RETIRED)
        return st_hint(st_fail(ST_GONE, "VERSION_RETIRED",
                               "version %llu of \"%s\" is not kept "
                               "any more",
                               number, d->dataset),
                       "kept versions: everline versions %s", d->dataset);
    if (v->state == VERSION_IN_PROGRESS || v->state == VERSION_FAILED)
        return st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION",
                       "version %llu of \"%s\" is %s: it has no records", number, d->dataset,
                       version_state_name(v->state));
    return ST_OK;
}

static enum st find_version(struct store_diff *d, struct diff_side *side, struct catalog_txn *t,
                            const struct store *s, const struct head *h)
{
    const struct head_version *v = head_find(h, side->version);
    json_t *row = store_row_load(t, d->tenant, d->dataset, side->version);
    enum st st = t->status;

    if (!st && !row)
        st = st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION", "dataset \"%s\" has no version %llu",
                     d->dataset, (unsigned long long)side->version);
    if (!st)
        st = check_state(d, v, side->version);
    if (!st)
        st = store_definition_parse(&side->definition, json_object_get(row, "definition"));
    if (!st)
        st = hold_files(d, side, t, s, v);
    json_decref(row);
    return st;
}

static enum st hold_unpublished(struct diff_side *side, const json_t *definition, const char *path)
{
    struct stat sb;
    enum st st = store_definition_parse(&side->definition, (json_t *)(uintptr_t)definition);

    if (st)
        return st;
    side->files = calloc(1, sizeof *side->files);
    side->segments = calloc(1, sizeof(struct store_segment *));
    if (!side->files || !side->segments)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    side->files->fd = open(path, O_RDONLY | O_CLOEXEC);
    side->count = 1;
    if (side->files->fd < 0 || fstat(side->files->fd, &sb) != 0)
        return st_fail_errno(errno, "opening the built segment");
    side->files->ref.bytes = (uint64_t)sb.st_size;
    side->files->sealed = true;
    return ST_OK;
}

static enum st begin(struct store_diff **out, struct store *s, const char *tenant,
                     const char *dataset, uint64_t from, uint64_t to, const json_t *definition,
                     const char *path)
{
    struct store_diff *d;
    struct catalog_txn t;
    struct head h;
    enum st st = ST_OK;

    *out = NULL;
    if (store_name_check("dataset", dataset))
        return st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name");
    d = calloc(1, sizeof *d);
    if (!d)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    snprintf(d->tenant, sizeof d->tenant, "%s", tenant);
    snprintf(d->dataset, sizeof d->dataset, "%s", dataset);
    snprintf(d->keys_dir, sizeof d->keys_dir, "%s", store_keys_dir(s));
    d->sides[DIFF_FROM].version = d->result.from = from;
    d->sides[DIFF_TO].version = d->result.to = to;
    if (path)
        st = hold_unpublished(&d->sides[DIFF_TO], definition, path);
    catalog_begin_read(&t, &s->catalog);
    catalog_fail(&t, st);
    store_head_load(&h, &t, tenant, dataset);
    for (size_t i = 0; !t.status && i < (path ? DIFF_TO : DIFF_SIDES); i++)
        catalog_fail(&t, find_version(d, &d->sides[i], &t, s, &h));
    head_release(&h);
    st = catalog_end(&t);
    if (st) {
        store_diff_free(d);
        return st;
    }
    *out = d;
    return ST_OK;
}

enum st store_diff_begin(struct store_diff **out, struct store *s, const char *tenant,
                         const char *dataset, uint64_t from, uint64_t to)
{
    return begin(out, s, tenant, dataset, from, to, NULL, NULL);
}

enum st store_diff_begin_file(struct store_diff **out, struct store *s, const char *tenant,
                              const json_t *definition, uint64_t from, const char *path)
{
    const char *dataset = json_string_value(json_object_get(definition, "name"));

    return begin(out, s, tenant, dataset ? dataset : "", from, 0, definition, path);
}

/* ---- opening them: on the thread that runs ---- */

enum st diff_tell(struct store_diff *d, const char *phase, uint64_t done, uint64_t total)
{
    if (d->tell_fn)
        d->stopped = d->tell_fn(phase, done, total, d->ctx);
    return d->stopped;
}

static enum st tell_hashing(uint64_t bytes, void *ctx)
{
    (void)bytes;
    return diff_tell(ctx, "verifying", 0, 0);
}

static enum st check_hash(struct store_diff *d, const struct diff_file *file)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    uint64_t size;
    enum st st = digest_file_told(digest, &size, file->fd, tell_hashing, d);

    if (st)
        return st;
    digest_hex(hex, digest, sizeof digest);
    return strcmp(hex, file->ref.sha256) == 0 ? ST_OK : segment_damaged("does not have its hash");
}

static enum st open_file(struct store_segment **out, struct store_diff *d,
                         const struct diff_side *side, const struct diff_file *file)
{
    char path[FD_PATH_SIZE];

    fd_path(path, file->fd);
    enum st st = store_segment_file_check(path, &file->ref);
    if (!st && !file->sealed)
        st = check_hash(d, file);
    return st ? st
              : store_segment_open_checked(out, path, d->keys_dir, d->tenant, side->definition, 1);
}

enum st diff_open(struct store_diff *d)
{
    for (size_t i = 0; i < DIFF_SIDES; i++) {
        struct diff_side *side = &d->sides[i];

        for (size_t j = 0; j < side->count; j++) {
            enum st st = open_file(&side->segments[j], d, side, &side->files[j]);
            if (st)
                return st == ST_NOMEM || d->stopped ? st : unavailable(d, side);
        }
    }
    return ST_OK;
}

static bool same_member(const json_t *a, const json_t *b, const char *name)
{
    const json_t *of_a = json_object_get(a, name), *of_b = json_object_get(b, name);

    return of_a == of_b || json_equal(of_a, of_b); /* `sort` may be in neither */
}

/* What the segments say of their keys must be the same in every point. */
enum st diff_check_keys(const struct store_diff *d)
{
    static const struct {
        const char *member, *why;
    } REASONS[] = {
        {"protect", "one of them protects its keys and the other does not"},
        {"id", "their keys are protected with different HMAC keys"},
        {"fields", "their keys have other fields or normalisers"},
        {"unicode", "their keys were normalised by different Unicode versions"},
        {"check", "the same key has another hash in each"},
        {"sort", "their keys are not series in the order of the same field"},
    };
    const json_t *first = NULL;

    for (size_t i = 0; i < DIFF_SIDES; i++)
        for (size_t j = 0; j < d->sides[i].count; j++) {
            const json_t *key = json_object_get(d->sides[i].segments[j]->meta, "key");

            if (!first)
                first = key;
            for (size_t k = 0; k < sizeof REASONS / sizeof REASONS[0]; k++)
                if (!same_member(first, key, REASONS[k].member))
                    return st_hint(
                        st_fail(ST_CONFLICT, "KEYS_NOT_COMPARABLE",
                                "the records of versions %llu and %llu cannot be compared: %s",
                                (unsigned long long)d->result.from,
                                (unsigned long long)d->result.to, REASONS[k].why),
                        "their rollups can be: rollups_only=true, or --rollups-only");
        }
    return ST_OK;
}

/* ---- the run ---- */

struct compare {
    struct store_diff *d;
    bool rollups_only;
};

/* Inside a guard: what it allocates hangs on the diff. */
static enum st compare(void *ctx)
{
    struct store_diff *d = ((struct compare *)ctx)->d;
    enum st st = diff_fields(d);

    if (!st && !((struct compare *)ctx)->rollups_only) {
        st = diff_check_keys(d);
        if (!st)
            st = diff_records(d);
    }
    return st ? st : diff_rollups(d);
}

enum st store_diff_run(struct store_diff *d, bool rollups_only, store_diff_fn tell_fn, void *ctx)
{
    d->tell_fn = tell_fn;
    d->ctx = ctx;
    d->result.compared = !rollups_only;
    d->result.definition_changed = !json_equal(d->sides[DIFF_FROM].definition->document,
                                               d->sides[DIFF_TO].definition->document);
    enum st st = diff_tell(d, "verifying", 0, 0);
    if (!st)
        st = diff_open(d);
    return st ? st : guard_call(compare, &(struct compare){d, rollups_only});
}

const struct store_diff_result *store_diff_result(const struct store_diff *d)
{
    return &d->result;
}

static void free_side(struct diff_side *side)
{
    for (size_t i = 0; i < side->count; i++) {
        store_segment_close(side->segments[i]);
        fs_close(&side->files[i].fd);
    }
    free(side->segments);
    free(side->files);
    store_definition_free(side->definition);
}

void store_diff_free(struct store_diff *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < DIFF_SIDES; i++)
        free_side(&d->sides[i]);
    for (size_t i = 0; i < STORE_DIFF_UNCHANGED; i++)
        for (size_t j = 0; j < d->result.sample_counts[i]; j++)
            free(d->result.samples[i][j]);
    for (size_t i = 0; i < d->result.rollup_count; i++)
        free(d->result.rollups[i].metrics);
    free(d->result.rollups);
    free(d->result.fields);
    free(d);
}

#include "store/refresh.h"

#include "store/seal.h"
#include "store/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A round reads tenants, heads and candidates in one transaction. Of each head it wants the current
 * version and the one a rollback would go to, so that going back is one pointer too; of each
 * candidate all its segments. What is not open yet is asked of the adopter, and until it is there
 * the dataset keeps its place in the previous view: late, and the process is not ready.
 *
 * What is wrong with one dataset is that dataset's alone, and the round goes on. When its entries
 * in the catalog are damaged, nobody knows what is current: it is unavailable, as it would be after
 * a restart. What may pass (a key that cannot be read) leaves it as the previous view has it, late.
 */

/* How far the segments of one version are. */
struct version_segments {
    struct adopted *entries[SERVING_SEGMENTS_MAX];
    size_t count;
    bool opening, damaged;
    const struct st_report *bad;
    struct store_definition *definition; /* loaded when it was needed, else NULL */
    struct st_report own;                /* bad points to it when the catalog's entries are */
};

static void load_definition(struct version_segments *vs, struct catalog_txn *t, const char *tenant,
                            const char *dataset, uint64_t version)
{
    json_t *row = vs->definition ? NULL : store_row_load(t, tenant, dataset, version);

    if (row)
        catalog_fail(t,
                     store_definition_parse(&vs->definition, json_object_get(row, "definition")));
    else if (!vs->definition && !t->status)
        catalog_fail(t, st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "version %llu of %s/%s has no row",
                                (unsigned long long)version, tenant, dataset));
    json_decref(row);
}

/* Has the file come to be another one, or to be known as right, since it was last asked for? */
static bool is_news(const struct adopted *entry, bool sealed, uint64_t inode)
{
    return sealed && (entry->inode != inode || (entry->state == ADOPTED_BAD && !entry->sealed));
}

/* A BAD file whose bytes were wrong is looked at again when somebody has verified it since: a
 * publisher that found it damaged has put a whole one in its place. One that failed with the right
 * bytes (a wrong key) is looked at again after a while. An open file that was replaced by a whole
 * one was damaged, or may be: it is served until the other is open too. */
static struct adopted *want(struct refresh *r, struct catalog_txn *t, struct version_segments *vs,
                            const struct store_segment_ref *ref, const char *tenant,
                            const char *dataset, uint64_t version, enum adopter_urgency urgency)
{
    char path[FS_PATH_MAX];
    struct stat sb;
    struct adopted *newest, *entry = adopter_touch(&newest, r->adopter, ref->sha256, r->round);

    if (newest && newest->state == ADOPTED_OPENING && urgency == ADOPT_NOW)
        adopter_hurry(r->adopter, newest);
    catalog_fail(t, store_segment_path(path, r->store, ref->sha256));
    if (entry && entry->state == ADOPTED_OPEN &&
        store_seal_condemns(t, ref->sha256, path, entry->inode))
        adopter_condemn(entry);
    uint64_t inode = stat(path, &sb) == 0 ? (uint64_t)sb.st_ino : 0;
    bool is_open = entry && entry->state == ADOPTED_OPEN;
    if (newest && (newest->state == ADOPTED_OPENING || (is_open && newest->inode == inode)))
        return entry;
    bool sealed = store_seal_holds(t, ref->sha256, path);
    bool due =
        newest && newest->state == ADOPTED_BAD && newest->retry_ms && newest->retry_ms <= r->now_ms;
    if (newest && !due && !is_news(newest, sealed, inode))
        return entry;
    load_definition(vs, t, tenant, dataset, version);
    if (t->status)
        return NULL;
    enum adopted_trust trust = sealed                                       ? ADOPT_SEALED
                               : store_seal_is_broken(t, ref->sha256, path) ? ADOPT_BROKEN
                                                                            : ADOPT_UNKNOWN;
    newest = adopter_want(r->adopter, path, ref, trust, inode, tenant, vs->definition, urgency,
                          r->round);
    if (!newest)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    return entry ? entry : newest;
}

static void want_all(struct version_segments *vs, struct refresh *r, struct catalog_txn *t,
                     const char *tenant, const char *dataset, uint64_t version,
                     const struct store_segment_ref *refs, size_t count,
                     enum adopter_urgency urgency)
{
    static const struct st_report TOO_MANY = {ST_CORRUPT, "TOO_MANY_SEGMENTS",
                                              "its list of segments is too long", "", ""};

    *vs = (struct version_segments){0};
    if (count > SERVING_SEGMENTS_MAX) {
        vs->bad = &TOO_MANY;
        return;
    }
    for (size_t i = 0; i < count && !t->status; i++) {
        struct adopted *entry = want(r, t, vs, &refs[i], tenant, dataset, version, urgency);
        if (!entry)
            return;
        vs->entries[vs->count++] = entry;
        vs->opening |= entry->state == ADOPTED_OPENING;
        if (entry->state == ADOPTED_BAD)
            vs->bad = &entry->report;
        vs->damaged |= adopted_is_damaged(entry);
    }
}

/* What is wrong with one dataset only? Everything but what would go wrong with the next one too. */
static bool is_local(enum st st)
{
    return st != ST_OK && st != ST_NOMEM && st != ST_FULL;
}

/* What is wrong with the entries of a version that is not the current one takes that version out,
 * and not its dataset. */
static void keep_to_version(struct version_segments *vs, struct catalog_txn *t)
{
    if (!is_local(t->status))
        return;
    st_save(&vs->own, t->status);
    vs->bad = &vs->own;
    catalog_forgive(t);
}

/* Puts a serving into one of the view's lists. */
static void add_serving(struct serving ***list, size_t *count, struct catalog_txn *t,
                        struct serving *s)
{
    struct serving **grown = reallocarray(*list, *count + 1, sizeof *grown);

    if (!grown) {
        if (s->views == 0)
            serving_free(s);
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
        return;
    }
    *list = grown;
    grown[(*count)++] = s;
    s->views++;
}

/* Is it what it would be if it were made now? */
static bool is_same(const struct serving *s, const struct version_segments *vs,
                    const struct st_report *bad)
{
    return serving_says(s, bad) &&
           (bad || (s->served.segment_count == vs->count &&
                    memcmp(s->adopted, vs->entries, vs->count * sizeof(struct adopted *)) == 0));
}

static void add_dataset(struct refresh *r, struct catalog_txn *t, struct serving *s)
{
    add_serving(&r->view->datasets, &r->view->dataset_count, t, s);
}

static struct serving *previous_serving(const struct refresh *r, const char *tenant,
                                        const char *dataset)
{
    return r->previous ? (struct serving *)(uintptr_t)view_find(r->previous, tenant, dataset)
                       : NULL;
}

/* A new serving of one version of the head; NULL after a failure. A kept one that is unavailable
 * has no definition: nobody reads it. */
static struct serving *make_serving(struct refresh *r, struct catalog_txn *t, const struct head *h,
                                    uint64_t version, struct version_segments *vs,
                                    const struct st_report *bad)
{
    struct serving *s = NULL;

    if (version && (!bad || version == h->current))
        load_definition(vs, t, h->tenant, h->dataset, version);
    if (t->status)
        return NULL;
    catalog_fail(t, serving_new(&s, h, version, vs->definition, vs->entries, vs->count, bad,
                                previous_serving(r, h->tenant, h->dataset), r->store->keys_dir,
                                r->slots));
    vs->definition = NULL; /* taken, whatever came of it */
    r->changed |= s != NULL;
    return s;
}

static bool is_same_pinned(const struct serving *s, const struct head_version *v,
                           const struct version_segments *vs)
{
    return s && strcmp(s->served.state, version_state_name(v->state)) == 0 &&
           is_same(s, vs, vs->bad);
}

/* A version that somebody asked for. While it is being opened it is in no view. */
static void add_pinned(struct refresh *r, struct catalog_txn *t, const struct head *h,
                       uint64_t version)
{
    const struct head_version *v = head_find(h, version);
    struct version_segments vs;

    if (!v || version == h->current || v->segment_count == 0)
        return; /* a version that can be read has segments */
    want_all(&vs, r, t, h->tenant, h->dataset, version, v->segments, v->segment_count, ADOPT_NOW);
    struct serving *s =
        r->previous ? view_find_pinned(r->previous, h->tenant, h->dataset, version) : NULL;
    keep_to_version(&vs, t);
    bool same = is_same_pinned(s, v, &vs);
    struct serving *fresh = NULL;
    if (!same && !vs.opening && !vs.bad) {
        fresh = make_serving(r, t, h, version, &vs, NULL);
        keep_to_version(&vs, t);
        same = !fresh && is_same_pinned(s, v, &vs);
    }
    if (!same && !fresh && vs.bad)
        fresh = make_serving(r, t, h, version, &vs, vs.bad);
    if (!t->status && (same || fresh))
        add_serving(&r->view->pinned, &r->view->pinned_count, t, same ? s : fresh);
    store_definition_free(vs.definition);
}

static void add_pins(struct refresh *r, struct catalog_txn *t, const struct head *h)
{
    for (size_t i = 0; !t->status && i < r->pin_count; i++)
        if (strcmp(r->pins[i].tenant, h->tenant) == 0 &&
            strcmp(r->pins[i].dataset, h->dataset) == 0)
            add_pinned(r, t, h, r->pins[i].version);
}

static void explain(struct refresh *r, const struct head *h, const struct st_report *bad,
                    bool damaged, uint64_t target)
{
    char hint[STORE_MEND_HINT_SIZE] = "";

    if (damaged)
        store_mend_hint(hint, r->store, h, h->current, target);
    buf_addf(&r->why, "%s/%s version %llu: %s%s%s\n", h->tenant, h->dataset,
             (unsigned long long)h->current, bad->message, damaged ? "; " : "", hint);
}

/* Takes the head when a new serving needs it. */
static void add_whole_head(struct refresh *r, struct catalog_txn *t, struct head *h)
{
    for (size_t i = 0; i < h->version_count; i++)
        r->versions[h->versions[i].state]++;

    static const struct st_report OPENING = {ST_UNAVAILABLE, "OPENING", "it is being opened", "",
                                             ""};
    const struct head_version *current = head_find(h, h->current);
    const struct head_version *target = head_find(h, store_rollback_target(t, r->store, h));
    struct serving *previous = previous_serving(r, h->tenant, h->dataset);
    struct version_segments vs = {0}, standby = {0};

    if (current)
        want_all(&vs, r, t, h->tenant, h->dataset, current->version, current->segments,
                 current->segment_count, ADOPT_NOW);
    if (target && !t->status) { /* who goes back to it is told when it is damaged */
        want_all(&standby, r, t, h->tenant, h->dataset, target->version, target->segments,
                 target->segment_count, ADOPT_STANDBY);
        keep_to_version(&standby, t);
    }
    store_definition_free(standby.definition);
    add_pins(r, t, h);
    if (t->status)
        goto done;

    bool late = vs.opening && !vs.bad;
    const struct st_report *bad = vs.bad ? vs.bad : late ? &OPENING : NULL;
    bool same = previous && previous->served.sequence == h->sequence && is_same(previous, &vs, bad);
    r->late += late;
    r->unavailable += vs.bad != NULL;
    if (late || vs.bad)
        explain(r, h, vs.bad ? vs.bad : &OPENING, vs.damaged, target ? target->version : 0);
    if (same || (late && previous)) {
        add_dataset(r, t, previous);
    } else {
        struct serving *s = make_serving(r, t, h, h->current, &vs,
                                         vs.bad ? vs.bad
                                         : late ? &OPENING
                                                : NULL);
        if (s) {
            s->head = *h;
            *h = (struct head){0};
            add_dataset(r, t, s);
        }
    }
done:
    store_definition_free(vs.definition);
}

/* A dataset that cannot be taken in as the catalog has it. */
static void add_broken(struct refresh *r, struct catalog_txn *t, const char *tenant,
                       const char *dataset)
{
    struct head stub = {.current = 0};
    struct serving *s = previous_serving(r, tenant, dataset);
    struct st_report report;

    st_save(&report, t->status);
    catalog_forgive(t);
    buf_addf(&r->why, "%s/%s: %s\n", tenant, dataset, report.message);
    bool served = s && !s->served.unavailable && report.status != ST_CORRUPT;
    r->late += served;
    r->unavailable += !served;
    if (!served && !(s && serving_says(s, &report))) {
        snprintf(stub.tenant, sizeof stub.tenant, "%s", tenant);
        snprintf(stub.dataset, sizeof stub.dataset, "%s", dataset);
        catalog_fail(t, serving_new(&s, &stub, 0, NULL, NULL, 0, &report, NULL, r->store->keys_dir,
                                    r->slots));
        r->changed = true;
    }
    if (!t->status)
        add_dataset(r, t, s);
}

static int by_name(const void *a, const void *b)
{
    const struct serving *x = *(struct serving *const *)a, *y = *(struct serving *const *)b;
    int order = strcmp(x->tenant, y->tenant);

    return order ? order : strcmp(x->dataset, y->dataset);
}

/* Of the next view, which has the tenants first. */
static void check_tenant(const struct refresh *r, struct catalog_txn *t, const char *name)
{
    const struct store_tenant *tenant = store_view_tenant(r->view, name);

    if (tenant && tenant->damaged)
        catalog_fail(t, st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "its tenant's row is damaged"));
}

static void add_heads(struct refresh *r, struct catalog_txn *t)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *document;

    while ((document = catalog_after(t, CATALOG_HEADS, "", key)) || is_local(t->status)) {
        char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
        struct head h = {0};

        if (!t->status)
            catalog_fail(t, head_from_json(&h, document));
        if (!t->status && !h.deleted)
            check_tenant(r, t, h.tenant);
        if (!t->status && !h.deleted)
            add_whole_head(r, t, &h);
        if (is_local(t->status) && sscanf(key, "%63[^/]/%63s", tenant, dataset) == 2)
            add_broken(r, t, tenant, dataset);
        head_release(&h);
        json_decref(document);
        if (t->status)
            break;
    }
    /* '-' sorts before '/', so that the keys' order is not the names' order. */
    if (r->view->dataset_count > 1)
        qsort(r->view->datasets, r->view->dataset_count, sizeof *r->view->datasets, by_name);
    if (r->previous && (r->previous->dataset_count != r->view->dataset_count ||
                        r->previous->pinned_count != r->view->pinned_count))
        r->changed = true;
}

static void add_revocations(struct refresh *r, struct catalog_txn *t)
{
    struct revocations *previous = r->previous ? r->previous->revocations : NULL;

    r->view->revocations = revocations_load(t, previous);
    r->changed |= r->view->revocations != previous;
}

static void judge_candidate(struct refresh *r, struct catalog_txn *t, const char *key,
                            const json_t *candidate, const struct version_segments *vs)
{
    char ack_key[CATALOG_KEY_SIZE];
    const char *nonce = json_string_value(json_object_get(candidate, "nonce"));

    snprintf(ack_key, sizeof ack_key, "%.200s/%.48s", key, r->server);
    json_t *ack = catalog_get(t, CATALOG_ACKS, ack_key);
    const char *acknowledged = json_string_value(json_object_get(ack, "nonce"));
    if (nonce && (!acknowledged || strcmp(acknowledged, nonce) != 0))
        store_set(t, r->acks, ack_key,
                  json_pack("{s:s, s:b, s:s}", "nonce", nonce, "ok", !vs->bad, "message",
                            vs->bad ? vs->bad->message : ""));
    json_decref(ack);
}

static void add_candidates(struct refresh *r, struct catalog_txn *t)
{
    char key[CATALOG_KEY_SIZE] = "", tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    json_t *candidate;

    while (catalog_after_any(&candidate, t, CATALOG_CANDIDATES, "", key)) {
        struct head_version v = {
            .version = (uint64_t)json_integer_value(json_object_get(candidate, "version"))};
        struct version_segments vs = {0};

        if (!candidate || sscanf(key, "%63[^/]/%63[^/]/", tenant, dataset) != 2)
            catalog_fail(t, st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "a candidate is damaged"));
        catalog_fail(t, head_segments_from_json(&v, json_object_get(candidate, "segments")));
        if (!t->status)
            want_all(&vs, r, t, tenant, dataset, v.version, v.segments, v.segment_count, ADOPT_NOW);
        if (!t->status && (vs.damaged || (!vs.opening && !vs.bad)))
            judge_candidate(r, t, key, candidate, &vs);
        if (is_local(t->status)) /* who offers it waits until this server's time is over */
            catalog_forgive(t);
        store_definition_free(vs.definition);
        free(v.segments);
        json_decref(candidate);
    }
}

enum st refresh_run(struct refresh *r)
{
    struct catalog_txn t;

    r->view = calloc(1, sizeof *r->view);
    r->acks = json_object();
    r->changed = r->previous == NULL;
    buf_init(&r->why, 64u << 10);
    if (!r->view || !r->acks)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    catalog_begin_read(&t, &r->store->catalog);
    r->seen = catalog_txn_id(&t);
    refresh_tenants(r, &t);
    add_revocations(r, &t);
    add_heads(r, &t);
    add_candidates(r, &t);
    return catalog_end(&t);
}

void refresh_release(struct refresh *r)
{
    view_free(r->view);
    r->view = NULL;
    json_decref(r->acks);
    r->acks = NULL;
    buf_release(&r->why);
}

#include "store/head.h"

#include <stdlib.h>
#include <string.h>

const char *const version_state_names[] = {
    [VERSION_IN_PROGRESS] = "IN_PROGRESS",
    [VERSION_SUCCEEDED] = "SUCCEEDED",
    [VERSION_HELD] = "HELD",
    [VERSION_FAILED] = "FAILED",
    [VERSION_QUARANTINED] = "QUARANTINED",
    [VERSION_RETIRED] = "RETIRED",
    NULL,
};
#define BIT(state) (1u << (state))

/* Which states a move may start from, where it ends, and how it touches the pointer. */
static const struct rule {
    const char *name;
    unsigned from; /* set of states; 0: the version must not exist */
    enum version_state to;
    enum { POINTER_STAYS, POINTER_MAY_MOVE, POINTER_MOVES } pointer;
    bool by_people;
    bool on_current;  /* true: only the current version; */
    bool off_current; /* true: never the current version */
} RULES[] = {
    [MOVE_BEGIN] = {"begin", 0, VERSION_IN_PROGRESS, POINTER_STAYS, false, false, true},
    [MOVE_SUCCEED] = {"succeed", BIT(VERSION_IN_PROGRESS), VERSION_SUCCEEDED, POINTER_MAY_MOVE,
                      false, false, true},
    [MOVE_HOLD] = {"hold", BIT(VERSION_IN_PROGRESS), VERSION_HELD, POINTER_STAYS, false, false,
                   true},
    [MOVE_FAIL] = {"fail", BIT(VERSION_IN_PROGRESS), VERSION_FAILED, POINTER_STAYS, false, false,
                   true},
    [MOVE_PROMOTE] = {"promote",
                      BIT(VERSION_HELD) | BIT(VERSION_QUARANTINED) | BIT(VERSION_SUCCEEDED),
                      VERSION_SUCCEEDED, POINTER_MOVES, true, false, true},
    [MOVE_ROLL_BACK] = {"roll back from", BIT(VERSION_SUCCEEDED), VERSION_QUARANTINED,
                        POINTER_MOVES, true, true, false},
    [MOVE_RETIRE] = {"retire",
                     BIT(VERSION_SUCCEEDED) | BIT(VERSION_HELD) | BIT(VERSION_QUARANTINED),
                     VERSION_RETIRED, POINTER_STAYS, false, false, true},
};

const char *version_state_name(enum version_state state)
{
    return version_state_names[state];
}

static bool state_parse(enum version_state *out, const char *name)
{
    for (size_t i = 0; i < VERSION_STATES; i++)
        if (strcmp(version_state_names[i], name) == 0) {
            *out = (enum version_state)i;
            return true;
        }
    return false;
}

void head_release(struct head *h)
{
    for (size_t i = 0; i < h->version_count; i++)
        free(h->versions[i].segments);
    free(h->versions);
    free(h->turns);
    *h = (struct head){0};
}

struct head_version *head_find(const struct head *h, uint64_t version)
{
    for (size_t i = 0; i < h->version_count; i++)
        if (h->versions[i].version == version)
            return &h->versions[i];
    return NULL;
}

static enum st add_version(struct head *h, uint64_t version)
{
    struct head_version *grown =
        reallocarray(h->versions, h->version_count + 1, sizeof *h->versions);

    if (!grown)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    h->versions = grown;
    h->versions[h->version_count++] = (struct head_version){.version = version};
    return ST_OK;
}

static enum st add_turn(struct head *h, uint64_t version, int64_t at_us)
{
    struct head_turn *grown = reallocarray(h->turns, h->turn_count + 1, sizeof *h->turns);

    if (!grown)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    h->turns = grown;
    h->turns[h->turn_count++] = (struct head_turn){version, at_us};
    return ST_OK;
}

bool head_keeps(const struct head_version *v)
{
    return v->state == VERSION_SUCCEEDED || v->state == VERSION_HELD ||
           v->state == VERSION_QUARANTINED;
}

bool head_is_gone(const struct head *h, uint64_t version)
{
    const struct head_version *v = head_find(h, version);

    return v ? v->state == VERSION_RETIRED : version > 0 && version <= h->last_version;
}

bool head_is_over(const struct head_version *v)
{
    return v->state == VERSION_RETIRED || v->state == VERSION_FAILED;
}

/* Forgets the oldest of what is over. */
static void forget(struct head *h)
{
    size_t over = 0, kept = 0;

    for (size_t i = 0; i < h->version_count; i++)
        over += head_is_over(&h->versions[i]);
    for (size_t i = 0; i < h->version_count; i++) {
        if (over > HEAD_HISTORY_MAX && head_is_over(&h->versions[i])) {
            free(h->versions[i].segments);
            over--;
        } else {
            h->versions[kept++] = h->versions[i];
        }
    }
    h->version_count = kept;
    if (h->turn_count > HEAD_HISTORY_MAX) {
        size_t dropped = h->turn_count - HEAD_HISTORY_MAX;
        h->turn_count = HEAD_HISTORY_MAX;
        memmove(h->turns, h->turns + dropped, h->turn_count * sizeof *h->turns);
    }
}

static enum st refuse_target(const struct head_version *target)
{
    return st_hint(st_fail(ST_CONFLICT, "NOT_SERVABLE", "version %llu cannot be served: it is %s",
                           (unsigned long long)target->version, version_state_name(target->state)),
                   RULES[MOVE_PROMOTE].from & BIT(target->state)
                       ? "only a promotion, with a reason, serves it again"
                       : "name a version that is SUCCEEDED");
}

enum st head_apply(struct head *h, enum head_move move, uint64_t version, uint64_t pointer_to,
                   int64_t now_us)
{
    const struct rule *rule = &RULES[move];
    struct head_version *v = head_find(h, version);
    struct head_version *target = pointer_to ? head_find(h, pointer_to) : NULL;
    bool is_current = version == h->current;
    bool flips = pointer_to != 0;

    if (rule->from == 0 ? version <= h->last_version : !v || !(rule->from & BIT(v->state)))
        return st_fail(ST_CONFLICT, "NOT_ALLOWED", "cannot %s version %llu: it is %s", rule->name,
                       (unsigned long long)version, v ? version_state_name(v->state) : "not there");
    if (move == MOVE_PROMOTE && pointer_to != version)
        return st_fail(ST_CONFLICT, "NOT_ALLOWED", "a promotion serves the version it promotes");
    if ((rule->on_current && !is_current) || (rule->off_current && is_current))
        return st_fail(ST_CONFLICT, "NOT_ALLOWED", "cannot %s version %llu: it is %s", rule->name,
                       (unsigned long long)version,
                       is_current ? "the current version" : "not the current version");
    if ((rule->pointer == POINTER_STAYS && flips) || (rule->pointer == POINTER_MOVES && !flips) ||
        (flips && (!target || pointer_to == h->current)))
        return st_fail(ST_CONFLICT, "NOT_ALLOWED", "cannot %s version %llu and serve version %llu",
                       rule->name, (unsigned long long)version, (unsigned long long)pointer_to);
    if (flips && pointer_to != version && target->state != VERSION_SUCCEEDED)
        return refuse_target(target);

    if (!v) {
        enum st st = add_version(h, version);
        if (st)
            return st;
        v = &h->versions[h->version_count - 1];
        h->last_version = version;
    }
    int64_t at_us = now_us > h->event_us ? now_us : h->event_us + 1;
    if (flips) {
        enum st st = add_turn(h, pointer_to, at_us);
        if (st)
            return st;
        h->current = pointer_to;
    }
    v->state = rule->to;
    if (move == MOVE_BEGIN)
        v->at_us = at_us;
    if (move == MOVE_RETIRE)
        v->segment_count = 0;
    h->sequence++;
    h->event_us = at_us;
    if (rule->by_people)
        h->people_sequence = h->sequence;
    forget(h);
    return ST_OK;
}

void head_touch(struct head *h, int64_t now_us)
{
    h->sequence++;
    h->event_us = now_us > h->event_us ? now_us : h->event_us + 1;
}

enum st head_delete(struct head *h, int64_t now_us)
{
    for (size_t i = 0; i < h->version_count; i++)
        if (h->versions[i].state == VERSION_IN_PROGRESS)
            return st_hint(st_fail(ST_CONFLICT, "NOT_ALLOWED",
                                   "cannot delete \"%s\": version %llu is being built", h->dataset,
                                   (unsigned long long)h->versions[i].version),
                           "wait for its job, or cancel it");
    head_touch(h, now_us);
    enum st st = h->current ? add_turn(h, 0, h->event_us) : ST_OK;
    if (st)
        return st;
    for (size_t i = 0; i < h->version_count; i++)
        if (head_keeps(&h->versions[i])) {
            h->versions[i].state = VERSION_RETIRED;
            h->versions[i].segment_count = 0;
        }
    h->current = 0;
    h->people_sequence = h->sequence;
    h->deleted = true;
    forget(h);
    return ST_OK;
}

uint64_t head_rollback_step(const struct head *h, size_t *at)
{
    size_t first = 0;

    while (first < h->turn_count && h->turns[first].version != h->current)
        first++;
    while (*at < first) {
        uint64_t version = h->turns[first - ++*at].version;
        const struct head_version *v = head_find(h, version);
        if (v && v->state == VERSION_SUCCEEDED)
            return version;
    }
    return 0;
}

/* When the version was last of use: begun, or served. */
static int64_t last_use_us(const struct head *h, const struct head_version *v)
{
    int64_t last = v->at_us;

    for (size_t i = 0; i + 1 < h->turn_count; i++)
        if (h->turns[i].version == v->version)
            last = h->turns[i + 1].at_us;
    return last;
}

size_t head_expired(uint64_t *out, size_t max, const struct head *h, uint64_t target,
                    unsigned keep_versions, int64_t since_us)
{
    size_t kept = 0, count = 0;

    for (size_t i = 0; i < h->version_count; i++)
        kept += head_keeps(&h->versions[i]);
    for (size_t i = 0; i < h->version_count && count < max; i++) {
        const struct head_version *v = &h->versions[i];

        if (!head_keeps(v))
            continue;
        bool expired = kept > keep_versions || last_use_us(h, v) < since_us;
        kept--; /* now: how many newer ones there are */
        if (expired && v->version != h->current && v->version != target)
            out[count++] = v->version;
    }
    return count;
}

uint64_t head_as_of(const struct head *h, int64_t at_us)
{
    uint64_t version = 0;

    for (size_t i = 0; i < h->turn_count && h->turns[i].at_us <= at_us; i++)
        version = h->turns[i].version;
    return version;
}

static enum st corrupt(void)
{
    return st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "a head document is damaged");
}

enum st head_segments_from_json(struct head_version *v, const json_t *list)
{
    size_t n = json_array_size(list);

    v->segments = calloc(n ? n : 1, sizeof *v->segments);
    if (!v->segments)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        unsigned char digest[DIGEST_BYTES];
        const json_t *item = json_array_get(list, i);
        const char *sha;
        int64_t bytes;

        if (jx_need_string(&sha, item, "", "sha256") ||
            jx_need_integer(&bytes, item, "", "bytes", 0, INT64_MAX) ||
            digest_unhex(digest, sizeof digest, sha))
            return corrupt();
        memcpy(v->segments[i].sha256, sha, DIGEST_HEX_SIZE);
        v->segments[i].bytes = (uint64_t)bytes;
        v->segment_count++;
    }
    return ST_OK;
}

static enum st versions_from_json(struct head *h, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        json_t *segments;
        const char *state;
        int64_t version, order, at_us;
        struct head_version *v;

        if (jx_need_integer(&version, item, "", "version", 1, INT64_MAX) ||
            jx_need_integer(&order, item, "", "order", 0, INT64_MAX) ||
            jx_need_integer(&at_us, item, "", "at_us", 0, INT64_MAX) ||
            jx_need_string(&state, item, "", "state") || jx_array(&segments, item, "", "segments"))
            return corrupt();
        if ((uint64_t)version > h->last_version ||
            (i > 0 && (uint64_t)version <= h->versions[i - 1].version)) /* ascending */
            return corrupt();
        enum st st = add_version(h, (uint64_t)version);
        if (st)
            return st;
        v = &h->versions[h->version_count - 1];
        v->order = (uint64_t)order;
        v->at_us = at_us;
        if (!state_parse(&v->state, state))
            return st_fail(ST_CORRUPT, NULL, "a head document has an unknown state");
        st = head_segments_from_json(v, segments);
        if (st)
            return st;
    }
    return ST_OK;
}

static enum st turns_from_json(struct head *h, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        int64_t version, at_us;

        if (jx_need_integer(&version, item, "", "version", 0, INT64_MAX) ||
            jx_need_integer(&at_us, item, "", "at_us", 0, INT64_MAX) ||
            (i > 0 && at_us < h->turns[i - 1].at_us)) /* oldest first */
            return corrupt();
        enum st st = add_turn(h, (uint64_t)version, at_us);
        if (st)
            return st;
    }
    return ST_OK;
}

enum st head_from_json(struct head *out, const json_t *document)
{
    const char *tenant, *dataset;
    int64_t sequence, people, current, last, event_us;
    json_t *versions, *turns;
    bool deleted;

    *out = (struct head){0};
    if (jx_need_string(&tenant, document, "", "tenant") ||
        jx_need_string(&dataset, document, "", "dataset") ||
        jx_need_integer(&sequence, document, "", "sequence", 1, INT64_MAX) ||
        jx_need_integer(&people, document, "", "people_sequence", 0, INT64_MAX) ||
        jx_need_integer(&current, document, "", "current", 0, INT64_MAX) ||
        jx_need_integer(&last, document, "", "last_version", 0, INT64_MAX) ||
        jx_need_integer(&event_us, document, "", "event_us", 0, INT64_MAX) ||
        jx_boolean(&deleted, document, "", "deleted", false) ||
        jx_array(&versions, document, "", "versions") || jx_array(&turns, document, "", "turns") ||
        strlen(tenant) >= STORE_NAME_SIZE || strlen(dataset) >= STORE_NAME_SIZE)
        return corrupt();
    strcpy(out->tenant, tenant);
    strcpy(out->dataset, dataset);
    out->sequence = (uint64_t)sequence;
    out->people_sequence = (uint64_t)people;
    out->current = (uint64_t)current;
    out->last_version = (uint64_t)last;
    out->event_us = event_us;
    out->deleted = deleted;
    enum st st = versions_from_json(out, versions);
    if (!st)
        st = turns_from_json(out, turns);
    if (!st && out->current &&
        (out->deleted || !head_find(out, out->current) || out->turn_count == 0))
        st = corrupt();
    if (st)
        head_release(out);
    return st;
}

static json_t *version_json(const struct head_version *v)
{
    json_t *segments = json_array();

    for (size_t i = 0; i < v->segment_count; i++)
        if (json_array_append_new(segments, json_pack("{s:s, s:I}", "sha256", v->segments[i].sha256,
                                                      "bytes", (json_int_t)v->segments[i].bytes))) {
            json_decref(segments);
            return NULL;
        }
    return json_pack("{s:I, s:s, s:I, s:I, s:o}", "version", (json_int_t)v->version, "state",
                     version_state_name(v->state), "order", (json_int_t)v->order, "at_us",
                     (json_int_t)v->at_us, "segments", segments);
}

enum st head_to_json(json_t **out, const struct head *h)
{
    json_t *versions = json_array(), *turns = json_array();
    int failed = !versions || !turns;

    for (size_t i = 0; !failed && i < h->version_count; i++)
        failed = json_array_append_new(versions, version_json(&h->versions[i]));
    for (size_t i = 0; !failed && i < h->turn_count; i++)
        failed = json_array_append_new(turns, json_pack("{s:I, s:I}", "version",
                                                        (json_int_t)h->turns[i].version, "at_us",
                                                        (json_int_t)h->turns[i].at_us));
    *out = failed ? NULL
                  : json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:O, s:O}", "tenant",
                              h->tenant, "dataset", h->dataset, "sequence", (json_int_t)h->sequence,
                              "people_sequence", (json_int_t)h->people_sequence, "current",
                              (json_int_t)h->current, "last_version", (json_int_t)h->last_version,
                              "event_us", (json_int_t)h->event_us, "deleted", h->deleted,
                              "versions", versions, "turns", turns);
    json_decref(versions);
    json_decref(turns);
    return *out ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

#include "auth/audit_search.h"

#include "auth/audit_file.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t place; /* in a query: of a text, or of a time */
    bool is_time;
} PARAMETERS[AUDIT_PARAMETERS] = {
    {"dataset", offsetof(struct audit_query, dataset), false},
    {"event", offsetof(struct audit_query, event), false},
    {"outcome", offsetof(struct audit_query, outcome), false},
    {"subject", offsetof(struct audit_query, subject), false},
    {"token_id", offsetof(struct audit_query, token_id), false},
    {"request_id", offsetof(struct audit_query, request_id), false},
    {"key", offsetof(struct audit_query, key), false},
    {"from", offsetof(struct audit_query, from), true},
    {"to", offsetof(struct audit_query, to), true},
};

const char *audit_parameter(size_t i)
{
    return PARAMETERS[i].name;
}

enum st audit_query_set(struct audit_query *query, size_t i, const char *value)
{
    char *place = (char *)query + PARAMETERS[i].place;
    int64_t at_us;

    if (!value)
        return ST_OK;
    if (!PARAMETERS[i].is_time) {
        memcpy(place, &value, sizeof value);
        return ST_OK;
    }
    enum st st = clock_parse(&at_us, value);
    if (!st)
        clock_format(place, at_us);
    return st;
}

/* One reader per chain walks its files backwards; the one whose line is the newest is next. Equal
 * times are told apart by chain, then by sequence, so that a page has one end. */

struct reader {
    unsigned chain;
    const struct audit_name *files; /* of this chain, ascending */
    size_t left;                    /* that were not read */
    struct audit_file file;
    bool open, has;
    struct audit_text line;
    uint64_t sequence;
    const char *at;
};

struct search {
    const struct audit_query *query;
    const struct audit_place *after;
    const char *directory;
    struct reader *readers;
    size_t count;
    uint64_t bytes; /* of lines that are behind the place where it began */
};

/* A line that is not ours is passed over: telling of it is verification's. */
static enum st step(struct search *s, struct reader *r)
{
    r->has = false;
    while (!r->has) {
        if (r->open && audit_file_before(&r->line, &r->file)) {
            r->at = audit_line_at(r->line.bytes, r->line.len);
            r->sequence = audit_line_sequence(r->line.bytes, r->line.len);
            r->has = r->at != NULL;
            continue;
        }
        audit_file_release(&r->file);
        r->open = false;
        if (r->left == 0)
            return ST_OK;
        enum st st = audit_file_read(&r->file, s->directory, r->chain, r->files[--r->left].first);
        if (st == ST_NOT_FOUND) /* its time was over just now */
            continue;
        if (st)
            return st;
        r->open = true;
        r->file.at = r->file.text.len;
    }
    return ST_OK;
}

/* Is `a` older than the place? */
static bool is_before(const struct reader *a, const char *at, unsigned chain, uint64_t sequence)
{
    int order = memcmp(a->at, at, AUDIT_AT_TEXT);

    if (order != 0)
        return order < 0;
    return a->chain != chain ? a->chain < chain : a->sequence < sequence;
}

static struct reader *newest(struct search *s)
{
    struct reader *best = NULL;

    for (size_t i = 0; i < s->count; i++) {
        struct reader *r = &s->readers[i];
        if (r->has && (!best || is_before(best, r->at, r->chain, r->sequence)))
            best = r;
    }
    return best;
}

static bool has_text(const json_t *line, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(line, name));

    return !wanted || (text && strcmp(text, wanted) == 0);
}

/* Whoever can write there can change a line: its keys may be anything. */
static bool has_key(const json_t *line, const char *wanted)
{
    const json_t *keys = json_object_get(line, "keys");

    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        if (key && strcmp(key, wanted) == 0)
            return true;
    }
    return false;
}

static bool may_match(const struct audit_text *line, const char *wanted)
{
    return !wanted || memmem(line->bytes, line->len, wanted, strlen(wanted));
}

/* Adds the line when it is what is asked for. */
static enum st take(json_t *items, const struct audit_query *q, const struct reader *r)
{
    json_t *line = NULL;

    if ((*q->from && memcmp(r->at, q->from, AUDIT_AT_TEXT) < 0) ||
        (*q->to && memcmp(r->at, q->to, AUDIT_AT_TEXT) >= 0) || !may_match(&r->line, q->dataset) ||
        !may_match(&r->line, q->event) || !may_match(&r->line, q->key))
        return ST_OK;
    enum st st = jx_parse_object(&line, r->line.bytes, r->line.len);
    if (st)
        return st == ST_INVALID ? ST_OK : st; /* telling of it is verification's */
    const char *dataset = json_string_value(json_object_get(line, "dataset"));
    if (q->sees_fn(dataset, q->sees_ctx) && has_text(line, "event", q->event) &&
        has_text(line, "dataset", q->dataset) && has_text(line, "outcome", q->outcome) &&
        has_text(line, "subject", q->subject) && has_text(line, "token_id", q->token_id) &&
        has_text(line, "request_id", q->request_id) && (!q->key || has_key(line, q->key))) {
        json_object_del(line, "hash");
        if (json_object_set_new(line, "chain", json_integer((json_int_t)r->chain)) != 0 ||
            json_array_append(items, line) != 0)
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    }
    json_decref(line);
    return st;
}

/* Those files of a chain whose every line is newer than what is asked for are not read: times of a
 * chain do not go backwards. */
static void skip_newer(const struct search *s, struct reader *r)
{
    const char *after = s->after->at, *to = s->query->to;
    char at[AUDIT_AT_TEXT + 1];

    if (!*after && !*to)
        return;
    for (; r->left > 0; r->left--) {
        audit_file_begins(at, s->directory, r->chain, r->files[r->left - 1].first);
        bool newer = (*after && strcmp(at, after) > 0) || (*to && strcmp(at, to) >= 0);
        if (!newer)
            return;
    }
}

static enum st open_readers(struct search *s, const struct audit_names *names)
{
    enum st st = ST_OK;

    s->readers = calloc(names->count + 1, sizeof *s->readers);
    if (!s->readers)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < names->count; i++) {
        if (s->count == 0 || s->readers[s->count - 1].chain != names->list[i].chain)
            s->readers[s->count++] =
                (struct reader){.chain = names->list[i].chain, .files = &names->list[i]};
        s->readers[s->count - 1].left++;
    }
    for (size_t i = 0; !st && i < s->count; i++) {
        skip_newer(s, &s->readers[i]);
        st = step(s, &s->readers[i]);
    }
    return st;
}

static enum st walk(json_t *items, bool *more, struct audit_place *place, struct search *s,
                    audit_go_on_fn go_on_fn, void *ctx)
{
    const struct audit_query *q = s->query;
    struct reader *r;
    enum st st = ST_OK;

    for (unsigned n = 0; !st && (r = newest(s)); n++) {
        bool old = *q->from && memcmp(r->at, q->from, AUDIT_AT_TEXT) < 0;
        if (old)
            return ST_OK; /* so is all that follows */
        if (!*s->after->at || is_before(r, s->after->at, s->after->chain, s->after->sequence)) {
            if (json_array_size(items) == q->limit || s->bytes > q->max_bytes) {
                *more = true;
                return ST_OK;
            }
            s->bytes += r->line.len;
            st = take(items, q, r);
            if (st)
                return st;
            memcpy(place->at, r->at, AUDIT_AT_TEXT);
            place->at[AUDIT_AT_TEXT] = '\0';
            place->chain = r->chain;
            place->sequence = r->sequence;
        }
        st = step(s, r);
        if (!st && n % 4096 == 4095)
            st = go_on_fn(ctx);
    }
    return st;
}

enum st audit_search(json_t **items, bool *more, struct audit_place *place, const char *directory,
                     const char *tenant, const struct audit_query *query, audit_go_on_fn go_on_fn,
                     void *ctx)
{
    char path[FS_PATH_MAX];
    const struct audit_place after = *place;
    struct audit_names names = {0};
    struct search s = {.query = query, .after = &after, .directory = path};
    enum st st = fs_path(path, "%s/%s", directory, tenant);

    *more = false;
    *items = json_array();
    if (!*items)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st)
        st = audit_names_list(&names, path, 0);
    if (!st)
        st = open_readers(&s, &names);
    if (!st)
        st = walk(*items, more, place, &s, go_on_fn, ctx);
    for (size_t i = 0; i < s.count; i++)
        audit_file_release(&s.readers[i].file);
    free(s.readers);
    audit_names_release(&names);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}

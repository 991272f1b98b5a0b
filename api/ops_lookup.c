#include "api/batch.h"
#include "api/limit.h"

#include <stdlib.h>
#include <string.h>

/* Lookups: one key or many, and the record of one key. */

#define RESULT_BYTES 100 /* of most, in the answer to a batch */

static enum st add_result(struct buf *out, const struct store_served *d, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES], bool *match)
{
    const void *row;
    size_t row_len;
    enum st st = store_served_get(d, slot, key, &row, &row_len);

    *match = st == ST_OK;
    if (st == ST_NOT_FOUND) {
        buf_addstr(out, "\"outcome\":\"no_match\",\"record\":null}");
        return ST_OK;
    }
    if (st)
        return st;
    buf_addstr(out, "\"outcome\":\"match\",\"record\":");
    st = store_row_json(out, d->definition->row, d->definition->row_count, row, row_len);
    buf_addch(out, '}');
    return st;
}

static void add_head(struct buf *out, const struct store_served *d)
{
    buf_addstr(out, "{\"dataset\":\"");
    buf_addstr(out, d->dataset); /* checked names need no escape */
    buf_addstr(out, "\",\"version\":");
    buf_addu64(out, d->version);
    buf_addch(out, ',');
}

enum st api_op_lookup(struct api_reply *reply, struct api_request *request)
{
    unsigned char key[STORE_KEY_BYTES];
    const struct store_served *d;
    struct store_hasher *hasher;
    bool match = false;
    enum st st = api_dataset(&d, request);

    if (!st)
        st = store_served_hasher(&hasher, d, request->slot);
    if (!st)
        st = api_key_read(key, hasher, request->body ? request->body : "", request->body_len);
    if (!st)
        st = api_guess_check(request, d, key, store_hasher_base(hasher), 1);
    if (!st) {
        add_head(&reply->body, d);
        st = add_result(&reply->body, d, request->slot, key, &match);
    }
    unsigned char found = match;
    if (!st)
        st = api_note_lookup(request, d, key, &found, 1);
    if (st)
        return st;
    api_count_lookups(request, match, !match);
    api_version_headers(reply, d);
    return ST_OK;
}

static enum st add_results(struct api_reply *reply, struct api_request *request,
                           const struct store_served *d, const unsigned char *keys, size_t count)
{
    unsigned char *found = malloc(count);
    uint64_t matches = 0;
    enum st st = found ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    if (count <= API_BATCH_KEYS) /* growing, and the copies that it makes, would cost more */
        (void)buf_reserve(&reply->body, count * RESULT_BYTES);
    add_head(&reply->body, d);
    buf_addstr(&reply->body, "\"results\":[");
    for (size_t i = 0; !st && i < count; i++) {
        bool match = false;

        buf_addstr(&reply->body, i ? ",{" : "{");
        st = add_result(&reply->body, d, request->slot, keys + i * STORE_KEY_BYTES, &match);
        found[i] = match;
        matches += match;
    }
    buf_addstr(&reply->body, "]}");
    if (!st)
        st = api_note_lookup(request, d, keys, found, count);
    free(found);
    if (!st)
        api_count_lookups(request, matches, count - matches);
    return st;
}

enum st api_op_lookup_batch(struct api_reply *reply, struct api_request *request)
{
    const struct store_served *d;
    struct store_hasher *hasher;
    struct buf keys, bases;
    size_t count = 0;
    size_t limit = api_batch_keys(store_view_tenant(request->view, request->identity->tenant));
    enum st st = api_dataset(&d, request);

    buf_init(&keys, limit * STORE_KEY_BYTES);
    buf_init(&bases, limit * STORE_KEY_BYTES);
    if (!st)
        st = store_served_hasher(&hasher, d, request->slot);
    if (!st)
        st = api_batch_read(&keys, &bases, &count, hasher, request->body ? request->body : "",
                            request->body_len, limit);
    if (!st)
        st = api_limit_take(request, count - 1);
    if (!st)
        st = api_guess_check(request, d, (const unsigned char *)keys.data,
                             (const unsigned char *)bases.data, count);
    if (!st)
        st = add_results(reply, request, d, (const unsigned char *)keys.data, count);
    buf_release(&keys);
    buf_release(&bases);
    if (!st)
        api_version_headers(reply, d);
    return st;
}

enum st api_path_key(unsigned char key[STORE_KEY_BYTES], const struct store_served *d,
                     const struct api_request *request)
{
    const struct store_key_spec *spec = &d->definition->key;
    const char *text = request->path_params[1];
    struct store_hasher *hasher;

    if (spec->protect != STORE_PROTECT_NONE || spec->field_count != 1)
        return st_hint(
            st_fail(ST_CONFLICT, "NOT_ADDRESSABLE",
                    "records of this dataset have no address: its key is protected or has "
                    "several fields"),
            "use POST lookup%s", spec->sort ? " or lookup/series" : "");
    enum st st = store_served_hasher(&hasher, d, request->slot);
    return st ? st : store_hasher_sum(key, hasher, &(struct store_text){text, strlen(text)});
}

enum st api_op_get_record(struct api_reply *reply, struct api_request *request)
{
    const char *text = request->path_params[1];
    unsigned char key[STORE_KEY_BYTES];
    const struct store_served *d;
    const void *row;
    size_t row_len;
    enum st st = api_dataset(&d, request);

    if (!st)
        st = api_path_key(key, d, request);
    if (st)
        return st;
    st = store_served_get(d, request->slot, key, &row, &row_len);
    if (st && st != ST_NOT_FOUND)
        return st;
    unsigned char found = st == ST_OK;
    st = api_note_lookup(request, d, key, &found, 1);
    if (st)
        return st;
    api_count_lookups(request, found, !found);
    if (!found)
        return st_fail(ST_NOT_FOUND, "RECORD_NOT_FOUND", "there is no record of this key");
    api_version_headers(reply, d);
    if (api_etag(reply, request, d, text, ""))
        return ST_OK;
    add_head(&reply->body, d);
    buf_addstr(&reply->body, "\"record\":");
    st = store_row_json(&reply->body, d->definition->row, d->definition->row_count, row, row_len);
    buf_addch(&reply->body, '}');
    return st;
}

#include "api/batch.h"

#include "api/plain_keys.h"

#include <stdio.h>

enum st api_key_read(unsigned char key[STORE_KEY_BYTES], struct store_hasher *hasher,
                     const char *body, size_t body_len)
{
    static const char *const MEMBERS[] = {"key", NULL};
    json_t *document = NULL, *fields = NULL;

    if (api_plain_key(key, hasher, body, body_len))
        return ST_OK;
    enum st st = jx_parse_object(&document, body, body_len);
    if (!st)
        st = jx_only(document, "", MEMBERS);
    if (!st)
        st = jx_object(&fields, document, "", "key");
    if (!st && !fields)
        st = st_place(st_fail(ST_INVALID, "MISSING_FIELD", "\"key\" is missing"), "/key");
    if (!st)
        st = store_hasher_sum_json(key, hasher, fields, "/key");
    json_decref(document);
    return st;
}

static enum st find_keys(json_t **out, json_t *body, size_t max_keys)
{
    static const char *const MEMBERS[] = {"keys", NULL};
    enum st st = jx_only(body, "", MEMBERS);

    if (!st)
        st = jx_array(out, body, "", "keys");
    if (st)
        return st;
    if (json_array_size(*out) == 0)
        return st_place(st_fail(ST_INVALID, "MISSING_FIELD", "\"keys\" must hold at least one key"),
                        "/keys");
    if (json_array_size(*out) > max_keys)
        return st_hint(st_place(st_fail(ST_TOO_LARGE, "TOO_MANY_KEYS",
                                        "a batch has at most %zu keys", max_keys),
                                "/keys"),
                       "send several batches");
    return ST_OK;
}

enum st api_batch_read(struct buf *keys, struct buf *bases, size_t *count,
                       struct store_hasher *hasher, const char *body, size_t body_len,
                       size_t max_keys)
{
    json_t *document = NULL, *array = NULL;

    store_hasher_collect(hasher, bases);
    if (api_plain_keys(keys, count, hasher, body, body_len, max_keys)) {
        store_hasher_collect(hasher, NULL);
        return buf_status(bases);
    }
    *count = 0;
    buf_reset(keys);
    buf_reset(bases);
    enum st st = jx_parse_object(&document, body, body_len);
    if (!st)
        st = find_keys(&array, document, max_keys);
    for (size_t i = 0; !st && i < json_array_size(array); i++) {
        unsigned char key[STORE_KEY_BYTES];
        char pointer[32];

        snprintf(pointer, sizeof pointer, "/keys/%zu", i);
        st = store_hasher_sum_json(key, hasher, json_array_get(array, i), pointer);
        if (!st)
            buf_add(keys, key, sizeof key);
    }
    store_hasher_collect(hasher, NULL);
    if (!st)
        st = buf_status(keys);
    if (!st)
        st = buf_status(bases);
    if (!st)
        *count = json_array_size(array);
    json_decref(document);
    return st;
}

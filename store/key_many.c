#include "store/key_internal.h"

#include <assert.h>
#include <stdlib.h>

/* A file of its own: a program that sums keys one by one does not link what sums many. */

#define USUAL_BYTES (32u << 10) /* of the keys that are summed at once */

struct store_keys {
    const struct store_key_spec *spec;
    struct digest_many *many;
    struct buf encodings;
    size_t count, lengths[STORE_KEYS_MAX];
};

enum st store_keys_new(struct store_keys **out, const struct store_hasher *hasher)
{
    struct store_keys *k = *out = calloc(1, sizeof *k);
    enum st st = k ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    if (st)
        return st;
    k->spec = store_hasher_spec(hasher);
    buf_init(&k->encodings, USUAL_BYTES + KEY_ENCODING_MAX);
    (void)buf_reserve(&k->encodings, 2 * USUAL_BYTES); /* so that growing leaves no copies behind */
    st = buf_status(&k->encodings);
    if (!st)
        st = digest_many_new(&k->many, key_hmac(hasher));
    if (st) {
        store_keys_free(k);
        *out = NULL;
    }
    return st;
}

void store_keys_free(struct store_keys *k)
{
    if (!k)
        return;
    digest_many_free(k->many);
    if (k->encodings.data)
        secret_wipe(k->encodings.data, k->encodings.cap);
    buf_release(&k->encodings);
    free(k);
}

bool store_keys_are_full(const struct store_keys *k)
{
    return k->count == STORE_KEYS_MAX || k->encodings.len > USUAL_BYTES;
}

enum st store_keys_add(struct store_keys *k, const struct store_text *fields)
{
    size_t before = k->encodings.len;

    assert(!store_keys_are_full(k));
    enum st st = key_encode(&k->encodings, k->spec, fields);
    if (!st)
        k->lengths[k->count++] = k->encodings.len - before;
    else
        k->encodings.len = before;
    return st;
}

void store_keys_sum(unsigned char (*out)[DIGEST_BYTES], struct store_keys *k)
{
    struct digest_message messages[STORE_KEYS_MAX];
    const char *at = k->encodings.data;

    for (size_t i = 0; i < k->count; at += k->lengths[i++])
        messages[i] = (struct digest_message){at, k->lengths[i], out[i]};
    digest_many_sum(k->many, messages, k->count);
    k->count = 0;
    buf_reset(&k->encodings);
}

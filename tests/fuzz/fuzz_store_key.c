/* Two keys from nobody. The first byte is the number of fields and, in its high bit, whether they
 * are guessed; then a byte with the normaliser of each; then two sort values; then the texts of the
 * first key's fields and of the second's, each behind a byte with its length. Sort values compare
 * as their bytes do; an encoding can be taken apart into the normal forms; keys are the same when
 * these are, and only then; one by one, many at once and out of JSON they have the same sum. */
#include "base/utf8.h"
#include "store/key_internal.h"
#include "store/normalize.h"

#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

/* The texts are of their own size each: a read beyond one is seen. */
struct key {
    struct store_text fields[FIELDS_MAX];
    struct buf encoding;
    unsigned char sum[STORE_KEY_BYTES], base[STORE_KEY_BYTES];
    bool taken;
};

static int order(int order_of_bytes)
{
    return (order_of_bytes > 0) - (order_of_bytes < 0);
}

static void check_sort(const uint8_t *data)
{
    unsigned char a[STORE_SORT_BYTES], b[STORE_SORT_BYTES];
    int64_t x, y;

    memcpy(&x, data, sizeof x);
    memcpy(&y, data + sizeof x, sizeof y);
    store_sort_encode(a, x);
    store_sort_encode(b, y);
    require(store_sort_decode(a) == x && store_sort_decode(b) == y);
    require(order(memcmp(a, b, sizeof a)) == (x > y) - (x < y));
}

static size_t take_text(struct store_text *out, const uint8_t *data, size_t size)
{
    size_t len = size ? data[0] : 0;

    if (size && len > size - 1)
        len = size - 1;
    char *copy = malloc(len ? len : 1);
    require(copy != NULL);
    memcpy(copy, data + (size > 0), len);
    *out = (struct store_text){copy, len};
    return len + (size > 0);
}

/* Each normal form stands behind its length, and has itself as its own. */
static void check_encoding(const struct store_key_spec *spec, const struct key *k)
{
    const char *at = k->encoding.data, *end = at + k->encoding.len;
    struct buf form;

    buf_init(&form, KEY_ENCODING_MAX);
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct store_normalizer *n = spec->fields[i].normalizer;
        uint32_t len;
        require((size_t)(end - at) >= sizeof len);
        memcpy(&len, at, sizeof len);
        len = le32toh(len);
        at += sizeof len;
        require(len <= (size_t)(end - at) && utf8_is_valid(at, len));
        buf_reset(&form);
        require(store_normalize(&form, n, k->fields[i].bytes, k->fields[i].len) == ST_OK);
        require(form.len == len && memcmp(form.data, at, len) == 0);
        buf_reset(&form);
        require(store_normalize(&form, n, at, len) == ST_OK);
        require(form.len == len && memcmp(form.data, at, len) == 0);
        at += len;
    }
    require(at == end);
    buf_release(&form);
}

/* As a body says it: text that is none, or has a NUL, cannot be said. */
static void check_json(const struct store_key_spec *spec, struct store_hasher *h,
                       const struct key *k)
{
    unsigned char sum[STORE_KEY_BYTES];
    json_t *json = json_object();

    require(json != NULL);
    for (size_t i = 0; i < spec->field_count; i++)
        json_object_set_new(json, spec->fields[i].name,
                            json_stringn(k->fields[i].bytes, k->fields[i].len));
    if (json_object_size(json) == spec->field_count) {
        enum st st = store_hasher_sum_json(sum, h, json, "/key");
        require((st == ST_OK) == k->taken);
        require(st || memcmp(sum, k->sum, sizeof sum) == 0);
        require(!st || strncmp(st_place_text(), "/key/", 5) == 0);
    } else {
        require(!k->taken);
    }
    json_decref(json);
}

static void check_key(struct key *k, const struct store_key_spec *spec, struct store_hasher *h)
{
    buf_init(&k->encoding, KEY_ENCODING_MAX);
    enum st st = key_encode(&k->encoding, spec, k->fields);
    k->taken = st == ST_OK;
    require(store_hasher_sum(k->sum, h, k->fields) == st);
    if (k->taken)
        check_encoding(spec, k);
    else
        require(st == ST_INVALID && strcmp(st_code(), "INVALID_KEY") == 0);
    if (k->taken && spec->guess_limit)
        memcpy(k->base, store_hasher_base(h), sizeof k->base);
    check_json(spec, h, k);
}

static void check_many(const struct store_hasher *h, const struct key *keys)
{
    unsigned char sums[STORE_KEYS_MAX][DIGEST_BYTES];
    struct store_keys *many;
    size_t count = 0;

    require(store_keys_new(&many, h) == ST_OK);
    for (size_t i = 0; i < 2; i++)
        require((store_keys_add(many, keys[i].fields) == ST_OK) == keys[i].taken);
    store_keys_sum(sums, many);
    for (size_t i = 0; i < 2; i++)
        require(!keys[i].taken || !memcmp(sums[count++], keys[i].sum, STORE_KEY_BYTES));
    store_keys_free(many);
}

/* The first field is the one that is guessed. */
static bool same_forms(const struct store_key_spec *spec, const struct key *keys, size_t from)
{
    struct buf a, b;
    bool same = true;

    buf_init(&a, KEY_ENCODING_MAX);
    buf_init(&b, KEY_ENCODING_MAX);
    for (size_t i = from; same && i < spec->field_count; i++) {
        const struct store_normalizer *n = spec->fields[i].normalizer;
        buf_reset(&a);
        buf_reset(&b);
        require(!store_normalize(&a, n, keys[0].fields[i].bytes, keys[0].fields[i].len));
        require(!store_normalize(&b, n, keys[1].fields[i].bytes, keys[1].fields[i].len));
        same = a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
    }
    buf_release(&a);
    buf_release(&b);
    return same;
}

static void check_two(const struct store_key_spec *spec, const struct key *keys)
{
    const struct buf *a = &keys[0].encoding, *b = &keys[1].encoding;
    bool same = same_forms(spec, keys, 0);

    require((a->len == b->len && memcmp(a->data, b->data, a->len) == 0) == same);
    require((memcmp(keys[0].sum, keys[1].sum, STORE_KEY_BYTES) == 0) == same);
    if (spec->guess_limit)
        require((memcmp(keys[0].base, keys[1].base, STORE_KEY_BYTES) == 0) ==
                same_forms(spec, keys, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NORMALIZERS[] = {"exact", "person_name", "date", "digits"};
    static const char SECRET[] = "a secret of thirty-two bytes, or more";
    const struct secret hmac_key = {(unsigned char *)(uintptr_t)SECRET, sizeof SECRET - 1};
    struct store_key_spec spec = {.protect = STORE_PROTECT_HMAC_SHA256};
    struct key keys[2] = {0};
    struct store_hasher *h;

    spec.field_count = size ? data[0] % FIELDS_MAX + 1 : 1;
    if (size < 1 + spec.field_count + 16)
        return 0;
    spec.guess_limit = data[0] >> 7;
    spec.guess_fields = spec.guess_limit;
    for (size_t i = 0; i < spec.field_count; i++) {
        snprintf(spec.fields[i].name, sizeof spec.fields[i].name, "f%zu", i);
        spec.fields[i].normalizer = store_normalizer_find(NORMALIZERS[data[1 + i] % 4]);
    }
    check_sort(data + 1 + spec.field_count);
    size_t at = 1 + spec.field_count + 16;
    require(store_hasher_new(&h, &spec, "fuzz", &hmac_key) == ST_OK);
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < spec.field_count; i++)
            at += take_text(&keys[k].fields[i], data + at, size - at);
        check_key(&keys[k], &spec, h);
    }
    check_many(h, keys);
    if (keys[0].taken && keys[1].taken)
        check_two(&spec, keys);
    for (size_t k = 0; k < 2; k++) {
        buf_release(&keys[k].encoding);
        for (size_t i = 0; i < spec.field_count; i++)
            free((void *)(uintptr_t)keys[k].fields[i].bytes);
    }
    store_hasher_free(h);
    return 0;
}

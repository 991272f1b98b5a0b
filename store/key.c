#include "store/key_internal.h"

#include "store/value.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key's hash is HMAC-SHA-256, cut to STORE_KEY_BYTES, of its fields in order:
 *
 *   +-------------------------+-------------+
 *   | value length, 4 B LE    | normal form |  for each field
 *   +-------------------------+-------------+
 *
 * under a key of its own, derived when the hasher is made: the HMAC-SHA-256 of
 *
 *   "everline key 2" NUL  dataset NUL  for each field, in order: name NUL
 *
 * under the tenant's HMAC key, or its SHA-256 where keys are not protected. So what is the same for
 * all keys of a dataset is hashed once, and a person's names, date of birth and four digits fit in
 * one block. Lengths come before what they measure, so that no two different keys share an
 * encoding; names are in it, so that the same text in another field is another key; the dataset is,
 * so that a person has another hash in each. */

#define KEY_LABEL "everline key 2"
#define BASE_LABEL "everline base 2"
#define GUESSED 0xffffffffu /* instead of a length: any value */
#define ENCODING_USUAL 4096 /* room from the start, so that growing leaves no copies behind */

size_t store_record_key_bytes(const struct store_key_spec *spec)
{
    return spec->sort ? STORE_RECORD_KEY_MAX : STORE_KEY_BYTES;
}

/* Big-endian, the sign flipped, so that negative values come first. */
void store_sort_encode(unsigned char out[STORE_SORT_BYTES], int64_t value)
{
    uint64_t bits = htobe64((uint64_t)value ^ 1ull << 63);

    memcpy(out, &bits, sizeof bits);
}

int64_t store_sort_decode(const unsigned char bytes[STORE_SORT_BYTES])
{
    uint64_t bits;

    memcpy(&bits, bytes, sizeof bits);
    return (int64_t)(be64toh(bits) ^ 1ull << 63);
}

struct store_hasher {
    const struct store_key_spec *spec;
    struct digest_hmac *hmac, *base_hmac; /* the second where keys are guessed */
    struct buf encoding;
    struct buf base_encoding; /* the same without the values of the guessed fields */
    unsigned char base[STORE_KEY_BYTES];
    struct buf *bases; /* or NULL */
};

/* The HMAC of one use of a dataset's keys; `hmac_key` is NULL when they are public. */
static enum st derive(struct digest_hmac **out, const char *use, const struct store_key_spec *spec,
                      const char *dataset, const struct secret *hmac_key)
{
    unsigned char bytes[DIGEST_BYTES];
    const struct secret derived = {bytes, sizeof bytes};
    struct digest_hmac *tenants = NULL;
    struct buf label;

    buf_init(&label, KEY_ENCODING_MAX);
    buf_add(&label, use, strlen(use) + 1);
    buf_add(&label, dataset, strlen(dataset) + 1);
    for (size_t i = 0; i < spec->field_count; i++)
        buf_add(&label, spec->fields[i].name, strlen(spec->fields[i].name) + 1);
    enum st st = buf_status(&label);
    if (!st && hmac_key)
        st = digest_hmac_new(&tenants, hmac_key);
    if (!st && hmac_key)
        digest_hmac_sum(bytes, tenants, label.data, label.len);
    else if (!st)
        digest_sha256(bytes, label.data, label.len);
    if (!st)
        st = digest_hmac_new(out, &derived);
    secret_wipe(bytes, sizeof bytes);
    digest_hmac_free(tenants);
    buf_release(&label);
    return st;
}

enum st store_hasher_new(struct store_hasher **out, const struct store_key_spec *spec,
                         const char *dataset, const struct secret *hmac_key)
{
    struct store_hasher *h = calloc(1, sizeof *h);
    enum st st = ST_OK;

    *out = NULL;
    if (!h)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    h->spec = spec;
    buf_init(&h->encoding, KEY_ENCODING_MAX);
    (void)buf_reserve(&h->encoding, ENCODING_USUAL);
    buf_init(&h->base_encoding, KEY_ENCODING_MAX);
    if (spec->guess_limit)
        (void)buf_reserve(&h->base_encoding, ENCODING_USUAL);
    st = buf_status(&h->encoding);
    if (spec->protect == STORE_PROTECT_NONE)
        hmac_key = NULL;
    else if (!st && !hmac_key)
        st = st_fail(ST_INVALID, "BAD_KEY", "a protected key needs an HMAC key");
    if (!st)
        st = derive(&h->hmac, KEY_LABEL, spec, dataset, hmac_key);
    if (!st && spec->guess_limit)
        st = derive(&h->base_hmac, BASE_LABEL, spec, dataset, hmac_key);
    if (st) {
        store_hasher_free(h);
        return st;
    }
    *out = h;
    return ST_OK;
}

void store_hasher_free(struct store_hasher *h)
{
    if (!h)
        return;
    digest_hmac_free(h->hmac);
    digest_hmac_free(h->base_hmac);
    if (h->encoding.data)
        secret_wipe(h->encoding.data, h->encoding.cap);
    if (h->base_encoding.data)
        secret_wipe(h->base_encoding.data, h->base_encoding.cap);
    buf_release(&h->encoding);
    buf_release(&h->base_encoding);
    free(h);
}

const struct store_key_spec *store_hasher_spec(const struct store_hasher *h)
{
    return h->spec;
}

enum st key_encode(struct buf *out, const struct store_key_spec *spec,
                   const struct store_text *fields)
{
    uint32_t len = 0;

    for (size_t i = 0; i < spec->field_count; i++) {
        const struct store_key_field *field = &spec->fields[i];
        size_t at = out->len;

        if (!fields[i].bytes)
            return st_place(
                st_fail(ST_INVALID, "INVALID_KEY", "key field \"%s\" is null", field->name),
                "/key/%s", field->name);
        buf_add(out, &len, sizeof len);
        enum st st = store_normalize(out, field->normalizer, fields[i].bytes, fields[i].len);
        if (st == ST_INVALID)
            return st_place(st_wrap(st, "key field \"%s\"", field->name), "/key/%s", field->name);
        if (!st)
            st = buf_status(out);
        if (st)
            return st;
        len = htole32((uint32_t)(out->len - at - sizeof len));
        memcpy(out->data + at, &len, sizeof len);
    }
    return ST_OK;
}

const struct digest_hmac *key_hmac(const struct store_hasher *h)
{
    return h->hmac;
}

static enum st finish(unsigned char out[STORE_KEY_BYTES], const struct digest_hmac *hmac,
                      const struct buf *encoding)
{
    unsigned char digest[DIGEST_BYTES];
    enum st st = buf_status(encoding);

    if (!st) {
        digest_hmac_sum(digest, hmac, encoding->data, encoding->len);
        memcpy(out, digest, STORE_KEY_BYTES);
    }
    return st;
}

/* One key's encoding, with ANY instead of each field that is guessed. */
static enum st sum_base(struct store_hasher *h)
{
    static const uint32_t ANY = GUESSED;
    const char *field = h->encoding.data;
    uint32_t len;

    buf_reset(&h->base_encoding);
    for (size_t i = 0; i < h->spec->field_count; i++, field += len) {
        memcpy(&len, field, sizeof len);
        len = le32toh(len) + (uint32_t)sizeof len;
        if (h->spec->guess_fields >> i & 1)
            buf_add(&h->base_encoding, &ANY, sizeof ANY);
        else
            buf_add(&h->base_encoding, field, len);
    }
    enum st st = finish(h->base, h->base_hmac, &h->base_encoding);
    if (!st && h->bases)
        buf_add(h->bases, h->base, sizeof h->base);
    return st;
}

const unsigned char *store_hasher_base(const struct store_hasher *h)
{
    return h->base;
}

void store_hasher_collect(struct store_hasher *h, struct buf *bases)
{
    h->bases = bases;
}

enum st store_hasher_sum(unsigned char out[STORE_KEY_BYTES], struct store_hasher *h,
                         const struct store_text *fields)
{
    buf_reset(&h->encoding);
    enum st st = key_encode(&h->encoding, h->spec, fields);
    if (!st)
        st = finish(out, h->hmac, &h->encoding);
    return !st && h->spec->guess_limit ? sum_base(h) : st;
}

static enum st key_error(const char *code, const char *pointer, const char *name, const char *what)
{
    char part[2 * JX_NAME_MAX + 1];

    return st_place(
        st_fail(ST_INVALID, code, "key field \"%.*s\" %s", utf8_cut(name, JX_NAME_MAX), name, what),
        "%s/%s", pointer, jx_pointer_part(part, name));
}

/* A member that is no field of the key. */
static enum st unknown_field(const struct store_key_spec *spec, const json_t *key,
                             const char *pointer)
{
    struct buf known;
    const char *name;
    json_t *value;
    enum st st = ST_OK;

    json_object_foreach((json_t *)(uintptr_t)key, name, value)
    {
        size_t i = 0;
        while (i < spec->field_count && strcmp(spec->fields[i].name, name) != 0)
            i++;
        if (i == spec->field_count) {
            st = key_error("UNKNOWN_KEY_FIELD", pointer, name, "is not part of the key");
            break;
        }
    }
    if (!st)
        return ST_OK;
    buf_init(&known, 240);
    for (size_t i = 0; i < spec->field_count; i++)
        buf_addf(&known, "%s%s", i ? ", " : "", spec->fields[i].name);
    st = st_hint(st, "the key has: %s", known.data ? known.data : "");
    buf_release(&known);
    return st;
}

enum st store_hasher_sum_json(unsigned char out[STORE_KEY_BYTES], struct store_hasher *h,
                              const json_t *key, const char *pointer)
{
    struct store_text fields[STORE_KEY_FIELDS_MAX];
    char numbers[STORE_KEY_FIELDS_MAX][24];
    const struct store_key_spec *spec = h->spec;

    if (!json_is_object(key))
        return st_place(st_fail(ST_INVALID, "INVALID_KEY", "the key must be an object"), "%s",
                        pointer);
    for (size_t i = 0; i < spec->field_count; i++) {
        const char *name = spec->fields[i].name;
        const json_t *value = json_object_get(key, name);

        if (!value || json_is_null(value))
            return key_error("MISSING_KEY_FIELD", pointer, name, "is missing");
        if (json_is_string(value)) {
            fields[i] = (struct store_text){json_string_value(value), json_string_length(value)};
        } else if (json_is_integer(value)) {
            int n = snprintf(numbers[i], sizeof numbers[i], "%lld",
                             (long long)json_integer_value(value));
            fields[i] = (struct store_text){numbers[i], (size_t)n};
        } else {
            return key_error("INVALID_KEY", pointer, name, "must be a string");
        }
    }
    if (json_object_size(key) != spec->field_count)
        return unknown_field(spec, key, pointer);
    enum st st = store_hasher_sum(out, h, fields);
    if (st == ST_INVALID) {
        char field[STORE_NAME_SIZE + 8];
        snprintf(field, sizeof field, "%.70s", st_place_text() + strlen("/key"));
        st = st_place(st, "%s%s", pointer, field);
    }
    return st;
}

/* Vectors that every normaliser takes, and that another set of its rules or tables would change. */
static const char *check_text(const struct store_normalizer *n)
{
    static const struct {
        const char *normalizer, *text;
    } VECTORS[] = {
        {"person_name", "  Mar\xC3\xAD"
                        "a-Jos\xC3\xA9  O\xE2\x80\x99"
                        "Neill \xC3\x9F\xEF\xAC\x81 \xCE\xA3 "},
        {"date", "2000-02-29"},
        {"digits", "12-34"},
        {"exact", "Everline \xE2\x80\x94 check"},
    };

    for (size_t i = 0; i < sizeof VECTORS / sizeof VECTORS[0]; i++)
        if (strcmp(VECTORS[i].normalizer, store_normalizer_name(n)) == 0)
            return VECTORS[i].text;
    return "check";
}

enum st store_hasher_check_value(unsigned char out[STORE_KEY_BYTES], struct store_hasher *h)
{
    struct store_text fields[STORE_KEY_FIELDS_MAX];

    for (size_t i = 0; i < h->spec->field_count; i++) {
        const char *text = check_text(h->spec->fields[i].normalizer);
        fields[i] = (struct store_text){text, strlen(text)};
    }
    enum st st = store_hasher_sum(out, h, fields);
    if (st)
        return st;
    /* The whole Unicode version counts, not only what the vectors happen to touch. */
    buf_reset(&h->encoding);
    buf_addstr(&h->encoding, "check"); /* as a length it is more than an encoding has */
    buf_addstr(&h->encoding, store_normalizer_unicode());
    buf_add(&h->encoding, out, STORE_KEY_BYTES);
    for (size_t i = 0; i < h->spec->field_count; i++)
        buf_addf(&h->encoding, "/%s.%u", store_normalizer_name(h->spec->fields[i].normalizer),
                 store_normalizer_version(h->spec->fields[i].normalizer));
    return finish(out, h->hmac, &h->encoding);
}

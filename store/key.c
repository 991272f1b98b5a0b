#include "store/key.h"

#include "store/value.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is hashed:
 *
 *   "everline key 1" NUL  dataset NUL
 *   for each field, in order:
 *   +-----+-------------------+-----------+--------------------------+-------------+
 *   | tag | name length, 1 B  | name      | value length, 4 B LE     | normal form |
 *   +-----+-------------------+-----------+--------------------------+-------------+
 *
 * The tag is 'f'. Lengths come before what they measure, so that no two different keys share an
 * encoding; names are in it, so that the same text in another field is another key; the dataset is,
 * so that a person has another hash in each. The tenant is in the HMAC key. */

#define PREFIX "everline key 1"
#define ENCODING_MAX (1u << 20) /* more than the longest normal forms of all fields */
#define ENCODING_USUAL 4096     /* room from the start, so that growing leaves no copies behind */

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

/* What stands before a field's normal form; its length is zero until that is known. */
#define HEAD_STEP 16u /* copied at once: copying by a length that varies costs more */
#define HEAD_MAX ((2 + STORE_NAME_SIZE + sizeof(uint32_t) + HEAD_STEP - 1) / HEAD_STEP * HEAD_STEP)
struct field_head {
    unsigned char len;
    char bytes[HEAD_MAX];
};

struct store_hasher {
    const struct store_key_spec *spec;
    struct field_head heads[STORE_KEY_FIELDS_MAX];
    struct digest_hmac *hmac; /* NULL: plain SHA-256 */
    struct buf encoding;
    size_t prefix_len;
    struct buf base_encoding; /* the same without the values of the guessed fields */
    unsigned char base[STORE_KEY_BYTES];
    struct buf *bases; /* or NULL */
};

#define BASE_PREFIX "everline base 1"

static void set_head(struct field_head *head, const char *name)
{
    size_t len = strlen(name);

    head->bytes[0] = 'f';
    head->bytes[1] = (char)len;
    memcpy(head->bytes + 2, name, len);
    head->len = (unsigned char)(2 + len + sizeof(uint32_t));
}

enum st store_hasher_new(struct store_hasher **out, const struct store_key_spec *spec,
                         const char *tenant, const char *dataset, const struct secret *hmac_key)
{
    struct store_hasher *h = calloc(1, sizeof *h);
    enum st st = ST_OK;

    (void)tenant; /* named by the HMAC key; an unprotected key is public */
    *out = NULL;
    if (!h)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    h->spec = spec;
    for (size_t i = 0; i < spec->field_count; i++)
        set_head(&h->heads[i], spec->fields[i].name);
    buf_init(&h->encoding, ENCODING_MAX);
    (void)buf_reserve(&h->encoding, ENCODING_USUAL);
    buf_add(&h->encoding, PREFIX, sizeof PREFIX);
    buf_add(&h->encoding, dataset, strlen(dataset) + 1);
    h->prefix_len = h->encoding.len;
    buf_init(&h->base_encoding, ENCODING_MAX);
    if (spec->guess_limit)
        (void)buf_reserve(&h->base_encoding, ENCODING_USUAL);
    st = buf_status(&h->encoding);
    if (!st && spec->protect != STORE_PROTECT_NONE)
        st = hmac_key ? digest_hmac_new(&h->hmac, hmac_key)
                      : st_fail(ST_INVALID, "BAD_KEY", "a protected key needs an HMAC key");
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

static void add_head(struct buf *out, const struct field_head *head)
{
    char *to = buf_reserve(out, HEAD_MAX);

    for (size_t at = 0; to && at < head->len; at += HEAD_STEP)
        memcpy(to + at, head->bytes + at, HEAD_STEP);
    if (to)
        out->len += head->len;
}

/* Of the normal form that begins there and ends the encoding. */
static void set_length(struct store_hasher *h, size_t value_at)
{
    uint32_t len = htole32((uint32_t)(h->encoding.len - value_at));

    if (!h->encoding.status)
        memcpy(h->encoding.data + value_at - sizeof len, &len, sizeof len);
}

static enum st finish(unsigned char out[STORE_KEY_BYTES], struct store_hasher *h,
                      const struct buf *encoding)
{
    unsigned char digest[DIGEST_BYTES];
    enum st st = buf_status(encoding);

    if (!st && h->hmac)
        digest_hmac_sum(digest, h->hmac, encoding->data, encoding->len);
    else if (!st)
        digest_sha256(digest, encoding->data, encoding->len);
    if (!st)
        memcpy(out, digest, STORE_KEY_BYTES);
    return st;
}

/* A field of the base: a guessed one is there by its name. */
static void add_to_base(struct store_hasher *h, size_t i, size_t field_at, size_t value_at)
{
    if (i == 0) {
        buf_reset(&h->base_encoding);
        buf_add(&h->base_encoding, BASE_PREFIX, sizeof BASE_PREFIX);
        buf_add(&h->base_encoding, h->encoding.data, h->prefix_len);
    }
    size_t end = h->spec->guess_fields >> i & 1 ? value_at : h->encoding.len;
    buf_add(&h->base_encoding, h->encoding.data + field_at, end - field_at);
}

static enum st finish_base(struct store_hasher *h)
{
    enum st st = finish(h->base, h, &h->base_encoding);

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

static void restart(struct store_hasher *h)
{
    h->encoding.len = h->prefix_len;
    h->encoding.status = ST_OK;
}

enum st store_hasher_sum(unsigned char out[STORE_KEY_BYTES], struct store_hasher *h,
                         const struct store_text *fields)
{
    restart(h);
    for (size_t i = 0; i < h->spec->field_count; i++) {
        const struct store_key_field *field = &h->spec->fields[i];
        const struct field_head *head = &h->heads[i];
        size_t field_at = h->encoding.len, value_at = field_at + head->len;

        if (!fields[i].bytes)
            return st_place(
                st_fail(ST_INVALID, "INVALID_KEY", "key field \"%s\" is null", field->name),
                "/key/%s", field->name);
        add_head(&h->encoding, head);
        enum st st =
            store_normalize(&h->encoding, field->normalizer, fields[i].bytes, fields[i].len);
        if (st == ST_INVALID)
            return st_place(st_wrap(st, "key field \"%s\"", field->name), "/key/%s", field->name);
        if (st)
            return st;
        set_length(h, value_at);
        if (h->spec->guess_limit && !h->encoding.status)
            add_to_base(h, i, field_at, value_at - sizeof(uint32_t));
    }
    enum st st = finish(out, h, &h->encoding);
    return st || !h->spec->guess_limit ? st : finish_base(h);
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
    restart(h);
    buf_addstr(&h->encoding, "check");
    buf_addstr(&h->encoding, store_normalizer_unicode());
    buf_add(&h->encoding, out, STORE_KEY_BYTES);
    for (size_t i = 0; i < h->spec->field_count; i++)
        buf_addf(&h->encoding, "/%s.%u", store_normalizer_name(h->spec->fields[i].normalizer),
                 store_normalizer_version(h->spec->fields[i].normalizer));
    return finish(out, h, &h->encoding);
}

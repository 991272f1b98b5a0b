/* Bodies of batch lookups from nobody. The first byte is the key and how many of them a batch may
 * have. What is read is what reading each key alone gives, in the order of the body; what is
 * refused says where. */
#include "api/batch.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HMAC_KEY "a key of thirty-two bytes to fuzz"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store_key_spec specs[] = {
    {.fields = {{.name = "id"}}, .field_count = 1},
    {.fields = {{.name = "first_name"}, {.name = "dob"}, {.name = "ssn_last4"}},
     .field_count = 3,
     .protect = STORE_PROTECT_HMAC_SHA256},
};
static struct store_hasher *hashers[2];

static void require(bool held)
{
    if (!held)
        abort();
}

static void make_hashers(void)
{
    static const char *const NORMALIZERS[] = {"person_name", "date", "digits"};
    struct secret key = {0};

    specs[0].fields[0].normalizer = store_normalizer_find("exact");
    for (size_t i = 0; i < 3; i++)
        specs[1].fields[i].normalizer = store_normalizer_find(NORMALIZERS[i]);
    require(secret_copy(&key, HMAC_KEY, 32) == ST_OK);
    for (size_t i = 0; i < 2; i++)
        require(store_hasher_new(&hashers[i], &specs[i], "things", &key) == ST_OK);
    secret_release(&key);
}

static void check_read(const struct buf *keys, size_t count, size_t max, struct store_hasher *h,
                       const char *body, size_t len)
{
    json_t *document = NULL;

    require(count >= 1 && count <= max && keys->len == count * STORE_KEY_BYTES);
    require(jx_parse_object(&document, body, len) == ST_OK && json_object_size(document) == 1);
    const json_t *array = json_object_get(document, "keys");
    require(json_array_size(array) == count);
    for (size_t i = 0; i < count; i++) {
        unsigned char key[STORE_KEY_BYTES];
        require(store_hasher_sum_json(key, h, json_array_get(array, i), "/key") == ST_OK);
        require(memcmp(key, keys->data + i * STORE_KEY_BYTES, sizeof key) == 0);
    }
    json_decref(document);
}

/* The place of a key's fault begins with the key's. */
static bool is_in_keys(const char *place, size_t max)
{
    char *end;

    if (strncmp(place, "/keys/", 6) != 0)
        return false;
    unsigned long index = strtoul(place + 6, &end, 10);
    return end != place + 6 && index < max && (*end == '\0' || *end == '/');
}

static void check_refused(enum st st, size_t max)
{
    static const struct {
        const char *code;
        enum st status;
        bool in_keys;
    } CODES[] = {
        {"INVALID_JSON", ST_INVALID, false},     {"UNKNOWN_FIELD", ST_INVALID, false},
        {"MISSING_FIELD", ST_INVALID, false},    {"WRONG_TYPE", ST_INVALID, false},
        {"TOO_MANY_KEYS", ST_TOO_LARGE, false},  {"INVALID_KEY", ST_INVALID, true},
        {"MISSING_KEY_FIELD", ST_INVALID, true}, {"UNKNOWN_KEY_FIELD", ST_INVALID, true},
    };
    size_t i = 0;

    while (i < 8 && strcmp(CODES[i].code, st_code()) != 0)
        i++;
    require(i < 8 && st == CODES[i].status && st_message()[0] && st_place_text()[0]);
    require(is_in_keys(st_place_text(), max) == CODES[i].in_keys);
    require(utf8_is_valid(st_message(), strlen(st_message())));
    require(utf8_is_valid(st_place_text(), strlen(st_place_text())));
    require(utf8_is_valid(st_hint_text(), strlen(st_hint_text())));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 99;
    struct buf keys, bases;

    if (size < 1)
        return 0;
    if (!hashers[0])
        make_hashers();
    size_t max = 1 + (data[0] >> 1) % 8, len = size - 1;
    struct store_hasher *h = hashers[data[0] & 1];
    char *body = malloc(len ? len : 1); /* of its own size: a read beyond it is seen */
    require(body != NULL);
    memcpy(body, data + 1, len);
    buf_init(&keys, max * STORE_KEY_BYTES); /* as a lookup has it: enough for all that may be */
    buf_init(&bases, max * STORE_KEY_BYTES);
    enum st st = api_batch_read(&keys, &bases, &count, h, body, len, max);
    if (st)
        check_refused(st, max);
    else
        check_read(&keys, count, max, h, body, len);
    require(!st || count == 0);
    buf_release(&keys);
    buf_release(&bases);
    free(body);
    return 0;
}

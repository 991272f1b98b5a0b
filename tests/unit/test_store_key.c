#include "store_format_kit.h"

#include "store/key.h"

#define FLIGHTS                                                                                    \
    "{\"name\":\"flights\",\"sources\":{\"f\":{\"format\":\"parquet\"}},\"prepare\":\"SELECT 1\"," \
    "\"key\":{\"fields\":[\"flight\"]},\"record\":{}}"

static struct store_definition *lifeline, *flights;
static struct secret key;
static struct store_hasher *hasher, *open_hasher;

#define PERSON                                                                                     \
    "{\"first_name\":\" Jos\\u00e9 O\\u2019Neill\",\"dob\":\"2000-02-29\",\"ssn_last4\":\"0042\"}"

static enum st sum(unsigned char out[STORE_KEY_BYTES], const char *text)
{
    json_t *json = kit_json(text);
    enum st st = store_hasher_sum_json(out, hasher, json, "/key");

    json_decref(json);
    return st;
}

static void assert_sum(const unsigned char sum16[STORE_KEY_BYTES], const char *hex)
{
    char text[2 * STORE_KEY_BYTES + 1];

    digest_hex(text, sum16, STORE_KEY_BYTES);
    assert_string_equal(text, hex);
}

/* Computed by another program from the layout that is drawn in key.c. */
static void keys_are_what_the_drawing_says(void **state)
{
    static const struct store_text FIELDS[] = {
        {"JOSE  O'Neill", 13}, {"2000-02-29", 10}, {"00-42", 5}};
    unsigned char out[STORE_KEY_BYTES];

    (void)state;
    assert_int_equal(store_hasher_sum(out, hasher, FIELDS), ST_OK);
    assert_sum(out, "1c684c65a0ba1ebed9a6a83190dbc0fe");
    assert_int_equal(sum(out, PERSON), ST_OK);
    assert_sum(out, "1c684c65a0ba1ebed9a6a83190dbc0fe");
    assert_int_equal(store_hasher_sum(out, open_hasher, &(struct store_text){"AA-1", 4}), ST_OK);
    assert_sum(out, "fcf0a5d0e72f17ab4a5b611a427bcb4e");
}

static void a_hasher_can_be_used_again_after_a_failure(void **state)
{
    unsigned char first[STORE_KEY_BYTES], again[STORE_KEY_BYTES];

    (void)state;
    assert_int_equal(sum(first, PERSON), ST_OK);
    assert_int_equal(sum(again, "{\"first_name\":\"a\",\"dob\":\"x\",\"ssn_last4\":\"1\"}"),
                     ST_INVALID);
    assert_int_equal(sum(again, PERSON), ST_OK);
    assert_memory_equal(first, again, STORE_KEY_BYTES);
}

static void every_part_of_the_encoding_counts(void **state)
{
    unsigned char a[STORE_KEY_BYTES], b[STORE_KEY_BYTES];
    struct store_key_spec spec = flights->key;
    struct store_hasher *other = NULL;
    struct store_text field = {"AA-1", 4};

    (void)state;
    assert_int_equal(store_hasher_sum(a, open_hasher, &field), ST_OK);
    /* another dataset */
    assert_int_equal(store_hasher_new(&other, &spec, "flights2", NULL), ST_OK);
    assert_int_equal(store_hasher_sum(b, other, &field), ST_OK);
    assert_memory_not_equal(a, b, STORE_KEY_BYTES);
    store_hasher_free(other);
    /* another name of the field */
    strcpy(spec.fields[0].name, "flighu");
    assert_int_equal(store_hasher_new(&other, &spec, "flights", NULL), ST_OK);
    assert_int_equal(store_hasher_sum(b, other, &field), ST_OK);
    assert_memory_not_equal(a, b, STORE_KEY_BYTES);
    store_hasher_free(other);
    /* another HMAC key */
    struct secret wrong;
    assert_int_equal(secret_random(&wrong, 32), ST_OK);
    assert_int_equal(store_hasher_new(&other, &lifeline->key, "lifeline", &wrong), ST_OK);
    json_t *person = kit_json(PERSON);
    assert_int_equal(store_hasher_sum_json(b, other, person, "/key"), ST_OK);
    json_decref(person);
    assert_int_equal(sum(a, PERSON), ST_OK);
    assert_memory_not_equal(a, b, STORE_KEY_BYTES);
    store_hasher_free(other);
    secret_release(&wrong);
}

/* The fields "a" and "b". */
static void name_two(struct store_key_spec *spec, const char *normalizer)
{
    strcpy(spec->fields[0].name, "a");
    strcpy(spec->fields[1].name, "b");
    spec->fields[0].normalizer = spec->fields[1].normalizer = store_normalizer_find(normalizer);
}

static void where_one_field_ends_and_the_next_begins_counts(void **state)
{
    struct store_key_spec spec = {.field_count = 2, .protect = STORE_PROTECT_NONE};
    unsigned char a[STORE_KEY_BYTES], b[STORE_KEY_BYTES];
    struct store_hasher *h;

    (void)state;
    name_two(&spec, "exact");
    assert_int_equal(store_hasher_new(&h, &spec, "d", NULL), ST_OK);
    assert_int_equal(store_hasher_sum(a, h, (struct store_text[]){{"xy", 2}, {"z", 1}}), ST_OK);
    assert_int_equal(store_hasher_sum(b, h, (struct store_text[]){{"x", 1}, {"yz", 2}}), ST_OK);
    assert_memory_not_equal(a, b, STORE_KEY_BYTES);
    assert_int_equal(store_hasher_sum(b, h, (struct store_text[]){{"x", 1}, {"y\0z", 3}}), ST_OK);
    assert_memory_not_equal(a, b, STORE_KEY_BYTES);
    store_hasher_free(h);
}

/* What is refused leaves no trace between its neighbours; the hasher says when it has enough. */
static void keys_that_are_summed_at_once_are_the_same(void **state)
{
    static char texts[STORE_KEYS_MAX][1025];
    static unsigned char keys[STORE_KEYS_MAX][DIGEST_BYTES];
    struct store_key_spec spec = {.field_count = 2, .protect = STORE_PROTECT_NONE};
    unsigned char expected[STORE_KEY_BYTES];
    struct store_hasher *h;
    struct store_keys *k;

    (void)state;
    name_two(&spec, "digits");
    assert_int_equal(store_hasher_new(&h, &spec, "d", NULL), ST_OK);
    assert_int_equal(store_keys_new(&k, h), ST_OK);
    for (int large = 0; large < 2; large++) {
        size_t count = 0;
        for (; !store_keys_are_full(k); count++) {
            const struct store_text refused[] = {{"1", 1}, {"x", 1}};
            snprintf(texts[count], sizeof texts[count], "%0*zu", large ? 1024 : 4, count);
            struct store_text text = {texts[count], strlen(texts[count])};
            assert_int_equal(store_keys_add(k, (struct store_text[]){text, text}), ST_OK);
            if (!store_keys_are_full(k))
                assert_int_equal(store_keys_add(k, refused), ST_INVALID);
        }
        assert_true(large ? count < STORE_KEYS_MAX / 4 : count == STORE_KEYS_MAX);
        store_keys_sum(keys, k);
        for (size_t i = 0; i < count; i++) {
            struct store_text text = {texts[i], strlen(texts[i])};
            assert_int_equal(store_hasher_sum(expected, h, (struct store_text[]){text, text}),
                             ST_OK);
            assert_memory_equal(keys[i], expected, STORE_KEY_BYTES);
        }
    }
    store_keys_free(k);
    store_hasher_free(h);
}

/* The same values are another person where another field may be guessed, and not where only the
 * guessed one differs. */
static void a_base_says_which_fields_are_guessed(void **state)
{
    struct store_key_spec spec = {
        .field_count = 2, .protect = STORE_PROTECT_NONE, .guess_limit = 5, .guess_fields = 1};
    unsigned char sum16[STORE_KEY_BYTES], first[STORE_KEY_BYTES];
    struct store_hasher *h;

    (void)state;
    name_two(&spec, "exact");
    assert_int_equal(store_hasher_new(&h, &spec, "d", NULL), ST_OK);
    assert_int_equal(store_hasher_sum(sum16, h, (struct store_text[]){{"g", 1}, {"x", 1}}), ST_OK);
    memcpy(first, store_hasher_base(h), sizeof first);
    assert_int_equal(store_hasher_sum(sum16, h, (struct store_text[]){{"h", 1}, {"x", 1}}), ST_OK);
    assert_memory_equal(first, store_hasher_base(h), sizeof first);
    assert_int_equal(store_hasher_sum(sum16, h, (struct store_text[]){{"g", 1}, {"y", 1}}), ST_OK);
    assert_memory_not_equal(first, store_hasher_base(h), sizeof first);
    spec.guess_fields = 2;
    assert_int_equal(store_hasher_sum(sum16, h, (struct store_text[]){{"x", 1}, {"g", 1}}), ST_OK);
    assert_memory_not_equal(first, store_hasher_base(h), sizeof first);
    store_hasher_free(h);
}

static void a_wrong_key_says_which_field(void **state)
{
    static const struct {
        const char *json, *code, *place;
    } WRONG[] = {
        {"{}", "MISSING_KEY_FIELD", "/key/first_name"},
        {"{\"first_name\":\"a\",\"dob\":\"2000-01-01\"}", "MISSING_KEY_FIELD", "/key/ssn_last4"},
        {"{\"first_name\":\"a\",\"dob\":null,\"ssn_last4\":\"1\"}", "MISSING_KEY_FIELD",
         "/key/dob"},
        {"{\"first_name\":\"a\",\"dob\":\"2000-01-01\",\"ssn_last4\":\"1\",\"zip\":\"2\"}",
         "UNKNOWN_KEY_FIELD", "/key/zip"},
        {"{\"first_name\":\"a\",\"dob\":\"2000-01-01\",\"ssn_last4\":\"1\",\"a/b~\":\"2\"}",
         "UNKNOWN_KEY_FIELD", "/key/a~1b~0"},
        {"{\"first_name\":\"a\",\"dob\":\"2000-13-01\",\"ssn_last4\":\"1\"}", "INVALID_KEY",
         "/key/dob"},
        {"{\"first_name\":\"..\",\"dob\":\"2000-01-01\",\"ssn_last4\":\"1\"}", "INVALID_KEY",
         "/key/first_name"},
        {"{\"first_name\":true,\"dob\":\"2000-01-01\",\"ssn_last4\":\"1\"}", "INVALID_KEY",
         "/key/first_name"},
        {"{\"first_name\":\"a\",\"dob\":\"2000-01-01\",\"ssn_last4\":1.5}", "INVALID_KEY",
         "/key/ssn_last4"},
        {"{\"first_name\":\"a\",\"dob\":\"2000-01-01\",\"ssn_last4\":[1]}", "INVALID_KEY",
         "/key/ssn_last4"},
    };
    unsigned char out[STORE_KEY_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_int_equal(sum(out, WRONG[i].json), ST_INVALID);
        assert_string_equal(st_code(), WRONG[i].code);
        assert_string_equal(st_place_text(), WRONG[i].place);
        assert_null(strstr(st_message(), "2000"));
    }
}

static void the_place_is_under_the_pointer_that_was_given(void **state)
{
    unsigned char out[STORE_KEY_BYTES];
    json_t *json = kit_json("{\"first_name\":\"a\",\"dob\":\"x\",\"ssn_last4\":\"1\"}");

    (void)state;
    assert_int_equal(store_hasher_sum_json(out, hasher, json, "/keys/3"), ST_INVALID);
    assert_string_equal(st_place_text(), "/keys/3/dob");
    json_decref(json);
    json = json_string("no object");
    assert_int_equal(store_hasher_sum_json(out, hasher, json, "/keys/4"), ST_INVALID);
    assert_string_equal(st_place_text(), "/keys/4");
    json_decref(json);
    assert_int_equal(store_hasher_sum_json(out, hasher, NULL, "/key"), ST_INVALID);
    struct store_text fields[] = {{"a", 1}, {NULL, 0}, {"1", 1}};
    assert_int_equal(store_hasher_sum(out, hasher, fields), ST_INVALID);
    assert_string_equal(st_place_text(), "/key/dob");
}

static void integers_are_taken_in_decimal(void **state)
{
    unsigned char a[STORE_KEY_BYTES], b[STORE_KEY_BYTES];

    (void)state;
    assert_int_equal(sum(a, "{\"first_name\":\"a\",\"dob\":\"2000-01-01\",\"ssn_last4\":4711}"),
                     ST_OK);
    assert_int_equal(sum(b, "{\"ssn_last4\":\"4711\",\"first_name\":\"A\",\"dob\":\"2000-01-01\"}"),
                     ST_OK);
    assert_memory_equal(a, b, STORE_KEY_BYTES);
}

static void a_protected_key_needs_its_secret(void **state)
{
    struct store_hasher *h = (void *)1;

    (void)state;
    assert_int_equal(store_hasher_new(&h, &lifeline->key, "lifeline", NULL), ST_INVALID);
    assert_null(h);
    store_hasher_free(NULL);
}

static void the_check_value_changes_with_key_dataset_and_normalizer(void **state)
{
    unsigned char a[STORE_KEY_BYTES], b[STORE_KEY_BYTES];
    struct store_key_spec spec = lifeline->key;
    struct store_hasher *other;
    struct secret wrong;

    (void)state;
    assert_int_equal(store_hasher_check_value(a, hasher), ST_OK);
    assert_int_equal(store_hasher_check_value(b, hasher), ST_OK);
    assert_memory_equal(a, b, STORE_KEY_BYTES);

    assert_int_equal(secret_random(&wrong, 32), ST_OK);
    assert_int_equal(store_hasher_new(&other, &spec, "lifeline", &wrong), ST_OK);
    assert_int_equal(store_hasher_check_value(b, other), ST_OK);
    assert_memory_not_equal(a, b, STORE_KEY_BYTES);
    store_hasher_free(other);
    secret_release(&wrong);

    spec.fields[0].normalizer = store_normalizer_find("exact");
    assert_int_equal(store_hasher_new(&other, &spec, "lifeline", &key), ST_OK);
    assert_int_equal(store_hasher_check_value(b, other), ST_OK);
    assert_memory_not_equal(a, b, STORE_KEY_BYTES);
    store_hasher_free(other);
}

static void sixteen_of_the_longest_fields_fit(void **state)
{
    struct store_key_spec spec = {.field_count = STORE_KEY_FIELDS_MAX,
                                  .protect = STORE_PROTECT_NONE};
    struct store_text fields[STORE_KEY_FIELDS_MAX];
    unsigned char out[STORE_KEY_BYTES];
    struct store_hasher *h;
    char text[1023];

    (void)state;
    for (size_t i = 0; i < sizeof text; i += 3)
        memcpy(text + i, "\xef\xb7\xba", 3); /* one character that decomposes to eighteen */
    for (int i = 0; i < STORE_KEY_FIELDS_MAX; i++) {
        snprintf(spec.fields[i].name, STORE_NAME_SIZE, "field_%d", i);
        spec.fields[i].normalizer = store_normalizer_find("person_name");
        fields[i] = (struct store_text){text, sizeof text};
    }
    assert_int_equal(store_hasher_new(&h, &spec, "d", NULL), ST_OK);
    assert_int_equal(store_hasher_sum(out, h, fields), ST_OK);
    store_hasher_free(h);
}

static int set_up(void **state)
{
    unsigned char bytes[32];

    (void)state;
    for (unsigned char i = 0; i < sizeof bytes; i++)
        bytes[i] = i;
    lifeline = kit_definition(KIT_LIFELINE);
    flights = kit_definition(FLIGHTS);
    return secret_copy(&key, bytes, sizeof bytes) ||
           store_hasher_new(&hasher, &lifeline->key, "lifeline", &key) ||
           store_hasher_new(&open_hasher, &flights->key, "flights", NULL);
}

static int tear_down(void **state)
{
    (void)state;
    store_hasher_free(hasher);
    store_hasher_free(open_hasher);
    secret_release(&key);
    store_definition_free(lifeline);
    store_definition_free(flights);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_what_the_drawing_says),
        cmocka_unit_test(a_hasher_can_be_used_again_after_a_failure),
        cmocka_unit_test(every_part_of_the_encoding_counts),
        cmocka_unit_test(where_one_field_ends_and_the_next_begins_counts),
        cmocka_unit_test(keys_that_are_summed_at_once_are_the_same),
        cmocka_unit_test(a_base_says_which_fields_are_guessed),
        cmocka_unit_test(a_wrong_key_says_which_field),
        cmocka_unit_test(the_place_is_under_the_pointer_that_was_given),
        cmocka_unit_test(integers_are_taken_in_decimal),
        cmocka_unit_test(a_protected_key_needs_its_secret),
        cmocka_unit_test(the_check_value_changes_with_key_dataset_and_normalizer),
        cmocka_unit_test(sixteen_of_the_longest_fields_fit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

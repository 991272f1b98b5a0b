#include "auth_kit.h"

#include "auth/base64url.h"

static bool decodes(const char *text, size_t len)
{
    unsigned char out[64];
    size_t n = 99;
    bool ok = auth_base64url_decode(out, sizeof out, &n, text, len);

    if (!ok)
        assert_int_equal(n, 0);
    return ok;
}

static void every_length_and_byte_survives(void **state)
{
    unsigned char in[256], out[256];
    (void)state;
    for (unsigned i = 0; i < 256; i++)
        in[i] = (unsigned char)(i * 167 + 13);
    for (size_t len = 0; len <= sizeof in; len++) {
        struct buf text = {0};
        size_t n = 0;
        buf_init(&text, 1024);
        auth_base64url_encode(&text, in, len);
        assert_true(auth_base64url_decode(out, len, &n, text.data ? text.data : "", text.len));
        assert_int_equal(n, len);
        assert_memory_equal(out, in, len);
        buf_release(&text);
    }
}

static void rfc_4648_vectors_and_rfc_7515_appendix_c(void **state)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {{"f", "Zg"},
                {"fo", "Zm8"},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg"},
                {"fooba", "Zm9vYmE"},
                {"foobar", "Zm9vYmFy"},
                {"\x03\xec\xff\xe0\xc1", "A-z_4ME"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf text = {0};
        unsigned char out[16];
        size_t n = 0;
        buf_init(&text, 64);
        auth_base64url_encode(&text, rows[i].bytes, strlen(rows[i].bytes));
        assert_string_equal(text.data, rows[i].text);
        assert_true(auth_base64url_decode(out, sizeof out, &n, rows[i].text, text.len));
        assert_int_equal(n, strlen(rows[i].bytes));
        assert_memory_equal(out, rows[i].bytes, n);
        buf_release(&text);
    }
}

static void only_the_64_characters_are_read(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (void)state;
    for (int c = 0; c < 256; c++)
        for (size_t at = 0; at < 4; at++) {
            char text[4] = {'A', 'A', 'A', 'A'};
            text[at] = (char)c;
            bool known = c != 0 && strchr(alphabet, c) != NULL;
            assert_int_equal(decodes(text, 4), known);
        }
}

static void padding_and_impossible_lengths_are_refused(void **state)
{
    static const char *const texts[] = {"A",    "AAAAA", "Zg==",  "Zm8=",   "Zg=",   "=",
                                        "====", "Zm9v=", "AA AA", "AA\nAA", "AAAA\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(decodes(texts[i], strlen(texts[i])));
    assert_false(decodes("AAAA\0", 5));
    assert_true(decodes("", 0));
}

static void one_text_for_one_value(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned two = 0, three = 0;
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        char text[] = {'A', 'A', alphabet[i]};
        two += decodes(text + 1, 2);
        three += decodes(text, 3);
    }
    assert_int_equal(two, 4);    /* 6 bits of which 4 must be zero */
    assert_int_equal(three, 16); /* 6 bits of which 2 must be zero */
}

static void what_does_not_fit_is_refused(void **state)
{
    unsigned char out[3] = {7, 7, 7};
    size_t n = 99;
    (void)state;
    assert_false(auth_base64url_decode(out, 2, &n, "AAAA", 4));
    assert_int_equal(n, 0);
    assert_int_equal(out[2], 7);
    assert_true(auth_base64url_decode(out, 3, &n, "AAAA", 4));
    assert_int_equal(n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_and_byte_survives),
        cmocka_unit_test(rfc_4648_vectors_and_rfc_7515_appendix_c),
        cmocka_unit_test(only_the_64_characters_are_read),
        cmocka_unit_test(padding_and_impossible_lengths_are_refused),
        cmocka_unit_test(one_text_for_one_value),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

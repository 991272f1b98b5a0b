#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void digests_equal_the_published_vectors(void **state)
{
    unsigned char sum[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    struct digest_hmac *h = NULL;
    struct secret key = {0};

    (void)state;
    digest_sha256(sum, "abc", 3);
    digest_hex(hex, sum, sizeof sum);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(secret_copy(&key, "Jefe", 4), ST_OK);
    assert_int_equal(digest_hmac_new(&h, &key), ST_OK);
    for (int i = 0; i < 2; i++) { /* RFC 4231, case 2; the second sum starts afresh */
        digest_hmac_sum(sum, h, "what do ya want for nothing?", 28);
        digest_hex(hex, sum, sizeof sum);
        assert_string_equal(hex,
                            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
    digest_hmac_free(h);
    secret_release(&key);
    assert_null(key.bytes);
    secret_release(&key);
}

/* RFC 2104 as it is written; blocks and their padding end at every place. */
/* By OpenSSL's own padding. */
static void reference(unsigned char out[DIGEST_BYTES], const void *bytes, size_t len)
{
    struct digest_stream *s = NULL;

    assert_int_equal(digest_stream_new(&s), ST_OK);
    assert_int_equal(digest_stream_add(s, bytes, len), ST_OK);
    assert_int_equal(digest_stream_sum(out, s), ST_OK);
    digest_stream_free(s);
}

static void sums_are_right_for_every_length(void **state)
{
    unsigned char message[64 + 300], outer[64 + DIGEST_BYTES], chained[DIGEST_BYTES + 300];
    unsigned char sum[DIGEST_BYTES], expected[DIGEST_BYTES];
    struct digest_hmac *h = NULL;
    struct secret key = {0};

    (void)state;
    assert_int_equal(secret_copy(&key, "0123456789abcdef0123456789abcdef", 32), ST_OK);
    assert_int_equal(digest_hmac_new(&h, &key), ST_OK);
    for (size_t i = 0; i < 64; i++) {
        unsigned char k = i < key.len ? key.bytes[i] : 0;
        message[i] = k ^ 0x36;
        outer[i] = k ^ 0x5c;
    }
    for (size_t i = 64; i < sizeof message; i++)
        message[i] = (unsigned char)(i * 7);
    for (size_t len = 0; len <= 300; len++) {
        reference(expected, message + 64, len);
        digest_sha256(sum, message + 64, len);
        assert_memory_equal(sum, expected, sizeof sum);

        reference(outer + 64, message, 64 + len);
        reference(expected, outer, sizeof outer);
        digest_hmac_sum(sum, h, message + 64, len);
        assert_memory_equal(sum, expected, sizeof sum);

        memcpy(chained, sum, sizeof sum);
        memcpy(chained + sizeof sum, message + 64, len);
        reference(expected, chained, sizeof sum + len);
        digest_chain(sum, message + 64, len);
        assert_memory_equal(sum, expected, sizeof sum);
    }
    digest_hmac_free(h);
    secret_release(&key);
}

/* Bursts of every size, and messages of every length that meet the block's end; an empty one too.
 */
static void many_sums_are_those_of_one_after_another(void **state)
{
    static unsigned char sums[DIGEST_MANY][DIGEST_BYTES];
    struct digest_message messages[DIGEST_MANY];
    unsigned char text[400], expected[DIGEST_BYTES];
    struct digest_many *many = NULL;
    struct digest_hmac *h = NULL;
    struct secret key = {0};

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 7);
    assert_int_equal(secret_copy(&key, "0123456789abcdef0123456789abcdef", 32), ST_OK);
    assert_int_equal(digest_hmac_new(&h, &key), ST_OK);
    assert_int_equal(digest_many_new(&many, h), ST_OK);
    for (size_t count = 0; count <= DIGEST_MANY; count++) {
        for (size_t i = 0; i < count; i++)
            messages[i] = (struct digest_message){
                text + i % 3, count == 1 ? 0 : 1 + (i * 5 + count * 3) % 300, sums[i]};
        digest_many_sum(many, messages, count);
        for (size_t i = 0; i < count; i++) {
            digest_hmac_sum(expected, h, messages[i].bytes, messages[i].len);
            assert_memory_equal(sums[i], expected, DIGEST_BYTES);
        }
    }
    digest_many_free(many);
    digest_hmac_free(h);
    secret_release(&key);
}

static void every_byte_has_its_two_digits_wherever_it_stands(void **state)
{
    unsigned char bytes[7];
    char hex[2 * sizeof bytes + 1], expected[sizeof hex];

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < sizeof bytes; at++) {
            memset(bytes, (int)(0xff - byte), sizeof bytes);
            bytes[at] = (unsigned char)byte;
            for (size_t i = 0; i < sizeof bytes; i++)
                snprintf(expected + 2 * i, 3, "%02x", bytes[i]);
            digest_hex(hex, bytes, sizeof bytes);
            assert_string_equal(hex, expected);
        }
}

static void only_exact_lower_case_hex_is_read(void **state)
{
    unsigned char out[2];

    (void)state;
    assert_int_equal(digest_unhex(out, 2, "00ff"), ST_OK);
    assert_memory_equal(out, "\x00\xff", 2);
    assert_int_equal(digest_unhex(out, 2, "00fF"), ST_INVALID);
    assert_int_equal(digest_unhex(out, 2, "00f"), ST_INVALID);
    assert_int_equal(digest_unhex(out, 2, "00ff0"), ST_INVALID);
    assert_int_equal(digest_unhex(out, 2, "00fg"), ST_INVALID);
}

static void secrets_compare_by_every_byte(void **state)
{
    (void)state;
    assert_true(secret_equal("abcd", "abcd", 4));
    assert_false(secret_equal("abcd", "abce", 4));
    assert_false(secret_equal("abcd", "bbcd", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_equal_the_published_vectors),
        cmocka_unit_test(sums_are_right_for_every_length),
        cmocka_unit_test(many_sums_are_those_of_one_after_another),
        cmocka_unit_test(every_byte_has_its_two_digits_wherever_it_stands),
        cmocka_unit_test(only_exact_lower_case_hex_is_read),
        cmocka_unit_test(secrets_compare_by_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Four keys of one tenant, and tokens that are right but for one thing. For the tests of
 * auth/jws.h; each program that includes it gets keys of its own. */
#ifndef EVERLINE_TESTS_AUTH_JWS_KIT_H
#define EVERLINE_TESTS_AUTH_JWS_KIT_H

#include "auth_kit.h"

#include "auth/jws.h"

enum { RS, ES, ED, HS, ALGORITHMS };

static const char *const algorithm_names[ALGORITHMS] = {"RS256", "ES256", "EdDSA", "HS256"};
static const char *const key_files[ALGORITHMS] = {"rs.RS256.pem", "es.ES256.pem", "ed.EdDSA.pem",
                                                  "hs.HS256.secret"};
static const char *const kids[ALGORITHMS] = {"rs", "es", "ed", "hs"};
static const char payload[] = "{\"sub\":\"x\"}";

static char directory[64];
static struct auth_keyset *keys;
static struct kit_signer signers[ALGORITHMS];

static inline int set_up(void **state)
{
    (void)state;
    kit_directory(directory);
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    kit_write_private(directory, key_files[RS], rsa, NULL, NULL);
    EVP_PKEY_free(rsa);
    for (int i = ES; i < ALGORITHMS; i++)
        assert_int_equal(auth_key_generate(directory, kids[i], algorithm_names[i]), ST_OK);
    assert_int_equal(auth_keyset_new(&keys), ST_OK);
    assert_int_equal(auth_keyset_load(keys, "dev", directory, NULL), ST_OK);
    for (int i = 0; i < ALGORITHMS; i++)
        kit_signer_open(&signers[i], "dev", directory, key_files[i]);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++)
        kit_signer_close(&signers[i]);
    auth_keyset_free(keys);
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

static inline void assert_accepted(const char *token, size_t len)
{
    struct auth_jws jws;
    enum st st = auth_jws_verify(&jws, keys, token, len);

    if (st)
        fail_msg("refused: %s", st_message());
    assert_non_null(jws.key);
    assert_int_equal(jws.payload[jws.payload_len], 0);
}

static inline void assert_refused(const char *token, size_t len)
{
    struct auth_jws jws;

    memset(&jws, 0x55, sizeof jws);
    enum st st = auth_jws_verify(&jws, keys, token, len);
    if (st != ST_UNKNOWN_CALLER)
        fail_msg("status %d for %.*s", st, (int)len, token);
    assert_null(jws.key);
    assert_int_equal(jws.payload_len, 0);
    assert_int_equal(jws.payload[0], 0);
    assert_true(st_message()[0] != '\0');
}

/* A correctly signed token with this header. */
static inline void check_header_bytes(int signer, const char *header, size_t len, bool accepted)
{
    struct buf token = {0};

    kit_forge(&token, &signers[signer], header, len, payload, strlen(payload));
    if (accepted)
        assert_accepted(token.data, token.len);
    else
        assert_refused(token.data, token.len);
    buf_release(&token);
}

static inline void check_header(int signer, const char *header, bool accepted)
{
    check_header_bytes(signer, header, strlen(header), accepted);
}

static inline void good_token(struct buf *token, int signer)
{
    char header[128];

    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
             algorithm_names[signer], kids[signer]);
    kit_forge_text(token, &signers[signer], header, payload);
}

#endif

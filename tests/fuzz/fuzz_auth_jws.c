/* Tokens from nobody. Three readings of the input: as a whole token; as header, newline, payload
 * under a signature that is right, so that the parsers behind the signature are reached; and as
 * claims alone under a sound header. Whoever gets in must be the one tenant there is. */
#include "auth/base64url.h"
#include "auth/keyset.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/fs.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "!fuzzing needs a fixed secret..." /* 32 bytes; '!' keeps it from being hex */
#define HEADER "{\"alg\":\"HS256\",\"kid\":\"k\"}"
#define NOW 1800000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct auth_keyset *keys;

static void require(bool held)
{
    if (!held)
        abort();
}

static void load_keys(void)
{
    char directory[] = "/tmp/everline-fuzz-XXXXXX", path[FS_PATH_MAX];

    require(mkdtemp(directory) != NULL);
    require(fs_path(path, "%s/k.HS256.secret", directory) == ST_OK);
    require(fs_write_new(path, SECRET, strlen(SECRET), 0600) == ST_OK);
    require(auth_keyset_new(&keys) == ST_OK);
    require(auth_keyset_load(keys, "fuzz", directory, NULL) == ST_OK);
    require(fs_remove_tree(directory) == ST_OK);
}

static bool policy(struct auth_policy *out, const char *tenant, void *ctx)
{
    (void)ctx;
    out->enabled = true;
    out->issuer = "i";
    out->audience = "a";
    return strcmp(tenant, "fuzz") == 0;
}

static void verify(const char *token, size_t len)
{
    struct auth_jws jws;
    struct auth_identity id;
    bool genuine = auth_jws_verify(&jws, keys, token, len) == ST_OK;

    require(genuine == (jws.key != NULL));
    require(jws.payload_len < sizeof jws.payload && jws.payload[jws.payload_len] == 0);
    if (auth_token_verify(&id, keys, token, len, NOW, policy, NULL) == ST_OK) {
        require(genuine);
        require(strcmp(id.tenant, "fuzz") == 0 && strcmp(id.kid, "k") == 0);
        require(id.expires_s > NOW - AUTH_SKEW_S);
        require(id.dataset_count <= AUTH_DATASETS_MAX);
    } else {
        require(id.tenant[0] == '\0' && id.scopes == 0);
    }
}

static void verify_signed(const char *header, size_t header_len, const char *payload,
                          size_t payload_len)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    struct buf token = {0};

    buf_init(&token, 2 * AUTH_TOKEN_MAX);
    auth_base64url_encode(&token, header, header_len);
    buf_addch(&token, '.');
    auth_base64url_encode(&token, payload, payload_len);
    if (buf_status(&token) == ST_OK) {
        require(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (unsigned char *)token.data,
                     token.len, mac, &mac_len) != NULL);
        buf_addch(&token, '.');
        auth_base64url_encode(&token, mac, mac_len);
        if (buf_status(&token) == ST_OK)
            verify(token.data, token.len);
    }
    buf_release(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Of its own size, so that a read beyond the end is seen. */
    char *text = malloc(size ? size : 1);

    if (!keys)
        load_keys();
    require(text != NULL);
    memcpy(text, data, size);
    verify(text, size);
    verify_signed(HEADER, strlen(HEADER), text, size);
    const char *newline = memchr(text, '\n', size);
    if (newline)
        verify_signed(text, (size_t)(newline - text), newline + 1,
                      size - (size_t)(newline + 1 - text));
    free(text);
    return 0;
}

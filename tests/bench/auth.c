/* What a token costs: known from the cache, and verified, beside OpenSSL's own verification of the
 * same signature with a key that is parsed already. Rounds take turns; medians of processor time.
 * usage: bench_auth [rounds] */
#include "auth/base64url.h"
#include "auth/cache.h"
#include "auth/crypto.h"
#include "auth/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 101
#define NOW_S 1800000000

static struct auth_keyset *keys;
static struct auth_cache *cache;
static char token[AUTH_TOKEN_MAX];
static size_t token_len, signed_len, signature_len;
static unsigned char signature[1024];
static const struct auth_key *key;

static void require(bool held)
{
    if (!held) {
        fprintf(stderr, "bench_auth: %s\n", st_message());
        exit(1);
    }
}

static bool policy(struct auth_policy *out, const char *tenant, void *ctx)
{
    (void)tenant, (void)ctx;
    *out = (struct auth_policy){true, "everline", "everline"};
    return true;
}

static void verify(void)
{
    struct auth_identity id;

    require(auth_token_verify(&id, keys, token, token_len, NOW_S, policy, NULL) == ST_OK);
}

static void find(void)
{
    struct auth_identity id;

    require(auth_cache_find(&id, cache, 1, token, token_len, NOW_S));
}

/* As little as can be done: nothing is parsed, the signature is there in OpenSSL's own form. */
static void openssl(void)
{
    unsigned char der[AUTH_ECDSA_DER_MAX];
    const unsigned char *sig = signature;
    size_t len = signature_len;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (key->alg->group) {
        len = auth_ecdsa_der(der, signature, key->order_len);
        sig = der;
    }
    require(EVP_DigestVerifyInit_ex(ctx, NULL, key->alg->digest, NULL, NULL, key->public_key,
                                    NULL) == 1 &&
            EVP_DigestVerify(ctx, sig, len, (const unsigned char *)token, signed_len) == 1);
    EVP_MD_CTX_free(ctx);
}

static double cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double once(void (*fn)(void), unsigned times)
{
    double start = cpu_us();

    for (unsigned i = 0; i < times; i++)
        fn();
    return (cpu_us() - start) / times;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, ascending);
    return values[count / 2];
}

static void make_token(const char *directory, const char *alg)
{
    const struct auth_mint claims = {.tenant = "dev",
                                     .issuer = "everline",
                                     .audience = "everline",
                                     .subject = "bench",
                                     .scopes = AUTH_DATA_READ | AUTH_ANALYTICS_READ,
                                     .now_s = NOW_S,
                                     .ttl_s = 3600};
    struct auth_identity id;
    struct buf text;

    buf_init(&text, AUTH_TOKEN_MAX);
    require(auth_key_generate(directory, alg, alg) == ST_OK);
    require(auth_keyset_new(&keys) == ST_OK &&
            auth_keyset_load(keys, "dev", directory, NULL) == ST_OK);
    require(auth_token_mint(&text, directory, alg, &claims) == ST_OK);
    memcpy(token, text.data, text.len);
    token_len = text.len;
    buf_release(&text);

    const char *dot = memrchr(token, '.', token_len);
    signed_len = (size_t)(dot - token);
    require(auth_base64url_decode(signature, sizeof signature, &signature_len, dot + 1,
                                  token_len - signed_len - 1));
    key = auth_keyset_find(keys, alg, strlen(alg));
    require(auth_token_verify(&id, keys, token, token_len, NOW_S, policy, NULL) == ST_OK);
    auth_cache_put(cache, 1, token, token_len, &id);
}

int main(int argc, char **argv)
{
    static const char *const ALGORITHMS[] = {"RS256", "ES256", "EdDSA"};
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 15;
    double times[3][ROUNDS_MAX];

    if (rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    require(auth_cache_new(&cache, 1u << 20) == ST_OK);
    printf("%-8s %6s %12s %12s %8s %12s\n", "", "bytes", "verified us", "OpenSSL us", "ratio",
           "cached us");
    for (size_t a = 0; a < sizeof ALGORITHMS / sizeof ALGORITHMS[0]; a++) {
        char directory[] = "/tmp/everline-bench-XXXXXX", path[256];

        require(mkdtemp(directory) != NULL);
        make_token(directory, ALGORITHMS[a]);
        for (unsigned i = 0; i < rounds; i++) {
            times[0][i] = once(verify, 500);
            times[1][i] = once(openssl, 500);
            times[2][i] = once(find, 100000);
        }
        double verified = median(times[0], rounds), direct = median(times[1], rounds);
        printf("%-8s %6zu %12.2f %12.2f %8.2f %12.3f\n", ALGORITHMS[a], token_len, verified, direct,
               verified / direct, median(times[2], rounds));
        snprintf(path, sizeof path, "%s/%s.%s.pem", directory, ALGORITHMS[a], ALGORITHMS[a]);
        unlink(path);
        rmdir(directory);
        auth_keyset_free(keys);
    }
    auth_cache_free(cache);
    return 0;
}

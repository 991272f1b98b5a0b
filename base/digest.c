#include "base/digest.h"

#include "base/word.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_FILE_MAX 4096
#define CHUNK_BYTES (1u << 20)
#define CHUNK_ALIGNMENT 4096 /* of memory that O_DIRECT reads into */

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256; /* fetched once: a lookup by name costs more than a short digest */

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static enum st crypto_failed(const char *what)
{
    return st_fail(ST_NOMEM, "CRYPTO", "%s failed in the cryptographic library", what);
}

static enum st fetched(void)
{
    pthread_once(&fetch_once, fetch);
    return sha256 ? ST_OK : crypto_failed("fetching SHA-256");
}

enum st secret_copy(struct secret *out, const void *bytes, size_t len)
{
    out->bytes = malloc(len ? len : 1);
    if (!out->bytes) {
        out->len = 0;
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    if (len)
        memcpy(out->bytes, bytes, len);
    out->len = len;
    return ST_OK;
}

void secret_release(struct secret *s)
{
    if (!s)
        return;
    if (s->bytes)
        OPENSSL_cleanse(s->bytes, s->len);
    free(s->bytes);
    *s = (struct secret){0};
}

/* Eight bytes at a time: CRYPTO_memcmp takes them one by one, which for a token of 600 bytes is
 * 2,500 instructions of a lookup's 40,000. The barrier keeps the compiler from an early end. */
bool secret_equal(const void *a, const void *b, size_t len)
{
    const unsigned char *x = a, *y = b;
    size_t whole = len & ~(size_t)7;
    uint64_t differ = 0, left, right;

    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&left, x + i, 8);
        memcpy(&right, y + i, 8);
        differ |= left ^ right;
        __asm__ volatile("" : "+r"(differ));
    }
    return (CRYPTO_memcmp(x + whole, y + whole, len - whole) | (differ != 0)) == 0;
}

void secret_wipe(void *bytes, size_t len)
{
    OPENSSL_cleanse(bytes, len);
}

enum st digest_random(void *out, size_t len)
{
    return len <= INT32_MAX && RAND_bytes(out, (int)len) == 1 ? ST_OK : crypto_failed("RAND_bytes");
}

enum st secret_random(struct secret *out, size_t len)
{
    unsigned char bytes[KEY_FILE_MAX];

    *out = (struct secret){0};
    if (len > sizeof bytes)
        return st_fail(ST_TOO_LARGE, NULL, "a secret has at most %d bytes", KEY_FILE_MAX);
    enum st st = digest_random(bytes, len);
    if (!st)
        st = secret_copy(out, bytes, len);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return st;
}

/* Reads up to `size` bytes; *len < size afterwards means the end was reached. */
static enum st read_up_to(int fd, unsigned char *bytes, size_t size, size_t *len)
{
    *len = 0;
    while (*len < size) {
        ssize_t n = read(fd, bytes + *len, size - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return st_fail_errno(errno, "reading");
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    return ST_OK;
}

static bool is_hex(const unsigned char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr("0123456789abcdef", text[i]) || !text[i])
            return false;
    return len > 0 && len % 2 == 0;
}

enum st secret_read_file(struct secret *out, const char *path)
{
    unsigned char text[KEY_FILE_MAX + 1], raw[KEY_FILE_MAX / 2];
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum st st;

    *out = (struct secret){0};
    if (fd < 0)
        return st_fail_errno(errno, "%s", path);
    st = read_up_to(fd, text, sizeof text, &len);
    close(fd);
    if (!st && len > KEY_FILE_MAX)
        st = st_fail(ST_TOO_LARGE, NULL, "%s: a key file has at most %d bytes", path, KEY_FILE_MAX);
    if (st)
        goto done;
    size_t digits = len > 0 && text[len - 1] == '\n' ? len - 1 : len;
    if (is_hex(text, digits)) {
        text[digits] = '\0';
        st = digest_unhex(raw, digits / 2, (const char *)text);
        if (!st)
            st = secret_copy(out, raw, digits / 2);
    } else {
        st = secret_copy(out, text, len);
    }
done:
    OPENSSL_cleanse(text, sizeof text);
    OPENSSL_cleanse(raw, sizeof raw);
    return st;
}

struct digest_stream {
    EVP_MD_CTX *md;
};

enum st digest_file(unsigned char out[DIGEST_BYTES], uint64_t *size, int fd)
{
    return digest_file_told(out, size, fd, NULL, NULL);
}

enum st digest_file_told(unsigned char out[DIGEST_BYTES], uint64_t *size, int fd,
                         digest_tell_fn tell_fn, void *ctx)
{
    struct digest_stream *stream = NULL;
    unsigned char *chunk = aligned_alloc(CHUNK_ALIGNMENT, CHUNK_BYTES);
    off_t at = 0;
    enum st st = chunk ? digest_stream_new(&stream) : st_fail(ST_NOMEM, NULL, "out of memory");

    while (!st) {
        ssize_t n = pread(fd, chunk, CHUNK_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;
        if (n < 0) {
            st = st_fail_errno(errno, "reading a file to hash it");
            break;
        }
        st = digest_stream_add(stream, chunk, (size_t)n);
        at += n;
        if (!st && tell_fn)
            st = tell_fn((uint64_t)at, ctx);
    }
    if (!st)
        st = digest_stream_sum(out, stream);
    *size = (uint64_t)at;
    digest_stream_free(stream);
    free(chunk);
    return st;
}

enum st digest_stream_new(struct digest_stream **out)
{
    enum st st = fetched();
    struct digest_stream *s = st ? NULL : calloc(1, sizeof *s);

    *out = NULL;
    if (st)
        return st;
    if (s)
        s->md = EVP_MD_CTX_new();
    if (!s || !s->md || EVP_DigestInit_ex(s->md, sha256, NULL) != 1) {
        digest_stream_free(s);
        return crypto_failed("SHA-256");
    }
    *out = s;
    return ST_OK;
}

void digest_stream_free(struct digest_stream *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->md);
    free(s);
}

enum st digest_stream_add(struct digest_stream *s, const void *bytes, size_t len)
{
    return EVP_DigestUpdate(s->md, bytes, len) == 1 ? ST_OK : crypto_failed("SHA-256");
}

enum st digest_stream_sum(unsigned char out[DIGEST_BYTES], struct digest_stream *s)
{
    return EVP_DigestFinal_ex(s->md, out, NULL) == 1 ? ST_OK : crypto_failed("SHA-256");
}

void digest_base64(char *out, const void *bytes, size_t len)
{
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

/* The digits of four bytes: each half of a byte gets a byte, and 'a' - '9' - 1 more where it is
 * over nine. */
static uint64_t hex_word(const unsigned char *u)
{
    uint64_t w = u[0] | (uint64_t)u[1] << 16 | (uint64_t)u[2] << 32 | (uint64_t)u[3] << 48;

    w = (w >> 4 | w << 8) & WORD_OF(0x0fu);
    return w + WORD_OF('0') + ((w + WORD_OF(6u)) >> 4 & WORD_OF(1u)) * ('a' - '9' - 1);
}

void digest_hex(char *out, const void *bytes, size_t len)
{
    static const char DIGITS[] = "0123456789abcdef";
    const unsigned char *u = bytes;
    size_t i = 0;

    for (; i + 4 <= len; i += 4)
        word_store(out + 2 * i, hex_word(u + i));
    for (; i < len; i++) {
        out[2 * i] = DIGITS[u[i] >> 4];
        out[2 * i + 1] = DIGITS[u[i] & 15];
    }
    out[2 * len] = '\0';
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum st digest_unhex(void *out, size_t len, const char *hex)
{
    unsigned char *u = out;

    if (strlen(hex) != 2 * len)
        return st_fail(ST_INVALID, NULL, "%zu lower-case hexadecimal digits expected", 2 * len);
    for (size_t i = 0; i < len; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return st_fail(ST_INVALID, NULL, "%zu lower-case hexadecimal digits expected", 2 * len);
        u[i] = (unsigned char)(high << 4 | low);
    }
    return ST_OK;
}

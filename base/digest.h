/* SHA-256, HMAC-SHA-256, HKDF, random bytes, hex, and the type of a secret. With base/cipher the
 * only place besides auth/ that includes openssl/. Digests are fetched once per process. */
#ifndef EVERLINE_BASE_DIGEST_H
#define EVERLINE_BASE_DIGEST_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32
#define DIGEST_HEX_SIZE 65 /* with the NUL */

/* A secret has its own type, so that a log call with one does not compile. Wiped by release. */
struct secret {
    unsigned char *bytes;
    size_t len;
};
enum st secret_copy(struct secret *out, const void *bytes, size_t len) ST_MUST_USE;
void secret_release(struct secret *s);
bool secret_equal(const void *a, const void *b, size_t len); /* constant time */
void secret_wipe(void *bytes, size_t len);

/* A random secret of `len` bytes (RAND_bytes). */
enum st secret_random(struct secret *out, size_t len) ST_MUST_USE;

/* Reads a key file: lower-case hex with an optional newline, or raw bytes when it is not hex.
 * At most 4096 bytes. */
enum st secret_read_file(struct secret *out, const char *path) ST_MUST_USE;

void digest_sha256(unsigned char out[DIGEST_BYTES], const void *bytes, size_t len);

/* SHA-256 of a whole file read through `fd` from offset 0; *size is its length in bytes. */
enum st digest_file(unsigned char out[DIGEST_BYTES], uint64_t *size, int fd) ST_MUST_USE;
/* The same; `tell_fn` hears of every piece that was read, and an error from it ends the reading. */
typedef enum st (*digest_tell_fn)(uint64_t bytes, void *ctx);
enum st digest_file_told(unsigned char out[DIGEST_BYTES], uint64_t *size, int fd,
                         digest_tell_fn tell_fn, void *ctx) ST_MUST_USE;

/* SHA-256 of bytes that come in pieces; summed once. */
struct digest_stream;
enum st digest_stream_new(struct digest_stream **out) ST_MUST_USE;
void digest_stream_free(struct digest_stream *s);
enum st digest_stream_add(struct digest_stream *s, const void *bytes, size_t len) ST_MUST_USE;
enum st digest_stream_sum(unsigned char out[DIGEST_BYTES], struct digest_stream *s) ST_MUST_USE;

/* The next hash of a chain: `hash` becomes the SHA-256 of itself and of what follows it. */
void digest_chain(unsigned char hash[DIGEST_BYTES], const void *bytes, size_t len);

/* One keyed HMAC-SHA-256, precomputed. A sum does not change it: threads may share it. */
struct digest_hmac;
enum st digest_hmac_new(struct digest_hmac **out, const struct secret *key) ST_MUST_USE;
void digest_hmac_free(struct digest_hmac *h);
void digest_hmac_sum(unsigned char out[DIGEST_BYTES], const struct digest_hmac *h,
                     const void *bytes, size_t len);

/* The same for up to DIGEST_MANY messages at once, in half the time. One per thread; `hmac` is
 * borrowed until _free. */
#define DIGEST_MANY 128
struct digest_message {
    const void *bytes;
    size_t len;
    unsigned char *out; /* DIGEST_BYTES; its bytes may not be another's `bytes` */
};
struct digest_many;
enum st digest_many_new(struct digest_many **out, const struct digest_hmac *hmac) ST_MUST_USE;
void digest_many_free(struct digest_many *m);
void digest_many_sum(struct digest_many *m, const struct digest_message *messages, size_t count);

/* A key of DIGEST_BYTES for one use, from a longer-lived one: HKDF with SHA-256 (RFC 5869), without
 * salt, `info` names the use. */
enum st digest_hkdf(struct secret *out, const struct secret *key, const char *info) ST_MUST_USE;

enum st digest_random(void *out, size_t len) ST_MUST_USE;

/* Standard base64 with padding (RFC 4648 section 4); `out` takes (len + 2) / 3 * 4 + 1 bytes. */
void digest_base64(char *out, const void *bytes, size_t len);

/* `out` takes 2 * len + 1 bytes. */
void digest_hex(char *out, const void *bytes, size_t len);
/* Exactly 2 * len lower-case hex digits; ST_INVALID otherwise. */
enum st digest_unhex(void *out, size_t len, const char *hex) ST_MUST_USE;

#endif

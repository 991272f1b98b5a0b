/* AES-256-GCM for bytes that leave memory for a while and come back to the same process: the key is
 * made here, is never told, and is gone with the struct. */
#ifndef EVERLINE_BASE_CIPHER_H
#define EVERLINE_BASE_CIPHER_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define CIPHER_TAG_BYTES 16

/* May be used by several threads at once. */
struct cipher;
enum st cipher_new(struct cipher **out) ST_MUST_USE;
void cipher_free(struct cipher *c); /* wipes the key */

/* In place: `len` bytes, and the tag of CIPHER_TAG_BYTES behind them. No two calls with the same
 * number (NIST SP 800-38D section 8). */
enum st cipher_seal(const struct cipher *c, void *bytes, size_t len, uint64_t number) ST_MUST_USE;
/* Back again. ST_CORRUPT, code CIPHER_TAG, when these are not the bytes that were sealed under this
 * number. */
enum st cipher_open(const struct cipher *c, void *bytes, size_t len, uint64_t number) ST_MUST_USE;

#endif

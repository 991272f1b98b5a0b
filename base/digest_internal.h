/* What the files about short texts share. */
#ifndef EVERLINE_BASE_DIGEST_INTERNAL_H
#define EVERLINE_BASE_DIGEST_INTERNAL_H

#include "base/digest.h"

#include <stdint.h>

/* The states of SHA-256 behind the two padded keys (RFC 2104). */
struct digest_hmac {
    uint32_t inner[DIGEST_BYTES / sizeof(uint32_t)], outer[DIGEST_BYTES / sizeof(uint32_t)];
};

#endif

/* Normalisers: from what a person typed to the bytes that are hashed. A table with a row per
 * normaliser; versioned together with the Unicode version, because both change the bytes.
 *
 *   exact        valid UTF-8, unchanged
 *   person_name  NFKD, marks dropped, case folded; letters, digits, space, hyphen and apostrophe
 *                kept (typographic hyphens and apostrophes become ASCII), trimmed, spaces collapsed
 *   date         an ISO 8601 calendar date that exists, YYYY-MM-DD
 *   digits       ASCII digits kept; anything but digits, spaces, hyphens, dots, slashes is refused
 */
#ifndef EVERLINE_STORE_NORMALIZE_H
#define EVERLINE_STORE_NORMALIZE_H

#include "base/buf.h"
#include "base/status.h"

struct store_normalizer; /* a row of the table; static */

const struct store_normalizer *store_normalizer_find(const char *name); /* NULL: unknown */
const char *store_normalizer_name(const struct store_normalizer *n);
unsigned store_normalizer_version(const struct store_normalizer *n); /* 1, 2, ... of its rules */
const char *store_normalizer_unicode(void); /* "15.0.0": the Unicode version of utf8proc */
const char *store_normalizer_names(void);   /* "exact, person_name, ..." for messages */

/* Appends the normal form. ST_INVALID says why, never what ("is not a date: YYYY-MM-DD expected",
 * "is empty", "is not valid UTF-8", "is longer than 1024 bytes"); no place: the caller knows it. */
enum st store_normalize(struct buf *out, const struct store_normalizer *n, const char *text,
                        size_t len) ST_MUST_USE;

#endif

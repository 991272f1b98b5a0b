/* Keys: from the fields of a person to the 16 bytes that a segment is sorted by: the first of an
 * HMAC-SHA-256 over the normalised fields, each behind its length, under a key that is derived from
 * the dataset's name, the fields' names and, when keys are protected, the tenant's HMAC key (drawn
 * in key.c). No two different keys share an encoding. */
#ifndef EVERLINE_STORE_KEY_H
#define EVERLINE_STORE_KEY_H

#include "base/digest.h"
#include "base/json.h"
#include "store/definition.h"

#define STORE_KEY_BYTES 16
#define STORE_SORT_BYTES 8
#define STORE_RECORD_KEY_MAX (STORE_KEY_BYTES + STORE_SORT_BYTES)

/* What records are in the order of: a key's hash, and in a series the sort value behind it. */
size_t store_record_key_bytes(const struct store_key_spec *spec);
/* A sort value in bytes that compare as the values do. */
void store_sort_encode(unsigned char out[STORE_SORT_BYTES], int64_t value);
int64_t store_sort_decode(const unsigned char bytes[STORE_SORT_BYTES]);

/* Hashes keys of one dataset. One per thread: it holds scratch memory and the HMAC state. */
struct store_hasher;

/* `spec` is borrowed until _free. `hmac_key` is needed exactly when the key is protected. */
enum st store_hasher_new(struct store_hasher **out, const struct store_key_spec *spec,
                         const char *dataset, const struct secret *hmac_key) ST_MUST_USE;
void store_hasher_free(struct store_hasher *h);
const struct store_key_spec *store_hasher_spec(const struct store_hasher *h);

struct store_text {
    const char *bytes; /* NULL: the field is null */
    size_t len;
};

/* `fields` in the order of spec->fields, as typed; normalised here. ST_INVALID, code INVALID_KEY,
 * place "/key/<field>". */
enum st store_hasher_sum(unsigned char out[STORE_KEY_BYTES], struct store_hasher *h,
                         const struct store_text *fields) ST_MUST_USE;

/* Of the key that was summed last: what stands for all of its fields but those that
 * spec->guess_fields names, STORE_KEY_BYTES. Keys that differ in those only have the same one. Not
 * of use unless spec->guess_limit is set. */
const unsigned char *store_hasher_base(const struct store_hasher *h);
/* Appends that of every key to `bases`, until it is NULL. */
void store_hasher_collect(struct store_hasher *h, struct buf *bases);

/* From a JSON object {"field":"text",...}: exactly the key's fields, strings (integers are taken in
 * decimal). Missing, extra, wrong type: ST_INVALID, codes MISSING_KEY_FIELD, UNKNOWN_KEY_FIELD,
 * INVALID_KEY; place `/key/<field>` under `pointer` (e.g. "/keys/3" -> "/keys/3/dob"). */
enum st store_hasher_sum_json(unsigned char out[STORE_KEY_BYTES], struct store_hasher *h,
                              const json_t *key, const char *pointer) ST_MUST_USE;

/* The check value of a hasher: fixed vectors through normalisers, encoding and key. A segment keeps
 * it, and another normaliser, Unicode version or key gives another value. */
enum st store_hasher_check_value(unsigned char out[STORE_KEY_BYTES],
                                 struct store_hasher *h) ST_MUST_USE;

/* Many keys at once, which takes less for each: they are added until there are enough, then summed
 * in order. */
#define STORE_KEYS_MAX DIGEST_MANY
struct store_keys;
/* `hasher` is borrowed until _free. */
enum st store_keys_new(struct store_keys **out, const struct store_hasher *hasher) ST_MUST_USE;
void store_keys_free(struct store_keys *k);
bool store_keys_are_full(const struct store_keys *k); /* with STORE_KEYS_MAX, or before */
/* As store_hasher_sum; what is refused is not added. */
enum st store_keys_add(struct store_keys *k, const struct store_text *fields) ST_MUST_USE;
/* Each sum has STORE_KEY_BYTES, at the beginning of DIGEST_BYTES. None is left after it. */
void store_keys_sum(unsigned char (*out)[DIGEST_BYTES], struct store_keys *k);

#endif

#include "store/catalog_internal.h"

#include "base/digest.h"

#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum st checksum(unsigned char out[CATALOG_CHECKSUM_BYTES], const void *key, size_t key_len,
                        const void *document, size_t len)
{
    unsigned char digest[DIGEST_BYTES];
    struct buf b;

    buf_init(&b, CATALOG_KEY_SIZE + CATALOG_VALUE_MAX);
    buf_add(&b, key, key_len);
    buf_addch(&b, '\0');
    buf_add(&b, document, len);
    enum st st = buf_status(&b);
    if (!st) {
        digest_sha256(digest, b.data, b.len);
        memcpy(out, digest, CATALOG_CHECKSUM_BYTES);
    }
    buf_release(&b);
    return st;
}

void catalog_value_make(struct buf *value, const char *key, const json_t *document)
{
    unsigned char sum[CATALOG_CHECKSUM_BYTES] = {0};
    size_t at = value->len;

    buf_add(value, sum, sizeof sum);
    jx_write(value, document, false);
    if (value->status)
        return;
    enum st st = checksum(sum, key, strlen(key), value->data + at + sizeof sum,
                          value->len - at - sizeof sum);
    if (st)
        value->status = ST_NOMEM;
    else
        memcpy(value->data + at, sum, sizeof sum);
}

enum st catalog_value_check(const void *key, size_t key_len, const void *value, size_t len)
{
    unsigned char expected[CATALOG_CHECKSUM_BYTES];
    enum st st = ST_OK;

    if (len >= sizeof expected && len - sizeof expected <= CATALOG_VALUE_MAX)
        st = checksum(expected, key, key_len, (const char *)value + sizeof expected,
                      len - sizeof expected);
    else
        st = st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "a value has an impossible length");
    if (!st && memcmp(expected, value, sizeof expected) != 0)
        st = st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "a value's checksum does not hold");
    return st;
}

enum st catalog_damaged(const char *path, const char *fmt, ...)
{
    char what[256], directory[4096];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    snprintf(directory, sizeof directory, "%s", path);
    return st_hint(st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "the catalog is damaged: %s", what),
                   "stop what uses it, then: everline catalog rebuild --data %s",
                   dirname(directory));
}

#include "api/cursor.h"

#include "base/digest.h"
#include "store/view.h"

#include <stdlib.h>
#include <string.h>

#define VERSION_DIGITS_MAX 19
#define QUERY_MAX 16384

static enum st refuse(const char *why)
{
    return st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "%s", why), "query/cursor");
}

enum st api_cursor_refuse(void)
{
    return refuse("this is not a cursor of ours");
}

/* Decimal without sign or leading zero, up to a dot. */
static bool take_version(uint64_t *out, const char **text)
{
    size_t len = strspn(*text, "0123456789");

    if (len == 0 || len > VERSION_DIGITS_MAX || **text == '0' || (*text)[len] != '.')
        return false;
    *out = strtoull(*text, NULL, 10);
    *text += len + 1;
    return true;
}

/* `len` bytes in hexadecimal, then `end`. */
static bool take_bytes(unsigned char *out, size_t len, const char **text, char end)
{
    char hex[2 * STORE_TUPLE_MAX + 1];

    if (strspn(*text, "0123456789abcdef") != 2 * len || (*text)[2 * len] != end)
        return false;
    memcpy(hex, *text, 2 * len);
    hex[2 * len] = '\0';
    *text += 2 * len + 1;
    return len == 0 || digest_unhex(out, len, hex) == ST_OK;
}

enum st api_cursor_parse(struct api_cursor *out, const char *text)
{
    memset(out, 0, sizeof *out);
    if (!take_version(&out->version, &text) || !take_bytes(out->check, API_CHECK_BYTES, &text, '.'))
        return api_cursor_refuse();
    out->tuple_len = strlen(text) / 2;
    if (out->tuple_len == 0 || out->tuple_len > STORE_TUPLE_MAX ||
        !take_bytes(out->tuple, out->tuple_len, &text, '\0'))
        return api_cursor_refuse();
    return ST_OK;
}

void api_cursor_write(struct buf *out, const struct api_cursor *cursor)
{
    char hex[2 * STORE_TUPLE_MAX + 1];

    buf_addu64(out, cursor->version);
    buf_addch(out, '.');
    digest_hex(hex, cursor->check, API_CHECK_BYTES);
    buf_addstr(out, hex);
    buf_addch(out, '.');
    digest_hex(hex, cursor->tuple, cursor->tuple_len);
    buf_addstr(out, hex);
}

void api_cursor_query(struct buf *out, const struct api_request *request, const char *what)
{
    buf_addstr(out, what);
    for (size_t i = 0; i < request->query_count; i++) {
        const struct api_pair *pair = &request->query[i];
        if (strcmp(pair->name, "cursor") != 0 && strcmp(pair->name, "limit") != 0)
            buf_addf(out, "&%s=%zu:%s", pair->name, pair->value_len, pair->value);
    }
}

enum st api_cursor_sum(unsigned char out[API_CHECK_BYTES], const struct store_served *d,
                       const char *query)
{
    unsigned char digest[DIGEST_BYTES];
    struct buf b;

    buf_init(&b, QUERY_MAX);
    buf_addf(&b, "%s/%s/%s", d->tenant, d->dataset, query);
    enum st st = buf_status(&b);
    if (!st) {
        digest_sha256(digest, b.data, b.len);
        memcpy(out, digest, API_CHECK_BYTES);
    }
    buf_release(&b);
    return st;
}

enum st api_cursor_check(const struct api_cursor *cursor, uint64_t version,
                         const unsigned char check[API_CHECK_BYTES])
{
    if (memcmp(cursor->check, check, API_CHECK_BYTES) != 0)
        return refuse("the cursor belongs to another query");
    if (cursor->version != version)
        return st_hint(st_fail(ST_GONE, "CURSOR_EXPIRED",
                               "the cursor belongs to version %llu; version %llu is served",
                               (unsigned long long)cursor->version, (unsigned long long)version),
                       "begin again without the cursor");
    return ST_OK;
}

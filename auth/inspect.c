#include "auth/inspect.h"

#include "auth/base64url.h"
#include "auth/jws.h"

#include <string.h>

static enum st read_object(json_t **out, const char *text, size_t len, const char *what)
{
    unsigned char bytes[AUTH_TOKEN_MAX];
    size_t size = 0;

    if (!auth_base64url_decode(bytes, sizeof bytes, &size, text, len))
        return st_fail(ST_INVALID, "BAD_TOKEN", "the %s is not base64url without padding", what);
    enum st st = jx_parse_object(out, (const char *)bytes, size);
    return st == ST_INVALID ? st_fail(ST_INVALID, "BAD_TOKEN", "the %s: %s", what, st_message())
                            : st;
}

enum st auth_token_inspect(json_t **header, json_t **claims, const char *token, size_t token_len)
{
    const char *first = memchr(token, '.', token_len);
    const char *rest = first ? first + 1 : token;
    const char *second = first ? memchr(rest, '.', token_len - (size_t)(rest - token)) : NULL;

    *header = *claims = NULL;
    if (token_len > AUTH_TOKEN_MAX)
        return st_fail(ST_INVALID, "BAD_TOKEN", "the token is longer than %d bytes",
                       AUTH_TOKEN_MAX);
    if (!second)
        return st_fail(ST_INVALID, "BAD_TOKEN", "the token does not have three segments");
    enum st st = read_object(header, token, (size_t)(first - token), "header");
    if (!st)
        st = read_object(claims, rest, (size_t)(second - rest), "payload");
    if (st) {
        json_decref(*header);
        *header = NULL;
    }
    return st;
}

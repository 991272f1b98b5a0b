#include "api/head.h"

#include "base/word.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS_MAX 18 /* of a Content-Length: fits 63 bits */
#define NOT_COUNTED SIZE_MAX

/* A row per header that matters: where its value goes, and the counter of one that may be there
 * once. */
#define VALUE(member) offsetof(struct api_head, member)
static const struct {
    const char *name;
    size_t name_len;
    size_t value_at, count_at;
} HEADERS[] = {
    {"Authorization", 13, VALUE(authorization), VALUE(authorizations)},
    {"Content-Type", 12, VALUE(content_type), NOT_COUNTED},
    {"Content-Length", 14, VALUE(content_length), VALUE(lengths)},
    {"Transfer-Encoding", 17, VALUE(transfer_encoding), VALUE(encodings)},
    {"Host", 4, VALUE(host), VALUE(hosts)},
    {"X-Request-Id", 12, VALUE(request_id), NOT_COUNTED},
    {"If-Match", 8, VALUE(if_match), NOT_COUNTED},
    {"If-None-Match", 13, VALUE(if_none_match), NOT_COUNTED},
    {"Content-Encoding", 16, VALUE(content_encoding), NOT_COUNTED},
    {"Expect", 6, VALUE(expect), NOT_COUNTED},
    {"Idempotency-Key", 15, VALUE(idempotency_key), VALUE(idempotency_keys)},
    {"Accept", 6, VALUE(accept), NOT_COUNTED},
    {"Accept-Encoding", 15, VALUE(accept_encoding), NOT_COUNTED},
    {"Origin", 6, VALUE(origin), NOT_COUNTED},
    {"Forwarded", 9, VALUE(forwarded), NOT_COUNTED},
    {"X-Forwarded-For", 15, VALUE(x_forwarded_for), NOT_COUNTED},
    {"Traceparent", 11, VALUE(traceparent), NOT_COUNTED},
    {"X-Purpose", 9, VALUE(purpose), NOT_COUNTED},
};

/* RFC 9110 section 5.6.2; what names are mostly made of comes first. */
static bool is_token_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+.^_`|~", c));
}

static bool is_token(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_token_character(name[i]))
            return false;
    return len > 0;
}

/* RFC 9110 section 5.5: no control character but the tab. Eight bytes at a time, because a token is
 * long: the high bit of a byte of `low` is set when it is below 0x20 (and seldom without cause,
 * which the second look finds out). */
static bool has_control(const char *text, size_t len)
{
    size_t i = 0;

    for (; i + WORD_BYTES <= len; i += WORD_BYTES) {
        uint64_t word = word_load(text + i), del = word ^ WORD_OF(0x7fu);
        uint64_t low = (word - WORD_OF(0x20u)) & ~word & WORD_HIGH;
        if (low | ((del - WORD_OF(1u)) & ~del & WORD_HIGH))
            break;
    }
    for (; i < len; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return true;
    return false;
}

void api_head_add(struct api_head *head, const char *name, size_t name_len, const char *value,
                  size_t value_len)
{
    char *base = (char *)head;

    if (value && has_control(value, value_len))
        head->fault = "a header's value holds a control character";
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++) {
        if (HEADERS[i].name_len != name_len || strncasecmp(HEADERS[i].name, name, name_len) != 0)
            continue;
        *(const char **)(void *)(base + HEADERS[i].value_at) = value ? value : "";
        if (HEADERS[i].count_at != NOT_COUNTED)
            ++*(unsigned *)(void *)(base + HEADERS[i].count_at);
        return;
    }
    if (!is_token(name, name_len))
        head->fault = "a header's name is not a token";
}

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= DIGITS_MAX && text[digits] == '\0';
}

static bool is_method(const char *text)
{
    const char *at = text;

    while (*at >= 'A' && *at <= 'Z')
        at++;
    return at > text && *at == '\0';
}

/* RFC 3986: what is not visible ASCII is escaped, and a fragment is not sent. */
static bool is_target(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f || *text == '#')
            return false;
    return true;
}

/* An authority without user, RFC 9112 section 3.2; the rest of its grammar is nobody's concern. */
static bool is_host(const char *text)
{
    return !text[strcspn(text, " \t,/?#@\\\"<>")];
}

const char *api_head_fault(const struct api_head *head, const char *method, const char *target,
                           const char *version)
{
    if (head->fault)
        return head->fault;
    if (!is_method(method))
        return "the method is not in capital letters";
    if (strcmp(method, "CONNECT") == 0)
        return "CONNECT is for proxies";
    if (!is_target(target))
        return "the request target holds a character that must be escaped";
    if (strstr(target, "%00"))
        return "the request target holds a NUL";
    if (head->authorizations > 1 || head->lengths > 1 || head->encodings > 1 || head->hosts > 1 ||
        head->idempotency_keys > 1)
        return "a header that may be there once is repeated";
    if (head->hosts == 0 && strcmp(version, "HTTP/1.1") == 0)
        return "Host is missing";
    if (head->hosts && !is_host(head->host))
        return "Host is not the name of a host";
    if (head->encodings && strcmp(version, "HTTP/1.0") == 0)
        return "Transfer-Encoding in HTTP/1.0";
    if (head->encodings && head->lengths)
        return "Transfer-Encoding and Content-Length are both there";
    if (head->encodings && strcasecmp(head->transfer_encoding, "chunked") != 0)
        return "a Transfer-Encoding other than chunked";
    if (head->lengths && !is_number(head->content_length))
        return "Content-Length is not a number";
    return NULL;
}

uint64_t api_head_length(const struct api_head *head)
{
    return head->content_length ? strtoull(head->content_length, NULL, 10) : 0;
}

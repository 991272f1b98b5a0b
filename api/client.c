#include "api/client.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOPS_MAX 16 /* the last of them: what is before was not written by the nearest proxies */

struct span {
    const char *at;
    size_t len;
};

static void map_ipv4(struct in6_addr *out, const struct in_addr *in)
{
    memset(out, 0, sizeof *out);
    memset(out->s6_addr + 10, 0xff, 2);
    memcpy(out->s6_addr + 12, in, 4);
}

/* "192.0.2.1" or "2001:db8::1", and no more. */
static bool read_address(struct in6_addr *out, struct span text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr ipv4;

    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    if (strlen(copy) != text.len)
        return false;
    if (inet_pton(AF_INET, copy, &ipv4) == 1) {
        map_ipv4(out, &ipv4);
        return true;
    }
    return inet_pton(AF_INET6, copy, out) == 1;
}

/* ---- networks ---- */

static bool is_in(const struct api_network *n, const struct in6_addr *address)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(&n->address, address, whole) != 0)
        return false;
    unsigned differing = whole < 16 ? n->address.s6_addr[whole] ^ address->s6_addr[whole] : 0u;
    return !rest || differing >> (8 - rest) == 0;
}

static bool is_listed(const struct api_proxies *p, const struct in6_addr *address)
{
    for (size_t i = 0; i < p->count; i++)
        if (is_in(&p->networks[i], address))
            return true;
    return false;
}

static enum st read_network(struct api_network *out, const char *text)
{
    size_t len = strcspn(text, "/"), digits = text[len] ? strlen(text + len + 1) : 0;
    bool ipv4 = !memchr(text, ':', len);
    unsigned max = ipv4 ? 32 : 128, bits = max;

    if (text[len]) {
        bool number = digits >= 1 && digits <= 3 && strspn(text + len + 1, "0123456789") == digits;
        bits = number ? (unsigned)atoi(text + len + 1) : max + 1;
    }
    if (bits > max || !read_address(&out->address, (struct span){text, len}))
        return st_hint(
            st_fail(ST_USAGE, NULL, "--trusted-proxy: \"%.64s\" is not an address", text),
            "write it as 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, or unix");
    out->bits = ipv4 ? bits + 96 : bits;
    return ST_OK;
}

enum st api_proxies_read(struct api_proxies *out, const char *const *texts, bool forwarded)
{
    size_t count = 0;
    enum st st = ST_OK;

    *out = (struct api_proxies){.forwarded = forwarded};
    while (texts[count])
        count++;
    out->networks = calloc(count + 1, sizeof *out->networks);
    if (!out->networks)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && i < count; i++) {
        if (strcmp(texts[i], "unix") == 0)
            out->local = true;
        else
            st = read_network(&out->networks[out->count++], texts[i]);
    }
    return st;
}

void api_proxies_release(struct api_proxies *p)
{
    free(p->networks);
    *p = (struct api_proxies){0};
}

bool api_peer_address(struct in6_addr *out, const struct sockaddr *peer)
{
    if (peer->sa_family == AF_INET6)
        *out = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    else if (peer->sa_family == AF_INET)
        map_ipv4(out, &((const struct sockaddr_in *)(const void *)peer)->sin_addr);
    else
        return false;
    return true;
}

bool api_is_proxy(const struct api_proxies *p, const struct sockaddr *peer)
{
    struct in6_addr address;

    return api_peer_address(&address, peer) ? is_listed(p, &address)
                                            : peer->sa_family == AF_UNIX && p->local;
}

/* ---- what a proxy has written ---- */

/* An address, and a port or not: "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1". */
static bool read_node(struct in6_addr *out, struct span text)
{
    const char *end = text.at + text.len;

    if (text.len && *text.at == '[') {
        const char *close = memchr(text.at, ']', text.len);
        if (!close || (close + 1 < end && close[1] != ':'))
            return false;
        return read_address(out, (struct span){text.at + 1, (size_t)(close - text.at) - 1});
    }
    const char *colon = memchr(text.at, ':', text.len);
    if (colon && !memchr(colon + 1, ':', (size_t)(end - colon) - 1))
        text.len = (size_t)(colon - text.at);
    return read_address(out, text);
}

static struct span trim(struct span s)
{
    while (s.len && (*s.at == ' ' || *s.at == '\t')) {
        s.at++;
        s.len--;
    }
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The text up to the next `end` that is not in quotes. */
static struct span take_until(const char **p, const char *ends)
{
    const char *start = *p;
    bool quoted = false;

    for (; **p && (quoted || !strchr(ends, **p)); ++*p) {
        if (quoted && **p == '\\' && (*p)[1])
            ++*p;
        else if (**p == '"')
            quoted = !quoted;
    }
    return trim((struct span){start, (size_t)(*p - start)});
}

/* The value of `for` in one element of Forwarded (RFC 7239 section 4); empty: there is none. */
static struct span find_for(struct span element)
{
    const char *end = element.at + element.len, *p = element.at;

    while (p < end) {
        struct span pair = take_until(&p, ";,");
        p++;
        if (pair.len < 4 || strncasecmp(pair.at, "for=", 4) != 0)
            continue;
        struct span value = {pair.at + 4, pair.len - 4};
        if (value.len >= 2 && *value.at == '"' && value.at[value.len - 1] == '"')
            value = (struct span){value.at + 1, value.len - 2};
        return value;
    }
    return (struct span){element.at, 0};
}

/* The last HOPS_MAX elements of the list, in their order. */
static size_t split(struct span hops[HOPS_MAX], const char *header)
{
    size_t count = 0;

    for (const char *p = header;; p++) {
        struct span element = take_until(&p, ",");
        if (count == HOPS_MAX)
            memmove(hops, hops + 1, --count * sizeof *hops);
        hops[count++] = element;
        if (!*p)
            return count;
    }
}

void api_client_address(struct sockaddr_in6 *out, const struct api_proxies *p,
                        const struct sockaddr *peer, const char *header)
{
    struct span hops[HOPS_MAX];
    bool known = api_peer_address(&out->sin6_addr, peer);

    if (header && api_is_proxy(p, peer)) {
        for (size_t i = split(hops, header); i > 0; i--) {
            struct in6_addr address;
            if (!read_node(&address, p->forwarded ? find_for(hops[i - 1]) : hops[i - 1]))
                break;
            out->sin6_addr = address;
            known = true;
            if (!is_listed(p, &address))
                break;
        }
    }
    struct in6_addr address = out->sin6_addr;
    *out = (struct sockaddr_in6){.sin6_family = known ? AF_INET6 : AF_UNIX, .sin6_addr = address};
}

#include "api/client.h"

#include <string.h>
#include <strings.h>

#define HOPS_MAX 16 /* the last of them: what is before was not written by the nearest proxies */

struct span {
    const char *at;
    size_t len;
};

enum st api_proxies_read(struct api_proxies *out, const char *const *texts, bool forwarded)
{
    enum st st = ST_OK;

    *out = (struct api_proxies){.forwarded = forwarded};
    for (; !st && *texts; texts++) {
        if (strcmp(*texts, "unix") == 0)
            out->local = true;
        else
            st = network_list_add(&out->networks, *texts);
    }
    return st ? st_wrap(st, "--trusted-proxy") : ST_OK;
}

void api_proxies_release(struct api_proxies *p)
{
    network_list_release(&p->networks);
    *p = (struct api_proxies){0};
}

bool api_is_proxy(const struct api_proxies *p, const struct sockaddr *peer)
{
    struct in6_addr address;

    return network_address_of(&address, peer) ? network_list_has(&p->networks, &address)
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
        return network_address_read(out, text.at + 1, (size_t)(close - text.at) - 1);
    }
    const char *colon = memchr(text.at, ':', text.len);
    if (colon && !memchr(colon + 1, ':', (size_t)(end - colon) - 1))
        text.len = (size_t)(colon - text.at);
    return network_address_read(out, text.at, text.len);
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
    bool known = network_address_of(&out->sin6_addr, peer);

    if (header && api_is_proxy(p, peer)) {
        for (size_t i = split(hops, header); i > 0; i--) {
            struct in6_addr address;
            if (!read_node(&address, p->forwarded ? find_for(hops[i - 1]) : hops[i - 1]))
                break;
            out->sin6_addr = address;
            known = true;
            if (!network_list_has(&p->networks, &address))
                break;
        }
    }
    struct in6_addr address = out->sin6_addr;
    *out = (struct sockaddr_in6){.sin6_family = known ? AF_INET6 : AF_UNIX, .sin6_addr = address};
}

#include "base/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void map_ipv4(struct in6_addr *out, const struct in_addr *in)
{
    memset(out, 0, sizeof *out);
    memset(out->s6_addr + 10, 0xff, 2);
    memcpy(out->s6_addr + 12, in, 4);
}

bool network_address_read(struct in6_addr *out, const char *text, size_t len)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr ipv4;

    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (strlen(copy) != len)
        return false;
    if (inet_pton(AF_INET, copy, &ipv4) == 1) {
        map_ipv4(out, &ipv4);
        return true;
    }
    return inet_pton(AF_INET6, copy, out) == 1;
}

bool network_address_of(struct in6_addr *out, const struct sockaddr *peer)
{
    if (peer->sa_family == AF_INET6)
        *out = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    else if (peer->sa_family == AF_INET)
        map_ipv4(out, &((const struct sockaddr_in *)(const void *)peer)->sin_addr);
    else
        return false;
    return true;
}

static bool read_network(struct network *out, const char *text)
{
    size_t len = strcspn(text, "/"), digits = text[len] ? strlen(text + len + 1) : 0;
    bool ipv4 = !memchr(text, ':', len);
    unsigned max = ipv4 ? 32 : 128, bits = max;

    if (text[len]) {
        bool number = digits >= 1 && digits <= 3 && strspn(text + len + 1, "0123456789") == digits;
        bits = number ? (unsigned)atoi(text + len + 1) : max + 1;
    }
    out->bits = ipv4 ? bits + 96 : bits;
    return bits <= max && network_address_read(&out->address, text, len);
}

static bool is_in(const struct network *n, const struct in6_addr *address)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(&n->address, address, whole) != 0)
        return false;
    unsigned differing = whole < 16 ? n->address.s6_addr[whole] ^ address->s6_addr[whole] : 0u;
    return !rest || differing >> (8 - rest) == 0;
}

/* The registries of IANA that RFC 6890 describes. Of IPv6 only 2000::/3 is given out at all. */
bool network_is_public(const struct in6_addr *address)
{
    static const char *const SPECIAL[] = {
        "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",    "2001::/23",
        "2001:db8::/32", "2002::/16",       "3fff::/20",
    };
    struct network n;

    for (size_t i = 0; i < sizeof SPECIAL / sizeof SPECIAL[0]; i++)
        if (read_network(&n, SPECIAL[i]) && is_in(&n, address))
            return false;
    return IN6_IS_ADDR_V4MAPPED(address) || (address->s6_addr[0] & 0xe0) == 0x20;
}

enum st network_list_add(struct network_list *list, const char *text)
{
    struct network *grown = reallocarray(list->items, list->count + 1, sizeof *grown);

    if (!grown)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    list->items = grown;
    if (!read_network(&grown[list->count], text))
        return st_hint(st_fail(ST_USAGE, NULL, "\"%.64s\" is no address or network", text),
                       "write it as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32");
    list->count++;
    return ST_OK;
}

bool network_list_has(const struct network_list *list, const struct in6_addr *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (is_in(&list->items[i], address))
            return true;
    return false;
}

void network_list_release(struct network_list *list)
{
    free(list->items);
    *list = (struct network_list){0};
}

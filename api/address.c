#include "api/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static char *add_byte(char *to, unsigned byte)
{
    if (byte >= 100)
        *to++ = (char)('0' + byte / 100);
    if (byte >= 10)
        *to++ = (char)('0' + byte / 10 % 10);
    *to++ = (char)('0' + byte % 10);
    return to;
}

/* For each lookup: inet_ntop prints by printf. */
static void write_ipv4(char *to, const unsigned char *bytes)
{
    for (unsigned i = 0; i < 4; i++) {
        to = add_byte(to, bytes[i]);
        *to++ = i < 3 ? '.' : '\0';
    }
}

void api_address_text(char out[API_ADDRESS_SIZE], const struct sockaddr *address)
{
    out[0] = '\0';
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        write_ipv4(out, (const unsigned char *)&in->sin_addr);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            write_ipv4(out, (const unsigned char *)&in6->sin6_addr + 12);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, out, API_ADDRESS_SIZE);
    } else if (address->sa_family == AF_UNIX) {
        snprintf(out, API_ADDRESS_SIZE, "unix");
    }
}

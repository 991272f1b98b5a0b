/* What proxies and others write of their clients. The first byte says by its lowest bit whether it
 * is Forwarded; the rest is the header. Who is not trusted is the client whatever it says; who is
 * gives an address that stands in the header, or its own. */
#include "api/client.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static void check(const char *header, bool forwarded)
{
    static const char *const TRUSTED[] = {"10.0.0.0/8", "2001:db8::/32", NULL};
    struct sockaddr_in proxy = {.sin_family = AF_INET}, stranger = {.sin_family = AF_INET};
    struct in6_addr own;
    struct sockaddr_in6 client;
    struct api_proxies p;

    require(api_proxies_read(&p, TRUSTED, forwarded) == ST_OK);
    proxy.sin_addr.s_addr = htonl(0x0a000001);
    stranger.sin_addr.s_addr = htonl(0xc0000201);
    require(network_address_of(&own, (const void *)&stranger));
    api_client_address(&client, &p, (const void *)&stranger, header);
    require(client.sin6_family == AF_INET6 && memcmp(&client.sin6_addr, &own, sizeof own) == 0);
    api_client_address(&client, &p, (const void *)&proxy, header);
    require(client.sin6_family == AF_INET6);
    require(network_address_of(&own, (const void *)&proxy));
    if (!strpbrk(header, ".:")) /* without either there is no address in it */
        require(memcmp(&client.sin6_addr, &own, sizeof own) == 0);
    api_proxies_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *header = malloc(size + 1); /* of its own size: a read beyond it is seen */

    require(header != NULL);
    if (size)
        memcpy(header, data + 1, size - 1);
    header[size ? size - 1 : 0] = '\0';
    check(header, size && data[0] & 1);
    free(header);
    return 0;
}

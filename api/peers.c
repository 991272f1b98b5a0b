#include "api/peers.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096 /* as many as connections there may be by default */
#define KEY_BYTES 16

struct api_peer {
    unsigned char key[KEY_BYTES];
    unsigned connections;
    struct api_peer *next;
};

struct api_peers {
    struct api_peer *buckets[BUCKETS];
};

struct api_peers *api_peers_new(void)
{
    return calloc(1, sizeof(struct api_peers));
}

void api_peers_free(struct api_peers *p)
{
    for (size_t i = 0; p && i < BUCKETS; i++)
        for (struct api_peer *peer = p->buckets[i], *next; peer; peer = next) {
            next = peer->next;
            free(peer);
        }
    free(p);
}

static void make_key(unsigned char key[KEY_BYTES], const struct in6_addr *address)
{
    memcpy(key, address, KEY_BYTES);
    if (!IN6_IS_ADDR_V4MAPPED(address))
        memset(key + KEY_BYTES / 2, 0, KEY_BYTES / 2);
}

static struct api_peer **bucket_of(struct api_peers *p, const unsigned char key[KEY_BYTES])
{
    uint32_t hash = 2166136261u; /* FNV-1a: who wants long chains needs many addresses */

    for (size_t i = 0; i < KEY_BYTES; i++)
        hash = (hash ^ key[i]) * 16777619u;
    return &p->buckets[hash % BUCKETS];
}

struct api_peer *api_peers_add(struct api_peers *p, const struct in6_addr *address, unsigned limit)
{
    unsigned char key[KEY_BYTES];

    make_key(key, address);
    struct api_peer **bucket = bucket_of(p, key), *peer = *bucket;
    while (peer && memcmp(peer->key, key, KEY_BYTES) != 0)
        peer = peer->next;
    if (peer && peer->connections >= limit)
        return NULL;
    if (!peer) {
        peer = calloc(1, sizeof *peer);
        if (!peer)
            return NULL;
        memcpy(peer->key, key, KEY_BYTES);
        peer->next = *bucket;
        *bucket = peer;
    }
    peer->connections++;
    return peer;
}

void api_peers_remove(struct api_peers *p, struct api_peer *peer)
{
    if (!peer || --peer->connections)
        return;
    struct api_peer **at = bucket_of(p, peer->key);
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    free(peer);
}

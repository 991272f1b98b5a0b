#include "auth/cache.h"

#include "base/digest.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A table of SETS sets of WAYS places each. The set is chosen by the end of the token, which is the
 * signature's and so as good as random, mixed with a secret: who makes tokens cannot aim at a set.
 * An entry is one block: the identity without the room for datasets that it does not name, then the
 * token. Tokens are compared in constant time, else the time of a refusal would tell how much of a
 * signature was guessed. */

#define SETS 1024u
#define WAYS 4u
#define PLACES (SETS * WAYS)
#define TAIL_BYTES 16u

struct entry {
    uint64_t hash;
    size_t bytes; /* of this block */
    size_t identity_len, token_len;
    _Alignas(max_align_t) unsigned char data[]; /* identity, token */
};

struct auth_cache {
    uint64_t epoch, seeds[2];
    size_t bytes, max_bytes;
    unsigned hand; /* the next to go */
    struct entry *places[PLACES];
};

enum st auth_cache_new(struct auth_cache **out, size_t max_bytes)
{
    struct auth_cache *c = calloc(1, sizeof *c);
    enum st st = c ? digest_random(c->seeds, sizeof c->seeds)
                   : st_fail(ST_NOMEM, NULL, "out of memory for verified tokens");

    if (st) {
        free(c);
        c = NULL;
    } else {
        c->max_bytes = max_bytes;
    }
    *out = c;
    return st;
}

static void drop(struct auth_cache *c, struct entry **place)
{
    struct entry *e = *place;

    if (!e)
        return;
    *place = NULL;
    c->bytes -= e->bytes;
    secret_wipe(e, e->bytes);
    free(e);
}

static void empty(struct auth_cache *c)
{
    for (unsigned i = 0; i < PLACES && c->bytes; i++)
        drop(c, &c->places[i]);
}

void auth_cache_free(struct auth_cache *c)
{
    if (!c)
        return;
    empty(c);
    free(c);
}

static void enter_epoch(struct auth_cache *c, uint64_t epoch)
{
    if (c->epoch != epoch)
        empty(c);
    c->epoch = epoch;
}

static uint64_t mix(uint64_t n)
{
    n *= 0x9e3779b97f4a7c15u;
    return n ^ n >> 32;
}

static uint64_t hash_of(const struct auth_cache *c, const char *token, size_t len)
{
    uint64_t tail[2];

    memcpy(tail, token + len - TAIL_BYTES, sizeof tail);
    return mix(mix(tail[0] ^ c->seeds[0]) ^ tail[1] ^ c->seeds[1]);
}

static struct entry **set_of(struct auth_cache *c, uint64_t hash)
{
    return &c->places[hash % SETS * WAYS];
}

static bool is_for(const struct entry *e, uint64_t hash, const char *token, size_t token_len)
{
    return e && e->hash == hash && e->token_len == token_len &&
           secret_equal(e->data + e->identity_len, token, token_len);
}

bool auth_cache_find(struct auth_identity *out, struct auth_cache *c, uint64_t epoch,
                     const char *token, size_t token_len, int64_t now_s)
{
    enter_epoch(c, epoch);
    if (token_len < TAIL_BYTES)
        return false;
    uint64_t hash = hash_of(c, token, token_len);
    struct entry **set = set_of(c, hash);

    for (unsigned i = 0; i < WAYS; i++)
        if (is_for(set[i], hash, token, token_len)) {
            memcpy(out, set[i]->data, set[i]->identity_len);
            return auth_identity_in_time(out, now_s);
        }
    return false;
}

void auth_cache_put(struct auth_cache *c, uint64_t epoch, const char *token, size_t token_len,
                    const struct auth_identity *identity)
{
    size_t identity_len = offsetof(struct auth_identity, datasets) +
                          identity->dataset_count * sizeof identity->datasets[0];
    size_t bytes = sizeof(struct entry) + identity_len + token_len;

    enter_epoch(c, epoch);
    if (token_len < TAIL_BYTES || bytes > c->max_bytes)
        return;
    struct entry *e = malloc(bytes);
    if (!e)
        return;
    *e = (struct entry){hash_of(c, token, token_len), bytes, identity_len, token_len};
    memcpy(e->data, identity, identity_len);
    memcpy(e->data + identity_len, token, token_len);

    struct entry **set = set_of(c, e->hash), **place = &set[c->hand % WAYS];
    for (unsigned i = 0; i < WAYS; i++)
        if (!set[i] || is_for(set[i], e->hash, token, token_len))
            place = &set[i];
    drop(c, place);
    while (c->bytes + bytes > c->max_bytes)
        drop(c, &c->places[c->hand++ % PLACES]);
    c->hand++;
    *place = e;
    c->bytes += bytes;
}

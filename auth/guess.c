#include "auth/limits_file.h"

#include <string.h>

/* A base has an entry for every LIMITS_VALUES keys that its limit allows. Entries are looked for,
 * and taken, in one order, and none that was taken today is given away today: two threads that see
 * a base for the first time want the same entry, and one of them finds it taken for it. Likewise
 * with the values in an entry. So the count is exact, whatever runs at the same time. */

#define WINDOW 32
#define HASH_MASK ((1ull << 48) - 1)

static uint64_t load(const unsigned char *bytes, size_t at)
{
    uint64_t word;

    memcpy(&word, bytes + at, sizeof word);
    return word;
}

/* Is `word` there now, in a place that was its own, or of another day? */
static bool settle(_Atomic uint64_t *place, uint64_t word)
{
    uint64_t old = atomic_load(place);

    for (;;) {
        if (old == word)
            return true;
        if (old >> 48 == word >> 48)
            return false;
        if (atomic_compare_exchange_weak(place, &old, word))
            return true;
    }
}

static struct limits_guess *find_entry(struct auth_limits *l, uint64_t hash, uint64_t day)
{
    uint64_t tag = day << 48 | (limits_mix(hash) & HASH_MASK);

    for (unsigned i = 0; i < WINDOW; i++) {
        struct limits_guess *g = &l->file->guesses[(hash + i) % LIMITS_GUESSES];
        if (settle(&g->tag, tag))
            return g;
    }
    return NULL;
}

enum st auth_limits_guess(struct auth_limits *l, const unsigned char base[AUTH_GUESS_BYTES],
                          const unsigned char key[AUTH_GUESS_BYTES], unsigned limit, int64_t now_us)
{
    uint64_t day = limits_day(now_us) + 1; /* 0 is what was never written */
    uint64_t value = day << 48 | (load(key, 0) & HASH_MASK);

    for (unsigned i = 0; i < limit; i++) {
        uint64_t hash = limits_mix(load(base, 0) + i / LIMITS_VALUES) ^ load(base, 8);
        struct limits_guess *g = find_entry(l, hash, day);
        if (!g)
            return st_fail(ST_FULL, "GUESS_TABLE_FULL",
                           "more people were asked for today than can be watched over");
        for (unsigned j = 0; j < LIMITS_VALUES && i < limit; j++, i++)
            if (settle(&g->values[j], value))
                return ST_OK;
        i--;
    }
    return st_fail(ST_LIMITED, "GUESS_LIMIT",
                   "too many values were tried for what is otherwise the same key: %u a day",
                   limit);
}

#include "auth/limits_file.h"

#include <string.h>

/* A base has an entry for each value that was tried. Entries are looked for, and taken, in one
 * order, and none that was taken today is given away today: two threads that see a base for the
 * first time want the same entry, and one of them finds it taken for it. So the count is exact,
 * whatever runs at the same time.
 *
 * The table is everybody's. A tenant may use as much of it as is left to the others (dynamic
 * thresholds, Choudhury and Hahne 1998): one that asks for ever more people comes to three eighths
 * of the table, two at once to a quarter each, and there is always room for who comes next. */

#define WINDOW 512
#define HASH_MASK ((1ull << LIMITS_COUNT_BITS) - 1)
#define GUESSES "guesses" /* names a bucket of the tenant's beside that of its requests */

static uint64_t load(const unsigned char *bytes, size_t at)
{
    uint64_t word;

    memcpy(&word, bytes + at, sizeof word);
    return word;
}

static uint64_t counted(_Atomic uint64_t *today, uint64_t day)
{
    uint64_t word = atomic_load(today);

    return word >> LIMITS_COUNT_BITS == day ? word & HASH_MASK : 0;
}

static void count(_Atomic uint64_t *today, uint64_t day)
{
    uint64_t old = atomic_load(today), next;

    do
        next = (old >> LIMITS_COUNT_BITS == day ? old : day << LIMITS_COUNT_BITS) + 1;
    while (!atomic_compare_exchange_weak(today, &old, next));
}

/* Where entries are taken from. */
struct taker {
    struct auth_limits *l;
    const char *tenant;
    int64_t now_us;
    uint64_t day; /* of entries: 0 is what was never written */
};

/* One more entry for the tenant? Counted when it is taken, so that who comes at the same moment can
 * be a few over. */
static bool has_share(const struct taker *t, struct limits_bucket **bucket)
{
    uint64_t day = limits_day(t->now_us);

    *bucket = limits_bucket_of(t->l, t->tenant, GUESSES, true, t->now_us);
    return counted(&(*bucket)->today, day) + counted(&t->l->file->guesses_today, day) <
           LIMITS_GUESSES_USED;
}

/* The entry of a hash, taken if need be; NULL: there is no room. */
static struct limits_guess *find_entry(const struct taker *t, uint64_t hash)
{
    uint64_t tag = t->day << LIMITS_COUNT_BITS | (limits_mix(hash) & HASH_MASK);
    struct limits_bucket *bucket = NULL;

    for (unsigned i = 0; i < WINDOW; i++) {
        struct limits_guess *g = &t->l->file->guesses[(hash + i) % LIMITS_GUESSES];
        uint64_t old = atomic_load(&g->tag);
        while (old != tag && old >> LIMITS_COUNT_BITS != t->day) {
            if (!bucket && !has_share(t, &bucket))
                return NULL;
            if (atomic_compare_exchange_weak(&g->tag, &old, tag)) {
                count(&bucket->today, limits_day(t->now_us));
                count(&t->l->file->guesses_today, limits_day(t->now_us));
                return g;
            }
        }
        if (old == tag)
            return g;
    }
    return NULL;
}

/* Is `word` there now, in a place that was its own, or of another day? */
static bool settle(_Atomic uint64_t *place, uint64_t word)
{
    uint64_t old = atomic_load(place);

    for (;;) {
        if (old == word)
            return true;
        if (old >> LIMITS_COUNT_BITS == word >> LIMITS_COUNT_BITS)
            return false;
        if (atomic_compare_exchange_weak(place, &old, word))
            return true;
    }
}

enum st auth_limits_guess(struct auth_limits *l, const char *tenant,
                          const unsigned char base[AUTH_GUESS_BYTES],
                          const unsigned char key[AUTH_GUESS_BYTES], unsigned limit, int64_t now_us)
{
    const struct taker taker = {l, tenant, now_us, limits_day(now_us) + 1};
    uint64_t value = taker.day << LIMITS_COUNT_BITS | (load(key, 0) & HASH_MASK);

    for (unsigned i = 0; i < limit; i++) {
        struct limits_guess *g = find_entry(&taker, limits_mix(load(base, 0) + i) ^ load(base, 8));
        if (!g)
            return st_fail(ST_FULL, "GUESS_TABLE_FULL",
                           "more people were asked for today than can be watched over");
        if (settle(&g->value, value))
            return ST_OK;
    }
    return st_fail(ST_LIMITED, "GUESS_LIMIT",
                   "too many values were tried for what is otherwise the same key: %u a day",
                   limit);
}

/* Sketches: exact sums, distinct values and quantiles, whatever the order of their inputs was. */
#include "store_format_kit.h"

#include "store/sketch.h"

#include <float.h>
#include <math.h>

static uint64_t seed;
static bool no_memory; /* the linker puts __wrap_malloc in the place of malloc */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

static uint64_t next(void)
{
    seed += 0x9e3779b97f4a7c15u;
    uint64_t z = seed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double any_double(void)
{
    double d;

    do {
        uint64_t bits = next();
        memcpy(&d, &bits, sizeof d);
    } while (!isfinite(d));
    return d;
}

static double sum_of(const double *values, size_t count)
{
    struct sketch *s = sketch_new(SKETCH_SUM);

    for (size_t i = 0; i < count; i++)
        assert_int_equal(sketch_add_double(s, values[i]), ST_OK);
    no_memory = true; /* what is there is told without any more */
    double sum = sketch_sum(s);
    no_memory = false;
    sketch_free(s);
    return sum;
}

static void a_sum_is_exact_and_rounded_once(void **state)
{
    static const struct {
        double values[6], sum;
    } CASES[] = {
        {{0.1, 0.2, 0.3}, 0.6},
        {{1e16, 1, 1}, 1e16 + 2},
        {{1e308, 1e308, -1e308}, 1e308},
        {{1, 1e100, 1, -1e100}, 2},
        {{-1}, -1},
        {{-0x1p-1074, 0x1p-1074}, 0},
        {{-0x1p-1074}, -0x1p-1074},
        {{DBL_MAX, -DBL_MAX, 0x1p-1074}, 0x1p-1074},
        {{4294967296.0, -1}, 4294967295.0},
        {{-4294967296.0, 1}, -4294967295.0},
        {{1, -0x1p-60}, 1},
        {{1, -0x1p-53}, 1 - 0x1p-53},
        {{0x1p53, 1, 0x1p-1000}, 0x1p53 + 2}, /* half way, and a bit more */
        {{0x1p53, 1}, 0x1p53},                /* half way: to even */
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        if (sum_of(CASES[i].values, 6) != CASES[i].sum)
            fail_msg("case %zu: %.17g", i, sum_of(CASES[i].values, 6));
    assert_true(isinf(sum_of((double[]){DBL_MAX, DBL_MAX}, 2)));
}

/* As integers of 2^-30, which 128 bits hold. */
static void a_sum_agrees_with_integers(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        __extension__ __int128 exact = 0;
        double values[64];
        for (size_t i = 0; i < 64; i++) {
            int64_t n = (int64_t)next() >> (next() % 60);
            n = n / 2048 * 2048; /* 53 bits */
            exact += n;
            values[i] = ldexp((double)n, -30);
        }
        assert_true(sum_of(values, 64) == ldexp((double)exact, -30));
    }
}

static void fill(struct sketch *s, enum sketch_kind kind, const uint64_t *inputs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double d;
        memcpy(&d, &inputs[i], sizeof d);
        assert_int_equal(kind == SKETCH_DISTINCT ? sketch_add_hash(s, inputs[i])
                                                 : sketch_add_double(s, d),
                         ST_OK);
    }
}

static void order_and_merging_leave_no_trace(void **state)
{
    enum { COUNT = 3000 };
    static uint64_t inputs[COUNT];

    (void)state;
    for (enum sketch_kind kind = SKETCH_SUM; kind <= SKETCH_QUANTILE; kind++) {
        struct buf bytes[3];
        for (size_t i = 0; i < COUNT; i++) {
            double d = any_double();
            memcpy(&inputs[i], &d, sizeof d);
        }
        for (int round = 0; round < 3; round++) {
            struct sketch *s = sketch_new(kind), *other = sketch_new(kind), *back;
            size_t used;
            if (round == 1) /* shuffled */
                for (size_t i = COUNT - 1; i > 0; i--) {
                    size_t j = next() % (i + 1);
                    uint64_t kept = inputs[i];
                    inputs[i] = inputs[j];
                    inputs[j] = kept;
                }
            size_t cut = round == 2 ? COUNT / 3 : COUNT;
            fill(s, kind, inputs, cut);
            fill(other, kind, inputs + cut, COUNT - cut);
            assert_int_equal(sketch_merge(s, other), ST_OK);
            buf_init(&bytes[round], 1u << 20);
            sketch_encode(&bytes[round], s);
            assert_int_equal(buf_status(&bytes[round]), ST_OK);
            assert_int_equal(bytes[round].len, bytes[0].len);
            assert_memory_equal(bytes[round].data, bytes[0].data, bytes[0].len);
            assert_int_equal(sketch_decode(&back, &used, kind, bytes[round].data, bytes[round].len),
                             ST_OK);
            assert_int_equal(used, bytes[round].len);
            buf_reset(&bytes[round]);
            sketch_encode(&bytes[round], back);
            assert_memory_equal(bytes[round].data, bytes[0].data, bytes[0].len);
            sketch_free(s);
            sketch_free(other);
            sketch_free(back);
        }
        for (int round = 0; round < 3; round++)
            buf_release(&bytes[round]);
    }
}

static void distinct_values_are_counted_within_a_few_percent(void **state)
{
    (void)state;
    for (uint64_t count = 1; count <= 1000000; count *= 10) {
        struct sketch *s = sketch_new(SKETCH_DISTINCT);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t hash = next();
            assert_int_equal(sketch_add_hash(s, hash), ST_OK);
            assert_int_equal(sketch_add_hash(s, hash), ST_OK);
        }
        double estimate = (double)sketch_distinct(s), exact = (double)count;
        if (fabs(estimate - exact) > 0.06 * exact)
            fail_msg("%g distinct values are estimated as %g", exact, estimate);
        sketch_free(s);
    }
}

static void a_quantile_is_within_half_a_percent(void **state)
{
    struct sketch *s = sketch_new(SKETCH_QUANTILE);

    (void)state;
    for (int i = -5000; i <= 5000; i++)
        assert_int_equal(sketch_add_double(s, i * 0.25), ST_OK);
    for (double q = 0; q <= 1; q += 0.05) {
        double exact = -1250 + floor(q * 10000) * 0.25;
        if (fabs(sketch_quantile(s, q) - exact) > 0.005 * fabs(exact) + 1e-9)
            fail_msg("the quantile %g of %g is estimated as %g", q, exact, sketch_quantile(s, q));
    }
    sketch_free(s);
}

static void damaged_bytes_are_refused(void **state)
{
    static const struct {
        enum sketch_kind kind;
        const char *bytes;
        size_t len;
    } BAD[] = {
        {SKETCH_SUM, "\1\0\0", 3},                /* cut */
        {SKETCH_SUM, "\1\0\0\0\2", 5},            /* an entry without a value */
        {SKETCH_SUM, "\1\0\0\0\2\0", 6},          /* a zero */
        {SKETCH_SUM, "\1\0\0\0\222\1\2", 7},      /* a digit that no doubles add up to */
        {SKETCH_SUM, "\1\0\0\0\2\3", 6},          /* -2 */
        {SKETCH_SUM, "\2\0\0\0\2\1\2\2", 8},      /* -1 that is not the highest */
        {SKETCH_SUM, "\2\0\0\0\2\2\0\2", 8},      /* the same key twice */
        {SKETCH_SUM, "\1\0\0\0\2\202\0", 7},      /* a needless byte */
        {SKETCH_DISTINCT, "\1\0\0\0\2\200\1", 7}, /* a rank of 64 */
        {SKETCH_DISTINCT, "\1\0\0\0\1\2", 6},     /* register -1 */
        {SKETCH_QUANTILE, "\1\0\0\0\2\1", 6},     /* a count of -1 */
        {SKETCH_QUANTILE, "\377\377\377\377\2\2", 6},
    };
    struct sketch *s;
    size_t used;

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        if (sketch_decode(&s, &used, BAD[i].kind, BAD[i].bytes, BAD[i].len) != ST_CORRUPT)
            fail_msg("case %zu was taken", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_is_exact_and_rounded_once),
        cmocka_unit_test(a_sum_agrees_with_integers),
        cmocka_unit_test(order_and_merging_leave_no_trace),
        cmocka_unit_test(distinct_values_are_counted_within_a_few_percent),
        cmocka_unit_test(a_quantile_is_within_half_a_percent),
        cmocka_unit_test(damaged_bytes_are_refused),
    };
    return cmocka_run_group_tests_name("store_sketch", tests, NULL, NULL);
}

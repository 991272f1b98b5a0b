#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void what_was_counted_is_rendered(void **state)
{
    static const char *const LABELS[] = {"a", "b", NULL};
    static const double BOUNDS[] = {0.001, 0.1};
    struct metrics *m = NULL;
    struct metric *counter, *histogram;
    struct buf b;

    (void)state;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_register(&counter, m,
                                      &(struct metric_info){.name = "c_total",
                                                            .help = "C.",
                                                            .kind = METRIC_COUNTER,
                                                            .label = "l",
                                                            .label_values = LABELS}),
                     ST_OK);
    assert_int_equal(metrics_register(&histogram, m,
                                      &(struct metric_info){.name = "h_seconds",
                                                            .help = "H.",
                                                            .kind = METRIC_HISTOGRAM,
                                                            .bounds_s = BOUNDS,
                                                            .bound_count = 2}),
                     ST_OK);
    metric_add(counter, 1, 3);
    metric_add(counter, 1, 4);
    metric_observe_ns(histogram, 0, 1000000); /* on the bound: le is inclusive */
    metric_observe_ns(histogram, 0, 50000000);
    metric_observe_ns(histogram, 0, 2000000000);
    buf_init(&b, 10000);
    metrics_render(m, &b);
    assert_non_null(strstr(b.data, "# TYPE c_total counter\n"));
    assert_non_null(strstr(b.data, "c_total{l=\"a\"} 0\n"));
    assert_non_null(strstr(b.data, "c_total{l=\"b\"} 7\n"));
    assert_non_null(strstr(b.data, "h_seconds_bucket{le=\"0.001\"} 1\n"));
    assert_non_null(strstr(b.data, "h_seconds_bucket{le=\"0.1\"} 2\n"));
    assert_non_null(strstr(b.data, "h_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(b.data, "h_seconds_sum 2.051000000\n"));
    assert_non_null(strstr(b.data, "h_seconds_count 3\n"));
    buf_release(&b);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_counted_is_rendered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

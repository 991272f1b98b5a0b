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

static void of_pairs_of_labels_those_that_have_counted_are_rendered(void **state)
{
    static const char *const ROWS[] = {"a", "b", NULL}, *const COLUMNS[] = {"x", "y", "z", NULL};
    static const double BOUNDS[] = {0.1};
    struct metrics *m = NULL;
    struct metric *histogram;
    struct buf b;

    (void)state;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_register(&histogram, m,
                                      &(struct metric_info){.name = "h_seconds",
                                                            .help = "H.",
                                                            .kind = METRIC_HISTOGRAM,
                                                            .label = "row",
                                                            .label_values = ROWS,
                                                            .label2 = "column",
                                                            .label2_values = COLUMNS,
                                                            .bounds_s = BOUNDS,
                                                            .bound_count = 1}),
                     ST_OK);
    metric_observe_ns(histogram, 0 * 3 + 2, 50000000);
    metric_observe_ns(histogram, 1 * 3 + 1, 2000000000);
    metric_observe_ns(histogram, 2 * 3, 1); /* no such pair */
    buf_init(&b, 10000);
    metrics_render(m, &b);
    assert_string_equal(b.data, "# HELP h_seconds H.\n"
                                "# TYPE h_seconds histogram\n"
                                "h_seconds_bucket{row=\"a\",column=\"z\",le=\"0.1\"} 1\n"
                                "h_seconds_bucket{row=\"a\",column=\"z\",le=\"+Inf\"} 1\n"
                                "h_seconds_sum{row=\"a\",column=\"z\"} 0.050000000\n"
                                "h_seconds_count{row=\"a\",column=\"z\"} 1\n"
                                "h_seconds_bucket{row=\"b\",column=\"y\",le=\"0.1\"} 0\n"
                                "h_seconds_bucket{row=\"b\",column=\"y\",le=\"+Inf\"} 1\n"
                                "h_seconds_sum{row=\"b\",column=\"y\"} 2.000000000\n"
                                "h_seconds_count{row=\"b\",column=\"y\"} 1\n");
    buf_release(&b);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_counted_is_rendered),
        cmocka_unit_test(of_pairs_of_labels_those_that_have_counted_are_rendered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

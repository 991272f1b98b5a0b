#include "api/negotiate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void gzip_has_the_weight_that_it_is_given(void **state)
{
    static const struct {
        const char *header;
        int weight;
    } CASES[] = {
        {"gzip", 1000},          {"GZip", 1000},      {"x-gzip", 1000},
        {"deflate, gzip", 1000}, {"gzip;q=0.5", 500}, {"br;q=1.0, gzip;q=0.825 , *;q=0.1", 825},
        {"gzip ; Q=0.05", 50},   {"*", 1000},         {"*;q=0.3", 300},
        {"gzip;q=1.000", 1000},  {",, gzip,", 1000},  {"\tgzip", 1000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_int_equal(api_weight_gzip(CASES[i].header), CASES[i].weight);
}

static void gzip_is_not_taken_unless_it_is_said(void **state)
{
    static const char *const HEADERS[] = {NULL,
                                          "",
                                          "identity",
                                          "br, deflate, zstd",
                                          "gzip;q=0",
                                          "gzip;q=0.000",
                                          "gzip;q=0, *",
                                          "*;q=0",
                                          "gzippy",
                                          "gzi",
                                          "gzip;q=2",
                                          "gzip;q=1.5",
                                          "gzip;q=-1",
                                          "gzip;q=",
                                          "gzip;q=a",
                                          "gzip;q=0.5x",
                                          "gzip;q=0.12345",
                                          "identity;gzip",
                                          ";,;,"};

    (void)state;
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++)
        assert_int_equal(api_weight_gzip(HEADERS[i]), 0);
}

static void a_type_has_the_weight_of_what_names_it_most_closely(void **state)
{
    static const struct {
        const char *header;
        int csv, json;
    } CASES[] = {
        {NULL, 1000, 1000},
        {"", 1000, 1000},
        {"*/*", 1000, 1000},
        {"text/csv", 1000, 0},
        {"Text/CSV; charset=utf-8", 1000, 0},
        {"application/json", 0, 1000},
        {"text/*;q=0.5, application/json;q=0.4", 500, 400},
        {"text/html, application/xhtml+xml, */*;q=0.8", 800, 800},
        {"text/csv;q=0.1, text/*, */*", 100, 1000},
        {"*/*;q=0.1, text/csv;header=present;q=0.9", 900, 100},
        {"text/csvx, textcsv, text/, /csv, csv", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(api_weight_type(CASES[i].header, "text/csv"), CASES[i].csv);
        assert_int_equal(api_weight_type(CASES[i].header, "application/json"), CASES[i].json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_has_the_weight_that_it_is_given),
        cmocka_unit_test(a_type_has_the_weight_of_what_names_it_most_closely),
        cmocka_unit_test(gzip_is_not_taken_unless_it_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "api/route.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH "/a/b/c/d/e/f/g"

struct attempt {
    struct api_request request;
    struct api_target target;
    char allow[64];
    enum st st;
};

/* Matches a copy of its own size, so that a read beyond its end is seen; what was matched does not
 * point into it. */
static void attempt(struct attempt *a, const char *method, const char *raw)
{
    char *copy = strdup(raw);

    assert_non_null(copy);
    memset(a, 0, offsetof(struct attempt, target));
    memset(&a->target, 'x', sizeof a->target);
    a->st = api_route_match(&a->request, &a->target, a->allow, method, copy);
    free(copy);
}

#define takes(a, method, raw, operation) check_taken(a, method, raw, operation, __LINE__)
static void check_taken(struct attempt *a, const char *method, const char *raw,
                        const char *operation, int line)
{
    attempt(a, method, raw);
    if (a->st || strcmp(a->request.route->operation, operation) != 0) {
        print_error("%s %s: %s, operation %s (not %s?)\n", method, raw,
                    a->st ? st_message() : "taken",
                    a->request.route ? a->request.route->operation : "none", operation);
        _fail(__FILE__, line);
    }
}

#define refuses(...) check_refused(__LINE__, __VA_ARGS__)
static void check_refused(int line, const char *method, const char *raw, enum st status,
                          const char *code, const char *place)
{
    struct attempt a;

    attempt(&a, method, raw);
    if (a.st != status || strcmp(st_code(), code) != 0 || strcmp(st_place_text(), place) != 0) {
        print_error("%s %.200s: %s %s at \"%s\", not %s %s at \"%s\": %s\n", method, raw,
                    st_name(a.st), st_code(), st_place_text(), st_name(status), code, place,
                    st_message());
        _fail(__FILE__, line);
    }
}

#define NO_ROUTE ST_NOT_FOUND, "NO_ROUTE", ""
#define BAD_TARGET ST_INVALID, "INVALID_TARGET", ""
#define TOO_LONG ST_TOO_LARGE, "TARGET_TOO_LONG", ""
#define BAD_PARAMETER ST_INVALID, "INVALID_PARAMETER"

/* `head`, then `count` times `unit`. To be freed. */
static char *repeat(const char *head, const char *unit, size_t count)
{
    size_t head_len = strlen(head), len = strlen(unit);
    char *text = malloc(head_len + count * len + 1);

    assert_non_null(text);
    memcpy(text, head, head_len);
    for (size_t i = 0; i < count; i++)
        memcpy(text + head_len + i * len, unit, len);
    text[head_len + count * len] = '\0';
    return text;
}

/* ---- paths and methods ---- */

static void every_operation_of_the_contract_has_its_path(void **state)
{
    static const struct {
        const char *method, *path, *operation;
    } ROUTES[] = {
        {"POST", "/v1/datasets/d/lookup", "lookup"},
        {"POST", "/v1/datasets/d/lookup/batch", "lookupBatch"},
        {"GET", "/v1/datasets/d/records/k", "getRecord"},
        {"GET", "/v1/datasets/d/records/k/series", "getSeries"},
        {"GET", "/v1/datasets/d/export", "exportVersion"},
        {"POST", "/v1/datasets/d/lookup/series", "lookupSeries"},
        {"GET", "/v1/datasets/d/rollups", "listRollups"},
        {"GET", "/v1/datasets/d/rollups/r", "readRollup"},
        {"GET", "/v1/datasets", "listDatasets"},
        {"GET", "/v1/datasets/d", "getDataset"},
        {"PUT", "/v1/datasets/d", "putDataset"},
        {"DELETE", "/v1/datasets/d", "deleteDataset"},
        {"GET", "/v1/datasets/d/versions", "listVersions"},
        {"GET", "/v1/datasets/d/versions/1", "getVersion"},
        {"DELETE", "/v1/datasets/d/versions/1", "retireVersion"},
        {"GET", "/v1/datasets/d/versions/1/rejects", "listRejects"},
        {"GET", "/v1/datasets/d/versions/1/diff", "diffVersions"},
        {"POST", "/v1/datasets/d/versions/1/promote", "promoteVersion"},
        {"POST", "/v1/datasets/d/rollback", "rollBack"},
        {"GET", "/v1/datasets/d/events", "listEvents"},
        {"POST", "/v1/revocations", "revoke"},
        {"GET", "/v1/audit", "listAudit"},
        {"GET", "/v1/usage", "getUsage"},
        {"GET", "/v1/tenants", "listTenants"},
        {"GET", "/v1/tenants/t", "getTenant"},
        {"PUT", "/v1/tenants/t", "putTenant"},
        {"DELETE", "/v1/tenants/t", "deleteTenant"},
        {"POST", "/v1/uploads", "createUpload"},
        {"POST", "/v1/datasets/d/ingests", "createIngest"},
        {"GET", "/v1/jobs", "listJobs"},
        {"GET", "/v1/jobs/j", "getJob"},
        {"GET", "/v1/jobs/j/events", "watchJob"},
        {"POST", "/v1/jobs/j/cancel", "cancelJob"},
        {"POST", "/v1/jobs/j/retry", "retryJob"},
        {"GET", "/livez", "livez"},
        {"GET", "/readyz", "readyz"},
        {"GET", "/openapi.json", "getContract"},
        {"GET", "/docs", "getDocs"},
        {"GET", "/docs/rapidoc.js", "getDocsScript"},
        {"GET", "/console", "getConsole"},
        {"GET", "/console/console.js", "getConsoleScript"},
        {"GET", "/console/console.css", "getConsoleStyle"},
        {"GET", "/metrics", "getMetrics"},
    };
    const char *const *operations = api_route_operations();
    size_t count = 0;
    (void)state;
    while (operations[count])
        count++;
    assert_int_equal(count, sizeof ROUTES / sizeof ROUTES[0]);
    for (size_t i = 0; i < count; i++) {
        struct attempt a;
        takes(&a, ROUTES[i].method, ROUTES[i].path, ROUTES[i].operation);
        assert_string_equal(operations[api_route_index(a.request.route)], ROUTES[i].operation);
        assert_true((a.request.route->data != NULL) != (a.request.route->control != NULL));
        assert_true(!a.request.route->later || a.request.route->control);
        assert_true(!a.request.route->before || a.request.route->control);
        assert_int_equal(a.request.query_count, 0);
    }
}

static void what_only_resembles_a_path_has_no_route(void **state)
{
    static const char *const paths[] = {
        "/",
        "/v1",
        "/v2/datasets",
        "/v1/dataset",
        "/v1/datasetss",
        "/V1/datasets",
        "/v1/Datasets",
        "/v1/datasets/d/lookup/batch/x",
        "/livezz",
        "/live",
        "/livez.json",
        "/livez;x",
        "/livez%20",
        "/v1/datasets/d/nothing",
        "/livez#top",
        DEPTH,
        DEPTH "/h",
        DEPTH "/h/i",
    };
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        refuses("GET", paths[i], NO_ROUTE);
}

static void slashes_count(void **state)
{
    (void)state;
    refuses("GET", "/livez/", NO_ROUTE);
    refuses("GET", "//livez", NO_ROUTE);
    refuses("GET", "/v1/datasets/", NO_ROUTE);
    refuses("GET", "/v1/datasets/?limit=1", NO_ROUTE);
    refuses("GET", "/v1//datasets", NO_ROUTE);
    refuses("GET", "/v1/datasets//rollups", NO_ROUTE);
    refuses("GET", "/v1/datasets/d/", NO_ROUTE);
    refuses("GET", "/v1/datasets/d/rollups/", NO_ROUTE);
    refuses("POST", "/v1/datasets/d/lookup/", NO_ROUTE);
}

static void dots_are_names_like_others(void **state)
{
    struct attempt a;
    (void)state;
    refuses("GET", "/v1/../livez", NO_ROUTE);
    refuses("GET", "/./livez", NO_ROUTE);
    refuses("GET", "/v1/datasets/../metrics", NO_ROUTE);
    takes(&a, "GET", "/v1/datasets/..", "getDataset");
    assert_string_equal(a.request.path_params[0], "..");
}

static void a_target_in_absolute_form_is_taken_whatever_its_authority(void **state)
{
    struct attempt a;

    (void)state;
    takes(&a, "GET", "http://x/livez", "livez");
    takes(&a, "HEAD", "HTTP://example.com:8080/livez?", "livez");
    takes(&a, "GET", "http://[::1]:80/v1/datasets/a%2Fb", "getDataset");
    assert_string_equal(a.request.path_params[0], "a/b");
    takes(&a, "GET", "http://x/v1/datasets?limit=3", "listDatasets");
    assert_string_equal(api_query(&a.request, "limit"), "3");
    refuses("GET", "http://x", NO_ROUTE); /* the path is / */
    refuses("GET", "http://x/", NO_ROUTE);
    refuses("GET", "http://x?limit=3", NO_ROUTE);
    refuses("GET", "http://x//livez", NO_ROUTE);
    refuses("GET", "/http://x/livez", NO_ROUTE);
    refuses("POST", "http://x/livez", ST_METHOD, "METHOD_NOT_ALLOWED", "");
    refuses("GET", "http://", BAD_TARGET);
    refuses("GET", "http:///livez", BAD_TARGET);
    refuses("GET", "http://?x", BAD_TARGET);
    refuses("GET", "http:/livez", BAD_TARGET);
    refuses("GET", "https://x/livez", BAD_TARGET);
    refuses("GET", "x/livez", BAD_TARGET);
}

static void a_target_begins_with_a_slash_or_an_origin(void **state)
{
    (void)state;
    refuses("GET", "http", BAD_TARGET);
    refuses("GET", "", BAD_TARGET);
    refuses("GET", "*", BAD_TARGET);
    refuses("GET", "livez", BAD_TARGET);
    refuses("GET", "?limit=1", BAD_TARGET);
    refuses("GET", "%2Flivez", BAD_TARGET);
}

static void a_wrong_method_is_told_the_allowed_ones(void **state)
{
    static const struct {
        const char *method, *path, *allow;
    } CASES[] = {
        {"POST", "/livez", "GET, HEAD"},
        {"PUT", "/v1/datasets/d/events", "GET, HEAD"},
        {"POST", "/v1/datasets/d", "GET, HEAD, PUT, DELETE"},
        {"DELETE", "/v1/datasets?nonsense=%", "GET, HEAD"},
        {"GET", "/v1/datasets/d/lookup", "POST"},
        {"HEAD", "/v1/datasets/d/lookup", "POST"},
        {"PATCH", "/v1/datasets/d/versions/1/promote", "POST"},
        {"OPTIONS", "/metrics", "GET, HEAD"},
        {"get", "/livez", "GET, HEAD"},
        {"GETT", "/livez", "GET, HEAD"},
        {"", "/livez", "GET, HEAD"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct attempt a;
        attempt(&a, CASES[i].method, CASES[i].path);
        assert_int_equal(a.st, ST_METHOD);
        assert_string_equal(st_code(), "METHOD_NOT_ALLOWED");
        assert_string_equal(a.allow, CASES[i].allow);
        assert_non_null(strstr(st_hint_text(), CASES[i].allow));
        assert_null(a.request.route);
    }
}

static void head_goes_where_get_goes(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "HEAD", "/livez", "livez");
    takes(&a, "HEAD", "/v1/datasets/d/rollups/r?limit=2", "readRollup");
    assert_string_equal(api_query(&a.request, "limit"), "2");
    refuses("HEAD", "/nothing", NO_ROUTE);
}

/* ---- parameters of the path ---- */

static void path_parameters_come_in_their_order(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "GET", "/v1/datasets/people/rollups/by_year", "readRollup");
    assert_string_equal(a.request.path_params[0], "people");
    assert_string_equal(a.request.path_params[1], "by_year");
    takes(&a, "POST", "/v1/datasets/people/versions/12/promote", "promoteVersion");
    assert_string_equal(a.request.path_params[0], "people");
    assert_string_equal(a.request.path_params[1], "12");
}

static void escapes_are_decoded_exactly_once(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "GET", "/v1/datasets/a%20b%C3%A9%e2%82%Ac", "getDataset");
    assert_string_equal(a.request.path_params[0], "a b\xC3\xA9\xE2\x82\xAC");
    takes(&a, "GET", "/v1/datasets/d/records/50%2525", "getRecord");
    assert_string_equal(a.request.path_params[1], "50%25");
    takes(&a, "GET", "/v1/datasets/d/records/%01%FF%7f", "getRecord");
    assert_string_equal(a.request.path_params[1], "\x01\xFF\x7F");
}

static void escaped_slashes_and_question_marks_stay_in_their_segment(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "GET", "/v1/datasets/d/records/a%2Fb%3Fc=d", "getRecord");
    assert_string_equal(a.request.path_params[1], "a/b?c=d");
    assert_int_equal(a.request.query_count, 0);
    takes(&a, "GET", "/v1/datasets/d%2Frollups", "getDataset");
    assert_string_equal(a.request.path_params[0], "d/rollups");
    refuses("GET", "/v1%2Fdatasets", NO_ROUTE);
}

static void a_plus_in_the_path_is_a_plus(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "GET", "/v1/datasets/d/records/a+b", "getRecord");
    assert_string_equal(a.request.path_params[1], "a+b");
}

/* An alias that a proxy's rules do not know would go around them. */
static void fixed_segments_have_no_escaped_alias(void **state)
{
    (void)state;
    refuses("GET", "/%6Civez", NO_ROUTE);
    refuses("GET", "/%6Detrics", NO_ROUTE);
    refuses("GET", "/v1/d%61tasets", NO_ROUTE);
}

static void wrong_escapes_and_nuls_are_refused(void **state)
{
    static const char *const escapes[] = {"%",     "%4",   "%zz",    "%4g",   "%g4", "a%",
                                          "a%4",   "%%41", "%u0041", "%-1",   "%+1", "% 1",
                                          "%0x41", "%00",  "a%00b",  "%41%00"};
    (void)state;
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        char *path = repeat("/v1/datasets/", escapes[i], 1);
        char *later = repeat("/v1/datasets/d/records/", escapes[i], 1);
        char *value = repeat("/v1/datasets/d/rollups/r?x=", escapes[i], 1);
        char *name = repeat("/v1/datasets/d/rollups/r?", escapes[i], 1);
        refuses("GET", path, BAD_TARGET);
        refuses("GET", later, BAD_TARGET);
        refuses("GET", value, BAD_TARGET);
        refuses("GET", name, BAD_TARGET);
        free(path);
        free(later);
        free(value);
        free(name);
    }
}

/* The end of a segment ends an escape: no byte of the next is taken for a digit. */
static void an_escape_does_not_reach_into_the_next_part(void **state)
{
    (void)state;
    refuses("GET", "/v1/datasets/a%4/rollups", BAD_TARGET);
    refuses("GET", "/v1/datasets/a%/41", NO_ROUTE);
    refuses("GET", "/v1/datasets/a%?41", BAD_TARGET);
    refuses("GET", "/v1/datasets/d/rollups/r?a%=41", BAD_TARGET);
    refuses("GET", "/v1/datasets/d/rollups/r?a=%4&1=2", BAD_TARGET);
}

static void a_name_that_cannot_be_is_not_there(void **state)
{
    char *longest = repeat("/v1/datasets/", "n", 63), *longer = repeat("/v1/datasets/", "n", 64);
    char *escaped = repeat("/v1/datasets/", "%6E", 63);
    char *key = repeat("/v1/datasets/d/records/", "k", 1024);
    char *longer_key = repeat("/v1/datasets/d/records/", "k", 1025);
    struct attempt a;
    (void)state;
    takes(&a, "GET", longest, "getDataset");
    takes(&a, "GET", escaped, "getDataset");
    assert_int_equal(strlen(a.request.path_params[0]), 63);
    takes(&a, "GET", key, "getRecord");
    refuses("GET", longer, NO_ROUTE);
    refuses("GET", longer_key, NO_ROUTE);
    free(longest);
    free(longer);
    free(escaped);
    free(key);
    free(longer_key);
}

static void a_version_is_a_number(void **state)
{
    static const char *const versions[] = {"x",
                                           "1x",
                                           "-1",
                                           "+1",
                                           "0",
                                           "1.0",
                                           "0x1",
                                           "%201",
                                           "1%20",
                                           "1e3",
                                           "9007199254740992",
                                           "9223372036854775808",
                                           "99999999999999999999999999"};
    struct attempt a;
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        char *path = repeat("/v1/datasets/d/versions/", versions[i], 1);
        refuses("GET", path, BAD_PARAMETER, "path/version");
        free(path);
    }
    takes(&a, "GET", "/v1/datasets/d/versions/9007199254740991", "getVersion");
    takes(&a, "GET", "/v1/datasets/d/versions/%31", "getVersion");
    assert_string_equal(a.request.path_params[1], "1");
}

/* ---- the query ---- */

static void query_parameters_are_decoded_once_and_found_by_name(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "GET",
          "/v1/datasets/d/rollups/r?from=2024-01-01&place=S%C3%A3o+Paulo%2B%2525&l%69mit=7",
          "readRollup");
    assert_int_equal(a.request.query_count, 3);
    assert_string_equal(api_query(&a.request, "from"), "2024-01-01");
    assert_string_equal(api_query(&a.request, "place"), "S\xC3\xA3o Paulo+%25");
    assert_int_equal(a.request.query[1].value_len, strlen("S\xC3\xA3o Paulo+%25"));
    assert_string_equal(api_query(&a.request, "limit"), "7");
    assert_null(api_query(&a.request, "to"));
    assert_null(api_query(&a.request, "fro"));
}

static void separators_may_be_empty_or_escaped(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "GET", "/livez?", "livez");
    assert_int_equal(a.request.query_count, 0);
    takes(&a, "GET", "/livez?&&", "livez");
    assert_int_equal(a.request.query_count, 0);
    takes(&a, "GET", "/v1/datasets/d/rollups/r?&a=1&&b=2=3%264&", "readRollup");
    assert_int_equal(a.request.query_count, 2);
    assert_string_equal(api_query(&a.request, "a"), "1");
    assert_string_equal(api_query(&a.request, "b"), "2=3&4");
    takes(&a, "GET", "/v1/datasets/d/rollups/r?a%3Db=c?/d", "readRollup");
    assert_string_equal(api_query(&a.request, "a=b"), "c?/d");
}

static void a_parameter_without_a_value_is_empty(void **state)
{
    struct attempt a;
    (void)state;
    takes(&a, "GET", "/readyz?verbose", "readyz");
    assert_string_equal(api_query(&a.request, "verbose"), "");
    assert_int_equal(a.request.query[0].value_len, 0);
    takes(&a, "GET", "/v1/datasets/d/rollups/r?place=&from", "readRollup");
    assert_string_equal(api_query(&a.request, "place"), "");
    assert_string_equal(api_query(&a.request, "from"), "");
}

static void unknown_parameters_are_refused_where_they_are_not_the_handlers(void **state)
{
    struct attempt a;
    (void)state;
    refuses("GET", "/livez?x=1", ST_INVALID, "UNKNOWN_PARAMETER", "query/x");
    refuses("GET", "/livez?=", ST_INVALID, "UNKNOWN_PARAMETER", "query/");
    refuses("GET", "/v1/datasets?Limit=1", ST_INVALID, "UNKNOWN_PARAMETER", "query/Limit");
    refuses("POST", "/v1/datasets/d/lookup?limit=1", ST_INVALID, "UNKNOWN_PARAMETER",
            "query/limit");
    takes(&a, "GET", "/v1/datasets/d/rollups/r?anything=1", "readRollup");
}

static void a_parameter_may_be_there_once(void **state)
{
    (void)state;
    refuses("GET", "/v1/datasets?limit=1&limit=1", ST_INVALID, "DUPLICATE_PARAMETER",
            "query/limit");
    refuses("GET", "/v1/datasets?limit=1&%6Cimit=2", ST_INVALID, "DUPLICATE_PARAMETER",
            "query/limit");
    refuses("GET", "/v1/datasets/d/rollups/r?a=1&b=2&a", ST_INVALID, "DUPLICATE_PARAMETER",
            "query/a");
    refuses("GET", "/v1/datasets/d/rollups/r?=&=", ST_INVALID, "DUPLICATE_PARAMETER", "query/");
}

static void values_keep_the_bounds_of_the_contract(void **state)
{
    static const char *const limits[] = {"",    "0",    "1001", "-1",
                                         "+1",  "%2B1", "%201", "1%20",
                                         "1.0", "0x10", "a",    "1000000000000000000000"};
    char *cursor = repeat("/v1/datasets?cursor=", "c", 2048);
    char *longer = repeat("/v1/datasets?cursor=", "c", 2049);
    struct attempt a;
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        char *target = repeat("/v1/datasets?limit=", limits[i], 1);
        refuses("GET", target, BAD_PARAMETER, "query/limit");
        free(target);
    }
    takes(&a, "GET", "/v1/datasets?limit=1", "listDatasets");
    takes(&a, "GET", "/v1/datasets?limit=1000", "listDatasets");
    takes(&a, "GET", cursor, "listDatasets");
    refuses("GET", longer, BAD_PARAMETER, "query/cursor");
    refuses("GET", "/v1/datasets?cursor=", BAD_PARAMETER, "query/cursor");
    takes(&a, "GET", "/readyz?verbose=true", "readyz");
    takes(&a, "GET", "/readyz?verbose=false", "readyz");
    refuses("GET", "/readyz?verbose=1", BAD_PARAMETER, "query/verbose");
    refuses("GET", "/readyz?verbose=TRUE", BAD_PARAMETER, "query/verbose");
    free(cursor);
    free(longer);
}

/* Who may not ask is told so before what was wrong with the question: the gate needs the route. */
static void the_route_is_known_when_its_parameters_are_wrong(void **state)
{
    struct attempt a;
    (void)state;
    attempt(&a, "GET", "/v1/datasets?limit=0");
    assert_int_equal(a.st, ST_INVALID);
    assert_non_null(a.request.route);
    assert_string_equal(a.request.route->operation, "listDatasets");
    attempt(&a, "GET", "/nothing");
    assert_int_equal(a.st, ST_NOT_FOUND);
    assert_null(a.request.route);
    assert_string_equal(a.allow, "");
}

/* ---- caps ---- */

static void overlong_targets_are_refused(void **state)
{
    char *segment = repeat("/v1/datasets/", "n", 8192), *wide = repeat("/", "n", 100000);
    char *deep = repeat("/v1", "/x", 100000), *slashes = repeat("", "/", 100000);
    char *value = repeat("/v1/datasets/d/rollups/r?x=", "v", 8192);
    char *name = repeat("/v1/datasets/d/rollups/r?", "n", 8192);
    (void)state;
    refuses("GET", segment, TOO_LONG);
    refuses("GET", value, TOO_LONG);
    refuses("GET", name, TOO_LONG);
    refuses("GET", wide, NO_ROUTE);
    refuses("GET", deep, NO_ROUTE);
    refuses("GET", slashes, NO_ROUTE);
    free(segment);
    free(wide);
    free(deep);
    free(slashes);
    free(value);
    free(name);
}

/* "d", "r" and "x" with their NULs, then the value with its own. */
static void a_target_may_fill_its_room_to_the_last_byte(void **state)
{
    size_t room = sizeof((struct api_target *)NULL)->text - 6;
    char *full = repeat("/v1/datasets/d/rollups/r?x=", "v", room - 1);
    char *over = repeat("/v1/datasets/d/rollups/r?x=", "v", room);
    struct attempt a;
    (void)state;
    takes(&a, "GET", full, "readRollup");
    assert_int_equal(strlen(api_query(&a.request, "x")), room - 1);
    assert_int_equal(a.target.len, sizeof a.target.text);
    refuses("GET", over, TOO_LONG);
    free(full);
    free(over);
}

static void there_is_a_highest_number_of_parameters(void **state)
{
    char target[1024] = "/v1/datasets/d/rollups/r?";
    struct attempt a;
    (void)state;
    for (unsigned i = 0; i < API_QUERY_MAX; i++) {
        size_t len = strlen(target);
        snprintf(target + len, sizeof target - len, "p%u=%u&", i, i);
    }
    takes(&a, "GET", target, "readRollup");
    assert_int_equal(a.request.query_count, API_QUERY_MAX);
    strcat(target, "one=more");
    refuses("GET", target, TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_of_the_contract_has_its_path),
        cmocka_unit_test(what_only_resembles_a_path_has_no_route),
        cmocka_unit_test(slashes_count),
        cmocka_unit_test(dots_are_names_like_others),
        cmocka_unit_test(a_target_in_absolute_form_is_taken_whatever_its_authority),
        cmocka_unit_test(a_target_begins_with_a_slash_or_an_origin),
        cmocka_unit_test(a_wrong_method_is_told_the_allowed_ones),
        cmocka_unit_test(head_goes_where_get_goes),
        cmocka_unit_test(path_parameters_come_in_their_order),
        cmocka_unit_test(escapes_are_decoded_exactly_once),
        cmocka_unit_test(escaped_slashes_and_question_marks_stay_in_their_segment),
        cmocka_unit_test(a_plus_in_the_path_is_a_plus),
        cmocka_unit_test(fixed_segments_have_no_escaped_alias),
        cmocka_unit_test(wrong_escapes_and_nuls_are_refused),
        cmocka_unit_test(an_escape_does_not_reach_into_the_next_part),
        cmocka_unit_test(a_name_that_cannot_be_is_not_there),
        cmocka_unit_test(a_version_is_a_number),
        cmocka_unit_test(query_parameters_are_decoded_once_and_found_by_name),
        cmocka_unit_test(separators_may_be_empty_or_escaped),
        cmocka_unit_test(a_parameter_without_a_value_is_empty),
        cmocka_unit_test(unknown_parameters_are_refused_where_they_are_not_the_handlers),
        cmocka_unit_test(a_parameter_may_be_there_once),
        cmocka_unit_test(values_keep_the_bounds_of_the_contract),
        cmocka_unit_test(the_route_is_known_when_its_parameters_are_wrong),
        cmocka_unit_test(overlong_targets_are_refused),
        cmocka_unit_test(a_target_may_fill_its_room_to_the_last_byte),
        cmocka_unit_test(there_is_a_highest_number_of_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

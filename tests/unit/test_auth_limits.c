/* Guesses: the count is exact, and one tenant's do not take the room of the others'. */
#include "auth/limits.h"
#include "base/digest.h"
#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOON_US (INT64_C(20000) * 86400000000 + 43200000000)
#define DAY_US INT64_C(86400000000)
#define LIMIT 5

static char directory[] = "/tmp/everline-limits-XXXXXX";
static struct auth_limits *limits;
static ino_t synced; /* the last file that was */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    struct stat sb;

    if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode))
        synced = sb.st_ino;
    return __real_fsync(fd);
}

static int set_up(void **state)
{
    char path[FS_PATH_MAX];

    (void)state;
    if (!mkdtemp(directory) || fs_path(path, "%s/limits.table", directory))
        return -1;
    return auth_limits_open(&limits, path) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    auth_limits_close(limits);
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

static void name(unsigned char out[AUTH_GUESS_BYTES], const char *tenant, uint64_t number)
{
    unsigned char digest[DIGEST_BYTES];
    char text[80];

    snprintf(text, sizeof text, "%s/%llu", tenant, (unsigned long long)number);
    digest_sha256(digest, text, strlen(text));
    memcpy(out, digest, AUTH_GUESS_BYTES);
}

static enum st guess(const char *tenant, uint64_t person, uint64_t value, int64_t now_us)
{
    unsigned char base[AUTH_GUESS_BYTES], key[AUTH_GUESS_BYTES];

    name(base, tenant, person);
    name(key, "value", value);
    return auth_limits_guess(limits, tenant, base, key, LIMIT, now_us);
}

/* Else a loss of power leaves a table of zeros, and with it no server starts. */
static void a_table_has_its_bytes_on_the_disk_before_its_name(void **state)
{
    char path[FS_PATH_MAX];
    struct stat sb;

    (void)state;
    assert_int_equal(fs_path(path, "%s/limits.table", directory), ST_OK);
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(synced, sb.st_ino);
}

static void the_table_of_another_everline_is_refused_with_a_way_out(void **state)
{
    struct auth_limits *other = NULL;
    char path[FS_PATH_MAX];

    (void)state;
    assert_int_equal(fs_path(path, "%s/other", directory), ST_OK);
    assert_int_equal(auth_limits_open(&other, path), ST_OK);
    auth_limits_close(other);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "everline limit0", 15, 0), 15);
    close(fd);
    enum st st = auth_limits_open(&other, path);
    assert_int_equal(st, ST_CORRUPT);
    assert_null(other);
    assert_string_equal(st_code(), "LIMITS_FORMAT");
    assert_non_null(strstr(st_hint_text(), "remove it"));
}

static void five_values_of_a_person_pass_and_those_again(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++)
        for (uint64_t value = 0; value < LIMIT; value++)
            assert_int_equal(guess("dev", 1, value, NOON_US), ST_OK);
    for (uint64_t value = LIMIT; value < 20; value++)
        assert_int_equal(guess("dev", 1, value, NOON_US), ST_LIMITED);
    assert_int_equal(guess("dev", 2, 7, NOON_US), ST_OK);
    assert_int_equal(guess("dev", 1, 7, NOON_US + DAY_US), ST_OK);
}

/* How many people more until it is refused. */
static uint64_t fill(const char *tenant, uint64_t from, int64_t now_us)
{
    uint64_t person = from;

    while (guess(tenant, person, 0, now_us) == ST_OK)
        person++;
    assert_string_equal(st_code(), "GUESS_TABLE_FULL");
    return person - from;
}

static void a_tenant_that_asks_for_ever_more_people_leaves_room_for_the_others(void **state)
{
    int64_t now_us = NOON_US + 5 * DAY_US;

    (void)state;
    assert_in_range(fill("hog", 0, now_us), 1500000, 1600000);
    assert_int_equal(guess("hog", 0, 0, now_us), ST_OK); /* who was asked for may be again */
    assert_in_range(fill("pig", 0, now_us), 700000, 800000);
    for (uint64_t person = 0; person < 1000; person++)
        for (uint64_t value = 0; value < LIMIT + 1; value++)
            assert_int_equal(guess("dev", person, value, now_us),
                             value < LIMIT ? ST_OK : ST_LIMITED);
    assert_int_equal(guess("hog", UINT32_MAX, 0, now_us), ST_FULL);
    assert_int_equal(guess("hog", UINT32_MAX, 0, now_us + DAY_US), ST_OK);
}

static bool take(const char *tenant, const char *subject, uint64_t per_day, int64_t now_us)
{
    const struct auth_rate rate = {.per_day = per_day};
    struct auth_quota quota;

    return auth_limits_take(&quota, limits, tenant, subject, &rate, 1, now_us);
}

static void a_tenant_with_many_subjects_takes_nothing_from_another_tenant(void **state)
{
    int64_t now_us = NOON_US + 9 * DAY_US;
    char subject[24];

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        snprintf(subject, sizeof subject, "s%u", i);
        (void)take("hog", subject, UINT32_MAX, now_us);
    }
    for (unsigned i = 0; i < 100; i++) {
        snprintf(subject, sizeof subject, "t%u", i); /* a tenant that comes first now */
        assert_true(take(subject, "", 2, now_us));
        assert_true(take(subject, "", 2, now_us));
        assert_false(take(subject, "", 2, now_us));
    }
}

static void nor_do_its_subjects_from_the_other_tenants_subjects(void **state)
{
    int64_t now_us = NOON_US + 10 * DAY_US;
    char subject[24];

    (void)state;
    for (unsigned i = 0; i < 400000; i++) {
        snprintf(subject, sizeof subject, "s%u", i);
        (void)take(i % 2 ? "hog" : "pig", subject, UINT32_MAX, now_us);
    }
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(subject, sizeof subject, "t%u", i);
        assert_true(take("dev", subject, 2, now_us));
        assert_true(take("dev", subject, 2, now_us));
        assert_false(take("dev", subject, 2, now_us));
    }
}

/* However many tenants have many. */
static void a_tenant_with_one_subject_has_a_limit_of_its_own(void **state)
{
    int64_t now_us = NOON_US + 12 * DAY_US;
    char tenant[24], subject[24];

    (void)state;
    for (unsigned i = 0; i < 480000; i++) {
        snprintf(tenant, sizeof tenant, "hog%u", i / 40000);
        snprintf(subject, sizeof subject, "s%u", i);
        (void)take(tenant, subject, UINT32_MAX, now_us);
    }
    for (unsigned i = 0; i < 500; i++) {
        snprintf(tenant, sizeof tenant, "t%u", i);
        assert_true(take(tenant, "ada", 2, now_us));
        assert_true(take(tenant, "ada", 2, now_us));
        assert_false(take(tenant, "ada", 2, now_us));
    }
}

static void ten_thousand_subjects_of_a_tenant_are_told_apart(void **state)
{
    int64_t now_us = NOON_US + 11 * DAY_US;
    char subject[24];

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(subject, sizeof subject, "s%u", i);
        assert_true(take("dev", subject, 1, now_us));
        assert_false(take("dev", subject, 1, now_us));
    }
}

/* Each test has days of its own. */
static bool take_at(struct auth_quota *quota, const struct auth_rate *rate, uint64_t count,
                    int64_t now_us)
{
    return auth_limits_take(quota, limits, "dev", "", rate, count, now_us);
}

static void what_the_second_refuses_is_not_counted_for_the_day(void **state)
{
    const struct auth_rate rate = {.per_second = 1, .burst = 1, .per_day = 3};
    int64_t now_us = NOON_US + 20 * DAY_US;
    struct auth_quota quota;

    (void)state;
    for (unsigned taken = 0; taken < 3; taken++, now_us += 1000000) {
        assert_true(take_at(&quota, &rate, 1, now_us));
        for (unsigned i = 0; i < 5; i++) {
            assert_false(take_at(&quota, &rate, 1, now_us));
            assert_int_equal(quota.by_day, taken == 2);
        }
    }
    assert_false(take_at(&quota, &rate, 1, now_us));
    assert_true(quota.by_day);
}

static void more_than_the_burst_passes_where_nothing_was_taken_and_is_paid_for(void **state)
{
    const struct auth_rate rate = {.per_second = 10, .most = 1000};
    int64_t now_us = NOON_US + 21 * DAY_US;
    struct auth_quota quota;

    (void)state;
    assert_true(take_at(&quota, &rate, 100, now_us));
    assert_int_equal(quota.left, 0);
    assert_int_equal(quota.reset_s, 10);
    assert_false(take_at(&quota, &rate, 1, now_us));
    assert_int_equal(quota.retry_s, 10); /* 9.1 s */
    assert_false(take_at(&quota, &rate, 1, now_us + 9000000));
    assert_true(take_at(&quota, &rate, 1, now_us + 9100000));
}

static void what_is_given_back_can_be_taken_again(void **state)
{
    const struct auth_rate rate = {.per_second = 1, .burst = 1, .per_day = 1};
    int64_t now_us = NOON_US + 22 * DAY_US;
    struct auth_quota quota;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(take_at(&quota, &rate, 1, now_us));
        assert_false(take_at(&quota, &rate, 1, now_us));
        auth_limits_return(limits, "dev", "", &rate, 1, now_us);
    }
}

static void a_clock_that_is_set_back_keeps_nobody_out(void **state)
{
    const struct auth_rate rate = {.per_second = 1, .burst = 5, .most = 100};
    int64_t now_us = NOON_US + 24 * DAY_US, back_us = now_us - DAY_US / 24;
    struct auth_quota quota;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_true(take_at(&quota, &rate, 1, now_us));
    assert_false(take_at(&quota, &rate, 1, now_us));
    assert_false(take_at(&quota, &rate, 1, now_us - 60000000)); /* who is late, perhaps */
    for (unsigned i = 0; i < 5; i++)
        assert_true(take_at(&quota, &rate, 1, back_us));
    assert_false(take_at(&quota, &rate, 1, back_us));
    assert_true(take_at(&quota, &rate, 100, back_us + 5000000)); /* no more than may be */
    assert_false(take_at(&quota, &rate, 1, back_us + 5000000));
}

static void a_tenant_and_its_subject_are_two_names(void **state)
{
    int64_t now_us = NOON_US + 23 * DAY_US;

    (void)state;
    assert_true(take("a", "bc", 1, now_us));
    assert_false(take("a", "bc", 1, now_us));
    assert_true(take("ab", "c", 1, now_us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_has_its_bytes_on_the_disk_before_its_name),
        cmocka_unit_test(the_table_of_another_everline_is_refused_with_a_way_out),
        cmocka_unit_test(five_values_of_a_person_pass_and_those_again),
        cmocka_unit_test(a_tenant_that_asks_for_ever_more_people_leaves_room_for_the_others),
        cmocka_unit_test(a_tenant_with_many_subjects_takes_nothing_from_another_tenant),
        cmocka_unit_test(nor_do_its_subjects_from_the_other_tenants_subjects),
        cmocka_unit_test(a_tenant_with_one_subject_has_a_limit_of_its_own),
        cmocka_unit_test(ten_thousand_subjects_of_a_tenant_are_told_apart),
        cmocka_unit_test(what_the_second_refuses_is_not_counted_for_the_day),
        cmocka_unit_test(more_than_the_burst_passes_where_nothing_was_taken_and_is_paid_for),
        cmocka_unit_test(what_is_given_back_can_be_taken_again),
        cmocka_unit_test(a_tenant_and_its_subject_are_two_names),
        cmocka_unit_test(a_clock_that_is_set_back_keeps_nobody_out),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

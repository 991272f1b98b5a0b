#include "store_format_kit.h"

#include "store/normalize.h"

#include <sys/wait.h>
#include <utf8proc.h>

static struct buf out;
static int fail_at; /* the growing of a buffer that fails, of those to come; 0: none does */

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *__wrap_realloc(void *block, size_t size)
{
    return fail_at && --fail_at == 0 ? NULL : __real_realloc(block, size);
}

static enum st normalize(const char *name, const char *text, size_t len)
{
    /* Of its own size, so that a read beyond the end is seen. */
    char *copy = malloc(len ? len : 1);

    assert_non_null(store_normalizer_find(name));
    memcpy(copy, text, len);
    buf_reset(&out);
    enum st st = store_normalize(&out, store_normalizer_find(name), copy, len);
    free(copy);
    return st;
}

static void assert_normal(const char *name, const char *text, const char *expected)
{
    if (normalize(name, text, strlen(text)) != ST_OK)
        fail_msg("%s of \"%s\": %s", name, text, st_message());
    assert_string_equal(out.data, expected);
}

static void assert_refused(const char *name, const char *text, size_t len, const char *why)
{
    assert_int_equal(normalize(name, text, len), ST_INVALID);
    assert_string_equal(st_code(), "INVALID_KEY");
    assert_non_null(strstr(st_message(), why));
    assert_string_equal(st_place_text(), "");
}

/* The tables of the short way are made by the first name of a process: in a child for each point.
 */
static void a_table_that_could_not_be_made_changes_no_name(void **state)
{
    static const char NAME[] = "O'Neill-Garc\u00eda";
    bool reached = true;

    (void)state;
    for (int at = 1; reached; at++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            fail_at = at;
            enum st first = normalize("person_name", NAME, strlen(NAME));
            bool met = fail_at == 0, right = first || strcmp(out.data, "o'neill-garcia") == 0;
            fail_at = 0;
            right = right && !normalize("person_name", NAME, strlen(NAME)) &&
                    strcmp(out.data, "o'neill-garcia") == 0;
            _exit(right ? met : 2);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        reached = WEXITSTATUS(status) == 1;
        assert_true(at < 10000);
    }
}

static void every_normalizer_has_a_name_and_a_version(void **state)
{
    static const char *const NAMES[] = {"exact", "person_name", "date", "digits"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct store_normalizer *n = store_normalizer_find(NAMES[i]);
        assert_non_null(n);
        assert_string_equal(store_normalizer_name(n), NAMES[i]);
        assert_true(store_normalizer_version(n) >= 1);
        assert_non_null(strstr(store_normalizer_names(), NAMES[i]));
    }
    assert_null(store_normalizer_find("soundex"));
    assert_null(store_normalizer_find(""));
    assert_string_equal(store_normalizer_unicode(), utf8proc_unicode_version());
}

static void names_that_people_type_alike_are_alike(void **state)
{
    static const struct {
        const char *text, *expected;
    } NAMES[] = {
        {"John", "john"},
        {"  MARY   Ann\t", "mary ann"},
        {"Jos\xc3\xa9", "jose"},
        {"Jose\xcc\x81", "jose"}, /* e and a combining accent */
        {"O\xe2\x80\x99Neill", "o'neill"},
        {"O'Neill", "o'neill"},
        {"O`Neill", "o'neill"},
        {"O\xc2\xb4Neill", "o'neill"},
        {"O\xca\xbbNeill", "o'neill"},
        {"Smith\xe2\x80\x90Jones", "smith-jones"},
        {"Smith\xe2\x80\x91Jones", "smith-jones"},
        {"Smith\xe2\x80\x93Jones", "smith-jones"},
        {"Smith\xef\xbc\x8dJones", "smith-jones"},
        {"Stra\xc3\x9f"
         "e",
         "strasse"},
        {"\xef\xac\x81nn", "finn"},                               /* the fi ligature */
        {"\xef\xbc\xad\xef\xbd\x81ry", "mary"},                   /* full-width letters */
        {"\xce\xa3\xce\xaf\xcf\x82", "\xcf\x83\xce\xb9\xcf\x83"}, /* final sigma folds */
        {"Dr. Who, Jr.", "dr who jr"},
        {"Anna\xc2\xa0Lee", "anna lee"}, /* no-break space */
        {"An\xe2\x80\x8bna", "anna"},    /* zero-width space */
        {"\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd", "\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd"},
        {"\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e", "\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e"},
        {"Louis 14", "louis 14"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        assert_normal("person_name", NAMES[i].text, NAMES[i].expected);
}

static void a_name_of_nothing_is_refused(void **state)
{
    (void)state;
    assert_refused("person_name", "", 0, "is empty");
    assert_refused("person_name", "  \t", 3, "is empty");
    assert_refused("person_name", "...", 3, "is empty");
    assert_refused("person_name", "\xcc\x81", 2, "is empty");
    assert_refused("person_name", "\0", 1, "is empty");
    assert_refused("exact", "", 0, "is empty");
    assert_refused("digits", "", 0, "is empty");
    assert_refused("digits", " - ", 3, "is empty");
    assert_refused("date", "", 0, "is not a date");
}

static void wrong_utf8_is_refused(void **state)
{
    static const char *const WRONG[] = {
        "\x80", "a\xc3",    "\xc0\x80",    "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xff", "\xe2\x82", "abcdefgh\xc3"};

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_refused("person_name", WRONG[i], strlen(WRONG[i]), "UTF-8");
        assert_refused("exact", WRONG[i], strlen(WRONG[i]), "UTF-8");
        assert_refused("digits", WRONG[i], strlen(WRONG[i]), "UTF-8");
        assert_refused("date", WRONG[i], strlen(WRONG[i]), "UTF-8");
    }
}

static void a_refusal_does_not_say_what_was_refused(void **state)
{
    (void)state;
    assert_int_equal(normalize("digits", "12X45", 5), ST_INVALID);
    assert_null(strstr(st_message(), "12X45"));
    assert_int_equal(normalize("date", "1999-19-39", 10), ST_INVALID);
    assert_null(strstr(st_message(), "1999"));
}

static void long_input_is_refused_and_the_longest_is_taken(void **state)
{
    static const char *const NAMES[] = {"exact", "person_name", "digits"};
    char text[1025];

    (void)state;
    memset(text, '7', sizeof text);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(normalize(NAMES[i], text, 1024), ST_OK);
        assert_int_equal(out.len, 1024);
        assert_refused(NAMES[i], text, 1025, "longer than 1024 bytes");
    }
    /* U+FDFA, which decomposes to eighteen characters, as often as it fits. */
    for (size_t i = 0; i < 341; i++)
        memcpy(text + 3 * i, "\xef\xb7\xba", 3);
    assert_int_equal(normalize("person_name", text, 1023), ST_OK);
    assert_true(out.len > 1024 * 5);
}

static void exact_keeps_every_byte(void **state)
{
    (void)state;
    assert_normal("exact", " A\xc3\xa9\t ", " A\xc3\xa9\t ");
    assert_int_equal(normalize("exact", "a\0b", 3), ST_OK);
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.data, "a\0b", 3);
}

static void only_dates_that_exist_are_dates(void **state)
{
    static const char *const GOOD[] = {"0001-01-01", "1900-02-28", "2000-02-29", "2024-12-31",
                                       "9999-12-31"};
    static const char *const BAD[] = {"1900-02-29",
                                      "2023-02-29",
                                      "2023-04-31",
                                      "2023-00-10",
                                      "2023-13-01",
                                      "2023-01-00",
                                      "2023-01-32",
                                      "0000-01-01",
                                      "2023-1-1",
                                      "23-01-01",
                                      "2023/01/01",
                                      "20230101",
                                      "2023-01-01 ",
                                      " 2023-01-01",
                                      "2023-01-1x",
                                      "+023-01-01",
                                      "2023-01- 1",
                                      "-023-01-01",
                                      "2023-01-01T00:00:00Z",
                                      "01/02/2023",
                                      "\xef\xbc\x92"
                                      "023-01"};

    (void)state;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        assert_normal("date", GOOD[i], GOOD[i]);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_refused("date", BAD[i], strlen(BAD[i]), "is not a date");
}

static void digits_drop_separators_and_refuse_the_rest(void **state)
{
    (void)state;
    assert_normal("digits", "123-45-6789", "123456789");
    assert_normal("digits", " 0042 ", "0042");
    assert_normal("digits", "1.2/3", "123");
    assert_refused("digits", "12a", 3, "other than digits");
    assert_refused("digits", "12\t", 3, "other than digits");
    assert_refused("digits", "1\0", 2, "other than digits");
    assert_refused("digits", "\xd9\xa1", 2, "other than digits"); /* Arabic one */
}

/* The rules look at one character at a time (and at spaces), so that what holds for each holds for
 * all strings. */
static void the_normal_form_of_a_normal_form_is_itself_for_all_of_unicode(void **state)
{
    unsigned kept = 0;

    (void)state;
    for (utf8proc_int32_t c = 0; c < 0x110000; c++) {
        utf8proc_uint8_t text[8] = {'A'};
        char once[256];

        if (c >= 0xD800 && c < 0xE000)
            continue;
        size_t len = 1 + (size_t)utf8proc_encode_char(c, text + 1);
        text[len++] = 'b';
        assert_int_equal(normalize("person_name", (char *)text, len), ST_OK);
        size_t once_len = out.len;
        assert_true(once_len >= 2 && once_len < sizeof once);
        memcpy(once, out.data, once_len);
        kept += once_len > 2;
        assert_int_equal(normalize("person_name", once, once_len), ST_OK);
        if (out.len != once_len || memcmp(out.data, once, once_len) != 0)
            fail_msg("U+%04X: its normal form has another normal form", (unsigned)c);
        assert_true(once[0] == 'a' && once[once_len - 1] == 'b');
    }
    assert_true(kept > 100000);
}

/* Usual characters take a short cut; a zero-width one, which is dropped, makes a name take the long
 * way. The first rounds have each character of the short cut (and some others) alone, then come
 * strings of ASCII, and strings of both. */
static void the_short_way_for_names_gives_what_the_long_way_gives(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (unsigned round = 0; round < 40000; round++) {
        char text[64], quick[128];
        size_t len = 0, count = round < 0x250 ? 1 : 1 + round % 16;

        for (size_t i = 0; i < count; i++) {
            seed = seed * 1103515245u + 12345u;
            unsigned c = round < 0x250 ? round : (seed >> 16) % (round < 20000 ? 0x80 : 0x250);
            len +=
                (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (utf8proc_uint8_t *)text + len);
        }
        enum st st = normalize("person_name", text, len);
        size_t quick_len = st ? 0 : out.len;
        memcpy(quick, st ? "" : out.data, quick_len);
        memcpy(text + len, "\xe2\x80\x8b", 3);
        assert_int_equal(normalize("person_name", text, len + 3), st);
        if (!st) {
            assert_int_equal(out.len, quick_len);
            assert_memory_equal(out.data, quick, quick_len);
        }
    }
}

static void the_normal_form_is_appended_to_what_is_there(void **state)
{
    (void)state;
    buf_reset(&out);
    buf_addstr(&out, "x");
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            store_normalize(&out, store_normalizer_find("person_name"), " J\xc3\xb6rg  K ", 9),
            ST_OK);
    assert_int_equal(store_normalize(&out, store_normalizer_find("person_name"), " Al  K ", 7),
                     ST_OK);
    assert_string_equal(out.data, "xjorg kjorg kal k");
}

static void a_full_buffer_is_reported(void **state)
{
    static const char *const NAMES[] = {"exact", "person_name", "digits"};
    struct buf small;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        buf_init(&small, 3);
        assert_int_equal(store_normalize(&small, store_normalizer_find(NAMES[i]), "1234", 4),
                         ST_TOO_LARGE);
        buf_release(&small);
    }
}

static int set_up(void **state)
{
    (void)state;
    buf_init(&out, 1u << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_release(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_that_could_not_be_made_changes_no_name), /* before any name */
        cmocka_unit_test(every_normalizer_has_a_name_and_a_version),
        cmocka_unit_test(names_that_people_type_alike_are_alike),
        cmocka_unit_test(a_name_of_nothing_is_refused),
        cmocka_unit_test(wrong_utf8_is_refused),
        cmocka_unit_test(a_refusal_does_not_say_what_was_refused),
        cmocka_unit_test(long_input_is_refused_and_the_longest_is_taken),
        cmocka_unit_test(exact_keeps_every_byte),
        cmocka_unit_test(only_dates_that_exist_are_dates),
        cmocka_unit_test(digits_drop_separators_and_refuse_the_rest),
        cmocka_unit_test(the_normal_form_of_a_normal_form_is_itself_for_all_of_unicode),
        cmocka_unit_test(the_short_way_for_names_gives_what_the_long_way_gives),
        cmocka_unit_test(the_normal_form_is_appended_to_what_is_there),
        cmocka_unit_test(a_full_buffer_is_reported),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

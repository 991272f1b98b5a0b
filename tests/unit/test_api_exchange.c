/* What becomes of a handler's answer. */
#include "api/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define BODY_MAX 1000 /* the problem fits, what the handler writes does not */

static enum st write_too_much(struct api_reply *reply)
{
    for (int i = 0; i < BODY_MAX; i++)
        buf_addstr(&reply->body, "{}");
    return ST_OK;
}

static enum st write_data(struct api_reply *reply, struct api_request *request)
{
    (void)request;
    return write_too_much(reply);
}

static enum st write_control(struct api_reply *reply, struct api_request *request, struct store *s,
                             struct store_wait *wait)
{
    (void)request, (void)s, (void)wait;
    return write_too_much(reply);
}

static const struct api_route ROUTE = {
    .operation = "test", .data = write_data, .control = write_control, .later = write_data};

static void run_data(struct api_reply *reply, struct api_request *request)
{
    api_run_data(reply, request);
}

static void run_control(struct api_reply *reply, struct api_request *request)
{
    struct store_wait wait = {.version = 0};

    api_run_control(reply, request, NULL, &wait);
}

static void run_later(struct api_reply *reply, struct api_request *request)
{
    api_run_later(reply, request);
}

static void an_answer_that_was_cut_is_never_sent(void **state)
{
    static void (*const RUNS[])(struct api_reply *, struct api_request *) = {run_data, run_control,
                                                                             run_later};

    (void)state;
    for (size_t i = 0; i < sizeof RUNS / sizeof RUNS[0]; i++) {
        struct api_request request = {.route = &ROUTE, .request_id = "r"};
        struct api_reply reply;

        api_reply_init(&reply);
        reply.body.max = BODY_MAX;
        RUNS[i](&reply, &request);
        assert_int_equal(reply.status, 413);
        assert_string_equal(reply.content_type, "application/problem+json");
        assert_non_null(strstr(reply.body.data, "\"request_id\":\"r\"}"));
        api_reply_release(&reply);
    }
}

static void add_long_header(struct api_reply *reply)
{
    api_reply_header(reply, "Long", "%0*d", API_HEADER_BYTES, 1);
}

static void add_long_text(struct api_reply *reply)
{
    char text[API_HEADER_BYTES + 1];

    memset(text, 'x', API_HEADER_BYTES);
    text[API_HEADER_BYTES] = '\0';
    api_reply_text(reply, "Long", text);
}

static void add_too_many(struct api_reply *reply)
{
    for (int i = 0; i <= API_HEADERS_MAX; i++)
        api_reply_text(reply, "Many", "1");
}

static void (*add_too_much)(struct api_reply *reply);

static enum st write_headers(struct api_reply *reply, struct api_request *request)
{
    (void)request;
    api_reply_text(reply, "First", "one");
    add_too_much(reply);
    api_reply_header(reply, "Last", "%d", 2); /* that this has room again changes nothing */
    buf_addstr(&reply->body, "{}");
    return ST_OK;
}

static void an_answer_that_lost_a_header_is_never_sent(void **state)
{
    static void (*const ADDS[])(struct api_reply *) = {add_long_header, add_long_text,
                                                       add_too_many};
    static const struct api_route route = {.operation = "test", .data = write_headers};

    (void)state;
    for (size_t i = 0; i < sizeof ADDS / sizeof ADDS[0]; i++) {
        struct api_request request = {.route = &route, .request_id = "r"};
        struct api_reply reply;

        add_too_much = ADDS[i];
        api_reply_init(&reply);
        api_run_data(&reply, &request);
        assert_int_equal(reply.status, 500);
        assert_string_equal(reply.content_type, "application/problem+json");
        assert_int_equal(reply.header_count, 1);
        assert_string_equal(reply.headers[0].name, "Cache-Control");
        assert_int_equal(api_reply_status(&reply), ST_OK); /* the problem has all it needs */
        api_reply_release(&reply);
    }
}

static void headers_have_room_to_the_last_byte(void **state)
{
    struct api_reply reply;

    (void)state;
    api_reply_init(&reply);
    api_reply_header(&reply, "Long", "%0*d", API_HEADER_BYTES - 3, 1);
    api_reply_text(&reply, "Last", "2");
    assert_int_equal(api_reply_status(&reply), ST_OK);
    assert_int_equal(reply.header_count, 2);
    assert_int_equal(reply.headers[0].value_len, API_HEADER_BYTES - 3);
    assert_string_equal(reply.headers[1].value, "2");
    api_reply_text(&reply, "Empty", "");
    assert_int_equal(api_reply_status(&reply), ST_IO);
    assert_non_null(strstr(st_message(), "Empty"));
    api_reply_release(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_was_cut_is_never_sent),
        cmocka_unit_test(an_answer_that_lost_a_header_is_never_sent),
        cmocka_unit_test(headers_have_room_to_the_last_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

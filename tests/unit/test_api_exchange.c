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

static void a_header_without_room_is_left_out_and_the_rest_stays(void **state)
{
    struct api_reply reply;

    (void)state;
    api_reply_init(&reply);
    api_reply_header(&reply, "First", "%s", "one");
    api_reply_header(&reply, "Long", "%02000d", 1);
    api_reply_header(&reply, "Last", "%d", 2);
    assert_int_equal(reply.header_count, 2);
    assert_string_equal(reply.headers[0].value, "one");
    assert_string_equal(reply.headers[1].name, "Last");
    assert_string_equal(reply.headers[1].value, "2");
    api_reply_release(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_was_cut_is_never_sent),
        cmocka_unit_test(a_header_without_room_is_left_out_and_the_rest_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "auth/http.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const _Atomic bool NEVER = false;

/* A port of 127.0.0.1 that nobody else has. It is connected to only after listen(). */
static int bind_port(unsigned *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static enum st ask(const char *scheme_and_host, unsigned port, const struct network_list *outgoing)
{
    char url[128];
    struct buf answer;

    snprintf(url, sizeof url, "%s:%u/x", scheme_and_host, port);
    buf_init(&answer, 1024);
    struct auth_http_call call = {
        .url = url, .outgoing = outgoing, .stop = &NEVER, .answer = &answer};
    enum st st = auth_http_call(&call);
    buf_release(&answer);
    return st;
}

/* On Linux 0.0.0.0 leads to this machine, and is none of its loopback addresses. */
static void a_url_that_is_not_taken_is_not_asked_either(void **state)
{
    static const char *const OTHERS[] = {"http://0.0.0.0", "http://me@127.0.0.1", "ftp://127.0.0.1",
                                         "http://127.0.0.1 "};
    unsigned port;
    int listener = bind_port(&port);

    (void)state;
    assert_int_equal(listen(listener, 4), 0);
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        assert_int_equal(ask(OTHERS[i], port, NULL), ST_UNREACHABLE);
        assert_string_equal(st_code(), "BAD_URL");
        assert_int_equal(accept(listener, NULL, NULL), -1);
        assert_int_equal(errno, EAGAIN);
    }
    close(listener);
}

/* libcurl knows by itself that localhost is ::1 and 127.0.0.1, and tries them in this order. */
static void a_name_is_not_public_when_none_of_its_addresses_may_be_asked(void **state)
{
    struct network_list none = {0}, second = {0};
    unsigned port;
    int bound = bind_port(&port);

    (void)state;
    assert_int_equal(network_list_add(&second, "127.0.0.1"), ST_OK);
    assert_int_equal(ask("https://localhost", port, &none), ST_UNREACHABLE);
    assert_string_equal(st_code(), "NOT_PUBLIC");
    assert_int_equal(ask("https://localhost", port, &second), ST_UNREACHABLE);
    assert_string_not_equal(st_code(), "NOT_PUBLIC");
    assert_non_null(strstr(st_message(), "onnect"));
    network_list_release(&second);
    close(bound);
}

/* It takes the connection, and never says anything. */
static void who_never_answers_is_given_up_at_the_time_limit(void **state)
{
    char url[128];
    struct buf answer;
    unsigned port;
    int listener = bind_port(&port);

    (void)state;
    assert_int_equal(listen(listener, 4), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/jwks.json", port);
    buf_init(&answer, 1024);
    struct auth_http_call call = {.url = url, .timeout_ms = 200, .stop = &NEVER, .answer = &answer};
    uint64_t start_ns = clock_steady_ns();
    assert_int_equal(auth_http_call(&call), ST_UNREACHABLE);
    uint64_t ms = (clock_steady_ns() - start_ns) / 1000000;
    assert_true(ms >= 150 && ms < 5000);
    assert_non_null(strstr(st_message(), "timed out"));
    assert_int_equal(call.status, 0);
    buf_release(&answer);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_that_is_not_taken_is_not_asked_either),
        cmocka_unit_test(a_name_is_not_public_when_none_of_its_addresses_may_be_asked),
        cmocka_unit_test(who_never_answers_is_given_up_at_the_time_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

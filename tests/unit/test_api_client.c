/* Who asks, behind proxies that are trusted and others; how many connections an address has; and
 * which trace a request belongs to. */
#include "api/client.h"
#include "api/peers.h"
#include "api/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

static const char *const TRUSTED[] = {"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "unix", NULL};

static void make_peer(struct sockaddr_storage *out, const char *address)
{
    struct sockaddr_in *in = (void *)out;
    struct sockaddr_in6 *in6 = (void *)out;

    memset(out, 0, sizeof *out);
    if (strcmp(address, "unix") == 0) {
        out->ss_family = AF_UNIX;
    } else if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
        out->ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &in6->sin6_addr), 1);
        out->ss_family = AF_INET6;
    }
}

/* The client as text; "unknown". */
static const char *client(bool forwarded, const char *address, const char *header)
{
    static char text[INET6_ADDRSTRLEN];
    struct sockaddr_storage peer;
    struct sockaddr_in6 out;
    struct api_proxies p;

    make_peer(&peer, address);
    assert_int_equal(api_proxies_read(&p, TRUSTED, forwarded), ST_OK);
    api_client_address(&out, &p, (const void *)&peer, header);
    api_proxies_release(&p);
    if (out.sin6_family == AF_UNIX)
        return "unknown";
    assert_int_equal(out.sin6_family, AF_INET6);
    if (IN6_IS_ADDR_V4MAPPED(&out.sin6_addr))
        inet_ntop(AF_INET, out.sin6_addr.s6_addr + 12, text, sizeof text);
    else
        inet_ntop(AF_INET6, &out.sin6_addr, text, sizeof text);
    return text;
}

static void a_peer_that_is_not_trusted_is_the_client_whatever_it_says(void **state)
{
    static const char *const PEERS[] = {"203.0.113.5", "192.0.2.8", "11.0.0.1", "9.255.255.255",
                                        "2001:db9::1"};

    (void)state;
    for (size_t i = 0; i < sizeof PEERS / sizeof PEERS[0]; i++) {
        assert_string_equal(client(false, PEERS[i], "198.51.100.1"), PEERS[i]);
        assert_string_equal(client(true, PEERS[i], "for=198.51.100.1"), PEERS[i]);
    }
}

static void the_nearest_address_that_is_no_proxy_is_the_client(void **state)
{
    static const struct {
        const char *peer, *header, *client;
    } CASES[] = {
        {"10.1.2.3", NULL, "10.1.2.3"},
        {"10.1.2.3", "198.51.100.1", "198.51.100.1"},
        {"10.1.2.3", "6.6.6.6, 198.51.100.1", "198.51.100.1"},
        {"10.1.2.3", "6.6.6.6, 198.51.100.1 ,10.9.9.9,192.0.2.7", "198.51.100.1"},
        {"10.1.2.3", "10.7.7.7, 10.8.8.8", "10.7.7.7"},
        {"10.1.2.3", "198.51.100.1:4711", "198.51.100.1"},
        {"10.1.2.3", "[2001:db9::17]:4711", "2001:db9::17"},
        {"10.1.2.3", "[2001:db9::17]", "2001:db9::17"},
        {"10.1.2.3", "2001:db9::17", "2001:db9::17"},
        {"2001:db8:1::1", "198.51.100.1", "198.51.100.1"},
        {"unix", "198.51.100.1", "198.51.100.1"},
        {"unix", NULL, "unknown"},
        {"::ffff:10.1.2.3", "198.51.100.1", "198.51.100.1"},
        /* What cannot be read ends it: the proxy behind it is who is known. */
        {"10.1.2.3", "", "10.1.2.3"},
        {"10.1.2.3", "unknown", "10.1.2.3"},
        {"10.1.2.3", "6.6.6.6, unknown", "10.1.2.3"},
        {"10.1.2.3", "6.6.6.6, _hidden, 10.8.8.8", "10.8.8.8"},
        {"10.1.2.3", "6.6.6.6,", "10.1.2.3"},
        {"10.1.2.3", "198.51.100.1.", "10.1.2.3"},
        {"10.1.2.3", "198.51.100.001", "10.1.2.3"},
        {"10.1.2.3", "[2001:db9::17", "10.1.2.3"},
        {"10.1.2.3", "[2001:db9::17]4711", "10.1.2.3"},
        {"10.1.2.3", "fe80::1%eth0", "10.1.2.3"},
        {"10.1.2.3", "\"198.51.100.1, 6.6.6.6", "10.1.2.3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_string_equal(client(false, CASES[i].peer, CASES[i].header), CASES[i].client);
}

static void forwarded_is_read_as_rfc_7239_says(void **state)
{
    static const struct {
        const char *header, *client;
    } CASES[] = {
        {"for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"},
        {"For=\"[2001:db9:cafe::17]:4711\"", "2001:db9:cafe::17"},
        {"for=192.0.2.43, for=198.51.100.17", "198.51.100.17"},
        {"for=192.0.2.43,for=\"198.51.100.17:80\";by=10.0.0.1, for=10.0.0.2", "198.51.100.17"},
        {"proto=https ; for=198.51.100.17", "198.51.100.17"},
        {"by=\"for=6.6.6.6, for=7.7.7.7\";for=198.51.100.17", "198.51.100.17"},
        {"by=\"a\\\"for=6.6.6.6;\";for=198.51.100.17", "198.51.100.17"},
        {"for=unknown", "10.1.2.3"},
        {"for=_gazonk", "10.1.2.3"},
        {"proto=http;by=203.0.113.43", "10.1.2.3"},
        {"for=", "10.1.2.3"},
        {"for=\"", "10.1.2.3"},
        {"198.51.100.17", "10.1.2.3"},
        {"for=198.51.100.17, proto=http", "10.1.2.3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_string_equal(client(true, "10.1.2.3", CASES[i].header), CASES[i].client);
}

static void a_long_list_is_read_from_its_end(void **state)
{
    char header[2048] = "6.6.6.6";

    (void)state;
    for (unsigned i = 0; i < 15; i++)
        strcat(header, ", 10.0.0.1");
    assert_string_equal(client(false, "10.1.2.3", header), "6.6.6.6");
    strcat(header, ", 10.0.0.1"); /* the seventeenth from the end is not looked at */
    assert_string_equal(client(false, "10.1.2.3", header), "10.0.0.1");
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const WRONG[] = {"",         "proxy",      "10.0.0.0/33", "10.0.0.0/",
                                        "10.0.0/8", "::1/129",    "10.0.0.0/-1", "10.0.0.0/8x",
                                        "/8",       "10.0.0.1:80"};

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        const char *const texts[] = {WRONG[i], NULL};
        struct api_proxies p;
        assert_int_equal(api_proxies_read(&p, texts, false), ST_USAGE);
        api_proxies_release(&p);
    }
}

static void connections_are_counted_by_address_and_by_64_bits_of_ipv6(void **state)
{
    struct api_peers *p = api_peers_new();
    struct in6_addr a, b, c, d;

    (void)state;
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &a), 1);
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::ffff:2", &b), 1);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &c), 1);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.2", &d), 1);
    struct api_peer *first = api_peers_add(p, &a, 2), *second = api_peers_add(p, &b, 2);
    assert_non_null(first);
    assert_ptr_equal(first, second);
    assert_null(api_peers_add(p, &a, 2));
    struct api_peer *third = api_peers_add(p, &c, 1), *fourth = api_peers_add(p, &d, 1);
    assert_ptr_not_equal(third, fourth);
    assert_null(api_peers_add(p, &d, 1));
    api_peers_remove(p, first);
    assert_non_null(api_peers_add(p, &b, 2));
    api_peers_remove(p, fourth);
    assert_non_null(api_peers_add(p, &d, 1));
    api_peers_remove(p, NULL);
    api_peers_free(p);
}

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void a_trace_goes_on_with_our_span(void **state)
{
    static const unsigned char SPAN[API_SPAN_BYTES] = {1, 2, 3, 4, 5, 6, 7, 0xff};
    char out[API_TRACE_SIZE];

    (void)state;
    assert_true(api_trace_continue(out, "00-" TRACE "-" PARENT "-01", SPAN));
    assert_string_equal(out, "00-" TRACE "-01020304050607ff-01");
    assert_true(api_trace_continue(out, "cc-" TRACE "-" PARENT "-00-what-comes-later", SPAN));
    assert_string_equal(out, "00-" TRACE "-01020304050607ff-00");
}

static void what_is_no_trace_is_none(void **state)
{
    static const char *const WRONG[] = {
        "",
        "00",
        TRACE,
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-01-more",
        "00-" TRACE "-" PARENT "-01 ",
        "ff-" TRACE "-" PARENT "-01",
        "0g-" TRACE "-" PARENT "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-" TRACE "-" PARENT "-zz",
        "cc-" TRACE "-" PARENT "-00x",
    };
    static const unsigned char SPAN[API_SPAN_BYTES];
    char out[API_TRACE_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        assert_false(api_trace_continue(out, WRONG[i], SPAN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_is_not_trusted_is_the_client_whatever_it_says),
        cmocka_unit_test(the_nearest_address_that_is_no_proxy_is_the_client),
        cmocka_unit_test(forwarded_is_read_as_rfc_7239_says),
        cmocka_unit_test(a_long_list_is_read_from_its_end),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(connections_are_counted_by_address_and_by_64_bits_of_ipv6),
        cmocka_unit_test(a_trace_goes_on_with_our_span),
        cmocka_unit_test(what_is_no_trace_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

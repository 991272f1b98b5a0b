#include "base/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static struct in6_addr read_one(const char *text)
{
    struct in6_addr address;

    assert_true(network_address_read(&address, text, strlen(text)));
    return address;
}

static void what_has_a_special_purpose_is_not_public(void **state)
{
    static const char *const PUBLIC[] = {
        "8.8.8.8",         "1.1.1.1",    "9.255.255.255",   "11.0.0.0",          "100.63.255.255",
        "100.128.0.0",     "172.15.0.1", "172.32.0.0",      "192.167.255.255",   "169.253.255.255",
        "223.255.255.255", "128.0.0.0",  "2001:200::1",     "2606:4700::1111",   "::ffff:8.8.8.8",
        "2a00:1450::1",    "198.20.0.1", "191.255.255.255", "3ffe:ffff:ffff::1",
    };
    static const char *const OWN[] = {
        "0.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "::10.0.0.1",
        "3fff::1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof PUBLIC / sizeof PUBLIC[0]; i++) {
        struct in6_addr address = read_one(PUBLIC[i]);
        if (!network_is_public(&address))
            fail_msg("%s is public", PUBLIC[i]);
    }
    for (size_t i = 0; i < sizeof OWN / sizeof OWN[0]; i++) {
        struct in6_addr address = read_one(OWN[i]);
        if (network_is_public(&address))
            fail_msg("%s is not public", OWN[i]);
    }
}

static void a_list_has_what_its_networks_have(void **state)
{
    struct network_list list = {0};
    struct in6_addr address;

    (void)state;
    address = read_one("10.1.2.3");
    assert_false(network_list_has(&list, &address));
    assert_int_equal(network_list_add(&list, "192.0.2.7"), ST_OK);
    assert_int_equal(network_list_add(&list, "10.0.0.0/8"), ST_OK);
    assert_int_equal(network_list_add(&list, "2001:db8::/33"), ST_OK);
    assert_int_equal(network_list_add(&list, "10.0.0.0/33"), ST_USAGE);
    assert_int_equal(list.count, 3);
    assert_true(network_list_has(&list, &address));
    address = read_one("192.0.2.8");
    assert_false(network_list_has(&list, &address));
    address = read_one("2001:db8:7fff::1");
    assert_true(network_list_has(&list, &address));
    address = read_one("2001:db8:8000::1");
    assert_false(network_list_has(&list, &address));
    network_list_release(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_a_special_purpose_is_not_public),
        cmocka_unit_test(a_list_has_what_its_networks_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every allocation of ours, of OpenSSL and of jansson fails once, and from some point on for good:
 * no forged token gets in, no right one is mistaken for somebody else's. */
#include "auth_kit.h"

#include <jansson.h>

#include <signal.h>
#include <sys/wait.h>

enum { RS, ES, ED, HS, ALGORITHMS };

static const char *const algorithm_names[ALGORITHMS] = {"RS256", "ES256", "EdDSA", "HS256"};
static const char *const kids[ALGORITHMS] = {"rs", "es", "ed", "hs"};

static char directory[64];
static struct auth_keyset *keys;
static struct buf tokens[ALGORITHMS];
static long minted_with[ALGORITHMS]; /* allocations */

static long allocations;    /* since the last reset */
static long fail_from = -1; /* the first that fails; -1: none does */
static long fail_until;     /* the first after it that works again */

static bool must_fail(void)
{
    long n = allocations++;
    return fail_from >= 0 && n >= fail_from && n < fail_until;
}

static void fail_allocations(long from, long length)
{
    allocations = 0;
    fail_from = from;
    fail_until = from + length;
}

/* The linker puts these in the places of malloc and realloc: tests/CMakeLists.txt. */
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

/* Long, because a parser's buffer that cannot grow could cut them (jansson's does): the name of
 * another dataset, or another subject. */
#define SUBJECT "the-service-that-asks-for-the-southern-district"
#define DATASET "lifeline-of-the-southern-district-since-2026"

static const char *const datasets[] = {DATASET, NULL};

static const struct auth_mint claims = {
    .datasets = datasets,
    .tenant = "dev",
    .issuer = KIT_ISSUER,
    .audience = KIT_AUDIENCE,
    .subject = SUBJECT,
    .scopes = AUTH_DATA_READ,
    .now_s = KIT_NOW,
    .ttl_s = 3600,
};

static int set_up(void **state)
{
    (void)state;
    kit_directory(directory);
    assert_int_equal(auth_keyset_new(&keys), ST_OK);
    for (int i = 0; i < ALGORITHMS; i++)
        assert_int_equal(auth_key_generate(directory, kids[i], algorithm_names[i]), ST_OK);
    assert_int_equal(auth_keyset_load(keys, "dev", directory, NULL), ST_OK);
    for (int i = 0; i < ALGORITHMS; i++) {
        buf_init(&tokens[i], AUTH_TOKEN_MAX);
        allocations = 0;
        assert_int_equal(auth_token_mint(&tokens[i], directory, kids[i], &claims), ST_OK);
        minted_with[i] = allocations;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++)
        buf_release(&tokens[i]);
    auth_keyset_free(keys);
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

/* `length` allocations fail from number `from` on. */
static enum st verify_failing(struct auth_identity *id, const struct buf *token, long from,
                              long length)
{
    fail_allocations(from, length);
    enum st st = auth_token_verify(id, keys, token->data, token->len, KIT_NOW, kit_policy, NULL);
    fail_from = -1;
    return st;
}

static void assert_nobody(const struct auth_identity *id)
{
    static const struct auth_identity nobody;

    assert_memory_equal(id, &nobody, sizeof nobody);
}

static void a_forged_token_stays_out_whichever_allocation_fails(void **state)
{
    static const long lengths[] = {1, 2, 1000000};
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        char *last = tokens[i].data + tokens[i].len - 10;
        struct auth_identity id;
        char right = *last;
        *last = right == 'A' ? 'B' : 'A';
        for (size_t k = 0; k < 3; k++) {
            long from = 0;
            do {
                enum st st = verify_failing(&id, &tokens[i], from, lengths[k]);
                assert_true(st == ST_UNKNOWN_CALLER || st == ST_NOMEM || st == ST_IO);
                assert_nobody(&id);
            } while (from++ < allocations);
            assert_true(from > 3);
        }
        *last = right;
    }
}

static void a_right_token_is_refused_or_read_whole(void **state)
{
    static const long lengths[] = {1, 1000000};
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++)
        for (size_t k = 0; k < 2; k++) {
            struct auth_identity id;
            unsigned refused = 0;
            long from = 0;
            do {
                enum st st = verify_failing(&id, &tokens[i], from, lengths[k]);
                if (st) { /* but not for being wrong: its owner would throw it away */
                    if (st != ST_NOMEM && st != ST_IO)
                        fail_msg("%s, allocation %ld: %s", algorithm_names[i], from, st_message());
                    assert_nobody(&id);
                    refused++;
                    continue;
                }
                assert_string_equal(id.tenant, "dev");
                assert_string_equal(id.subject, SUBJECT);
                assert_int_equal(id.scopes, AUTH_DATA_READ);
                assert_true(auth_identity_sees_dataset(&id, DATASET));
                assert_int_equal(id.expires_s, KIT_NOW + 3600);
            } while (from++ < allocations);
            assert_true(refused > 3);
            assert_int_equal(verify_failing(&id, &tokens[i], -1, 0), ST_OK);
        }
}

/* Mints in a process of its own, since libjwt may die of a failed allocation; false when no token
 * came out. */
static bool mint_failing(struct buf *token, const char *kid, long from)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        fail_allocations(from, 1);
        enum st st = auth_token_mint(token, directory, kid, &claims);
        if (st == ST_OK && write(ends[1], token->data, token->len) != (ssize_t)token->len)
            _exit(2);
        _exit(st == ST_OK ? 0 : 1);
    }
    close(ends[1]);
    char *room = buf_reserve(token, AUTH_TOKEN_MAX);
    assert_non_null(room);
    ssize_t n;
    while ((n = read(ends[0], room + token->len, AUTH_TOKEN_MAX - token->len)) > 0)
        token->len += (size_t)n;
    close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return token->len > 0;
}

static void what_is_minted_is_what_was_asked_for_whichever_allocation_fails(void **state)
{
    (void)state;
    for (int i = ES; i < ALGORITHMS; i++) {
        unsigned minted = 0, refused = 0;
        for (long from = 0; from < minted_with[i]; from += i == HS ? 1 : 29) {
            struct auth_identity id;
            struct buf token = {0};
            buf_init(&token, AUTH_TOKEN_MAX);
            if (mint_failing(&token, kids[i], from)) {
                assert_int_equal(verify_failing(&id, &token, -1, 0), ST_OK);
                assert_string_equal(id.subject, SUBJECT);
                assert_true(auth_identity_sees_dataset(&id, DATASET));
                assert_int_equal(id.dataset_count, 1);
                minted++;
            } else {
                refused++;
            }
            buf_release(&token);
        }
        assert_true(refused > 3);
        assert_true(minted > 0 || i == HS);
    }
}

static void a_key_directory_is_loaded_whole_or_not_at_all(void **state)
{
    (void)state;
    for (long from = 0; from < 60; from++) {
        struct auth_keyset *set = NULL;
        assert_int_equal(auth_keyset_new(&set), ST_OK);
        fail_allocations(from * 97, 1); /* there are thousands */
        enum st st = auth_keyset_load(set, "dev", directory, NULL);
        fail_from = -1;
        for (int i = 0; i < ALGORITHMS; i++)
            assert_int_equal(auth_keyset_find(set, kids[i], 2) != NULL, st == ST_OK);
        auth_keyset_free(set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forged_token_stays_out_whichever_allocation_fails),
        cmocka_unit_test(a_right_token_is_refused_or_read_whole),
        cmocka_unit_test(what_is_minted_is_what_was_asked_for_whichever_allocation_fails),
        cmocka_unit_test(a_key_directory_is_loaded_whole_or_not_at_all),
    };
    json_set_alloc_funcs(__wrap_malloc, free);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

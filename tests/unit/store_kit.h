/* What the tests of publishing and serving share: a data directory of their own with one tenant,
 * small definitions, and builds made of a segment that says one colour. */
#ifndef EVERLINE_TESTS_STORE_KIT_H
#define EVERLINE_TESTS_STORE_KIT_H

#include "store/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIT_THINGS                                                                                 \
    "{\"name\":\"things\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT * FROM things\","                                                        \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},\"record\":{\"colour\":\"VARCHAR\"}}"
#define KIT_PROMOTED                                                                               \
    "{\"name\":\"things\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT * FROM things\",\"require_promotion\":true,"                             \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},\"record\":{\"colour\":\"VARCHAR\"}}"
#define KIT_PEOPLE                                                                                 \
    "{\"name\":\"people\",\"sources\":{\"people\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT * FROM people\","                                                        \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"hmac-sha256\"},"                                   \
    "\"record\":{\"colour\":\"VARCHAR\"}}"

#define KIT_ACTOR ((struct store_actor){.name = "cli:test", .reason = "a test"})

struct kit {
    char dir[64];
    struct store *store; /* NULL while closed */
};

static bool kit_is_child; /* of fork: a failure ends the process, not the test */

#define kit_ok(expression) kit_check((expression), #expression, __FILE__, __LINE__)
static inline void kit_check(enum st st, const char *what, const char *file, int line)
{
    if (st) {
        print_error("%s: %s: %s (%s)\n", what, st_name(st), st_message(), st_code());
        if (kit_is_child)
            _exit(1);
        _fail(file, line);
    }
}

static inline void kit_open(struct kit *kit)
{
    kit_ok(store_open(&kit->store, &(struct store_options){.data_dir = kit->dir, .create = true}));
}

static inline void kit_close(struct kit *kit)
{
    store_close(kit->store);
    kit->store = NULL;
}

static inline struct store_definition *kit_definition(const char *text)
{
    struct store_definition *d = NULL;
    json_t *json = NULL;

    kit_ok(jx_parse_object(&json, text, strlen(text)));
    kit_ok(store_definition_parse(&d, json));
    json_decref(json);
    return d;
}

static inline void kit_dataset(struct kit *kit, const char *text)
{
    struct store_definition *d = kit_definition(text);

    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

static inline void kit_tenant(struct kit *kit)
{
    struct store_tenant tenant;

    store_tenant_init(&tenant, "acme");
    tenant.enabled = true;
    kit_ok(store_hmac_key_create(tenant.hmac_key_id, kit->store, "acme"));
    kit_ok(store_tenant_put(kit->store, &tenant));
}

static inline void kit_new(struct kit *kit)
{
    *kit = (struct kit){.dir = "/tmp/everline-store-XXXXXX"};
    assert_non_null(mkdtemp(kit->dir));
    kit_open(kit);
    kit_tenant(kit);
}

/* Damage: turns these bits of the byte `at` wherever the catalog's file has the text. */
static inline void kit_turn(const struct kit *kit, const char *text, size_t at, int bits)
{
    char path[FS_PATH_MAX];
    struct buf file;
    size_t places = 0, len = strlen(text);

    buf_init(&file, 64u << 20);
    kit_ok(fs_path(path, "%s/catalog.mdb", kit->dir));
    kit_ok(fs_read(&file, path));
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (size_t i = 0; i + len < file.len; i++) {
        if (memcmp(file.data + i, text, len) != 0)
            continue;
        char turned = (char)(file.data[i + at] ^ bits);
        assert_int_equal(pwrite(fd, &turned, 1, (off_t)(i + at)), 1);
        places++;
    }
    assert_true(places > 0);
    close(fd);
    buf_release(&file);
}

static inline void kit_free(struct kit *kit)
{
    kit_close(kit);
    kit_ok(fs_remove_tree(kit->dir));
}

/* For tests whose state is a kit and nothing else. */
static inline int kit_set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    assert_non_null(kit);
    kit_new(kit);
    *state = kit;
    return 0;
}

static inline int kit_tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

static inline void kit_lease(struct store_lease *lease, struct kit *kit, const char *dataset)
{
    char job[STORE_JOB_ID_SIZE];
    json_t *spec = json_object(), *leased = NULL;

    kit_ok(store_job_enqueue(
        job, NULL, NULL, kit->store,
        &(struct store_job_request){
            .tenant = "acme", .dataset = dataset, .spec = spec, .actor = KIT_ACTOR}));
    kit_ok(store_job_lease(lease, &leased, kit->store, job, STORE_LEASE_MS));
    json_decref(spec);
    json_decref(leased);
}

/* The hasher of a definition under the tenant's key; `spec` is the definition's. */
static inline struct store_hasher *kit_hasher(struct kit *kit, const struct store_definition *d,
                                              char key_id[STORE_NAME_SIZE])
{
    struct store_hasher *hasher = NULL;
    struct store_tenant tenant;
    struct secret key = {0};

    key_id[0] = '\0';
    if (d->key.protect != STORE_PROTECT_NONE) {
        kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
        strcpy(key_id, tenant.hmac_key_id);
        kit_ok(store_hmac_key_read(&key, store_keys_dir(kit->store), "acme", key_id));
    }
    kit_ok(store_hasher_new(&hasher, &d->key, d->name, key.bytes ? &key : NULL));
    secret_release(&key);
    return hasher;
}

/* Writes the segment file `file` into the build directory: one record, id "1" of this colour. */
static inline void kit_segment(struct kit *kit, const struct store_build *b, const char *text,
                               const char *file, const char *colour)
{
    struct store_definition *d = kit_definition(text);
    struct store_segment_info info = {.definition = d, .tenant = "acme"};
    struct store_segment_writer *w = NULL;
    struct store_value values[2] = {0};
    unsigned char key[STORE_KEY_BYTES];
    char key_id[STORE_NAME_SIZE], path[FS_PATH_MAX];
    struct store_hasher *hasher = kit_hasher(kit, d, key_id);
    struct store_value *last = &values[d->row_count - 1];
    struct buf row;

    info.key_id = key_id;
    kit_ok(store_hasher_check_value(info.check_value, hasher));
    kit_ok(store_hasher_sum(key, hasher, &(struct store_text){"1", 1}));
    values[0].as.text.bytes = "1";
    values[0].as.text.len = 1;
    last->as.text.bytes = colour;
    last->as.text.len = strlen(colour);
    buf_init(&row, STORE_ROW_MAX);
    kit_ok(store_row_encode(&row, d->row, d->row_count, values));
    kit_ok(fs_path(path, "%s/%s", store_build_directory(b), file));
    kit_ok(store_segment_writer_open(&w, path, &info));
    kit_ok(store_segment_writer_add(w, key, row.data, row.len));
    kit_ok(store_segment_writer_finish(w));
    store_segment_writer_free(w);
    store_hasher_free(hasher);
    buf_release(&row);
    store_definition_free(d);
}

static inline struct store_build *kit_begin(struct kit *kit, const struct store_lease *lease,
                                            const char *text)
{
    struct store_definition *d = kit_definition(text);
    struct store_build *b = NULL;
    json_t *sources = json_array();

    kit_ok(store_build_begin(&b, kit->store, lease, d, sources));
    json_decref(sources);
    store_definition_free(d);
    return b;
}

/* A sealed build of one colour, ready to be published. */
static inline struct store_build *kit_build(struct kit *kit, const struct store_lease *lease,
                                            const char *text, const char *colour)
{
    struct store_build *b = kit_begin(kit, lease, text);

    kit_segment(kit, b, text, "one.segment", colour);
    kit_ok(store_build_seal(b, "one.segment", NULL, NULL));
    return b;
}

static inline enum store_outcome kit_finish(struct kit *kit, const struct store_lease *lease,
                                            struct store_build *b)
{
    enum store_outcome outcome = STORE_FLIPPED;

    kit_ok(store_build_publish(&outcome, b, 20000, NULL, NULL));
    store_build_free(b);
    kit_ok(store_lease_finish(kit->store, lease, outcome == STORE_HELD_BACK ? "held" : "succeeded",
                              NULL));
    return outcome;
}

static inline enum store_outcome kit_publish(struct kit *kit, const char *text, const char *colour)
{
    struct store_definition *d = kit_definition(text);
    struct store_lease lease;

    kit_lease(&lease, kit, d->name);
    store_definition_free(d);
    return kit_finish(kit, &lease, kit_build(kit, &lease, text, colour));
}

static inline uint64_t kit_current(struct kit *kit, const char *dataset)
{
    json_t *json = NULL;

    kit_ok(store_dataset_get(&json, kit->store, "acme", dataset));
    uint64_t current = (uint64_t)json_integer_value(json_object_get(json, "current"));
    json_decref(json);
    return current;
}

/* Is the version's row in this state? Prints the row when it is not. */
static inline bool kit_state_is(struct kit *kit, uint64_t version, const char *state)
{
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", "things", version));
    const char *is = json_string_value(json_object_get(row, "state"));
    bool same = is && strcmp(is, state) == 0;
    if (!same)
        print_error("version %llu is %s, not %s\n", (unsigned long long)version, is ? is : "?",
                    state);
    json_decref(row);
    return same;
}

#endif

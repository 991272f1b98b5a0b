/* What the tests of the ingest share: a directory of their own, batches made of text, and failures
 * that must say the right thing. */
#ifndef EVERLINE_TESTS_INGEST_KIT_H
#define EVERLINE_TESTS_INGEST_KIT_H

#include "base/digest.h"
#include "ingest/build.h"
#include "ingest/duck.h"
#include "ingest/task.h"

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

struct kit {
    char dir[64];
    struct task task;
    unsigned builds;
};

#define kit_ok(expression) kit_check((expression), #expression, __FILE__, __LINE__)
static inline void kit_check(enum st st, const char *what, const char *file, int line)
{
    if (st) {
        print_error("%s: %s: %s (%s) at %s\n", what, st_name(st), st_message(), st_code(),
                    st_place_text());
        _fail(file, line);
    }
}

/* The call failed with this code, at this place (the part after the kit's directory), and its
 * report does not contain `secret` (NULL: nothing to hide). */
#define kit_fails(expression, code, place, secret)                                                 \
    kit_check_failure((expression), #expression, code, place, secret, __FILE__, __LINE__)
static inline void kit_check_failure(enum st st, const char *what, const char *code,
                                     const char *place, const char *secret, const char *file,
                                     int line)
{
    const char *at = strrchr(st_place_text(), '/');
    /* JSON pointers are compared whole, files by their name. */
    at = place[0] == '/' || !at ? st_place_text() : at + 1;
    bool leaks = secret && (strstr(st_message(), secret) || strstr(st_place_text(), secret) ||
                            strstr(st_hint_text(), secret));
    if (!st || strcmp(st_code(), code) != 0 || strcmp(at, place) != 0 || leaks) {
        print_error("%s: %s, code %s (not %s?), place %s (not %s?): %s%s\n", what, st_name(st),
                    st_code(), code, st_place_text(), place, st_message(),
                    leaks ? " LEAKS A VALUE" : "");
        _fail(file, line);
    }
}

static inline void kit_path(char out[FS_PATH_MAX], const struct kit *kit, const char *name)
{
    kit_ok(fs_path(out, "%s/%s", kit->dir, name));
}

static inline void kit_write_bytes(const struct kit *kit, const char *name, const void *bytes,
                                   size_t len)
{
    char path[FS_PATH_MAX];
    kit_path(path, kit, name);
    kit_ok(fs_write_atomic(path, bytes, len, 0600));
}

static inline void kit_write(const struct kit *kit, const char *name, const char *text)
{
    kit_write_bytes(kit, name, text, strlen(text));
}

/* Apostrophes stand for quotation marks, ` for apostrophes. */
static inline void kit_quotes(char *text)
{
    for (char *p = text; *p; p++)
        *p = (char)(*p == '\'' ? '"' : *p == '`' ? '\'' : *p);
}

/* A task of this definition, in which quotes are as kit_quotes takes them. */
static inline void kit_define(struct kit *kit, const char *definition)
{
    char *text = strdup(definition);
    json_t *document = NULL;
    assert_non_null(text);
    kit_quotes(text);
    kit_ok(jx_parse_object(&document, text, strlen(text)));
    free(text);
    task_release(&kit->task);
    kit->task.memory_bytes = 256u << 20;
    kit->task.threads = 1;
    kit_ok(task_define(&kit->task, document));
    json_decref(document);
    snprintf(kit->task.tenant, sizeof kit->task.tenant, "dev");
    if (kit->task.definition->key.protect != STORE_PROTECT_NONE) {
        snprintf(kit->task.key_id, sizeof kit->task.key_id, "k1");
        kit_ok(secret_copy(&kit->task.hmac_key, "0123456789abcdef0123456789abcdef", 32));
    }
}

/* Adds a file of the kit, which is there, to a source. */
static inline void kit_add_file(struct kit *kit, size_t source, const char *name)
{
    char path[FS_PATH_MAX];
    kit_path(path, kit, name);
    kit_ok(task_add_file(&kit->task, source, path, NULL));
}

/* Writes a file and adds it to a source. */
static inline void kit_add(struct kit *kit, size_t source, const char *name, const char *text)
{
    kit_write(kit, name, text);
    kit_add_file(kit, source, name);
}

/* Builds into a directory of its own, which the task then names. *rows: the ledger when it
 * succeeds; *report (NULL: not wanted) is kept always. */
static inline enum st kit_build(json_t **rows, json_t **report, struct kit *kit,
                                const struct ingest_progress *progress)
{
    char name[32];
    json_t *whole = NULL;
    snprintf(name, sizeof name, "build%u", kit->builds++);
    kit_path(kit->task.directory, kit, name);
    kit_ok(fs_mkdir(kit->task.directory, 0700));
    enum st st = build_run(&whole, &kit->task, progress);
    *rows = st ? NULL : json_incref(json_object_get(whole, "rows"));
    if (report)
        *report = whole;
    else
        json_decref(whole);
    return st;
}

/* A Parquet file of the kit with the rows of this SELECT. */
static inline void kit_write_parquet(const struct kit *kit, const char *name, const char *select)
{
    char path[FS_PATH_MAX], sql[FS_PATH_MAX + 1000];
    struct duck *d;
    kit_path(path, kit, name);
    char *files[] = {path};
    kit_ok(duck_open(&d, &(struct duck_options){0, 1, files, 1}));
    snprintf(sql, sizeof sql, "COPY (%s) TO '%s' (FORMAT parquet, USE_TMP_FILE false)", select,
             path);
    kit_ok(duck_run(d, "writing a Parquet file", sql));
    duck_close(d);
}

static inline int kit_set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    assert_non_null(kit);
    snprintf(kit->dir, sizeof kit->dir, "/tmp/everline-ingest-XXXXXX");
    assert_non_null(mkdtemp(kit->dir));
    *state = kit;
    return 0;
}

static inline int kit_tear_down(void **state)
{
    struct kit *kit = *state;
    kit_ok(fs_remove_tree(kit->dir));
    task_release(&kit->task);
    free(kit);
    return 0;
}

#define kit_test(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)

#endif

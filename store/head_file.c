#include "store/head_file.h"

#include "base/log.h"
#include "store/document.h"
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_FILE_FORMAT 1

static enum st head_path(char out[FS_PATH_MAX], const char *heads_dir, const char *tenant,
                         const char *dataset)
{
    return fs_path(out, "%s/%s/%s.json", heads_dir, tenant, dataset);
}

static enum st tenant_path(char out[FS_PATH_MAX], const char *heads_dir, const char *tenant)
{
    return fs_path(out, "%s/%s.json", heads_dir, tenant);
}

/* ---- writing ---- */

/* Moves the row's definition to `definitions`. Equal is what has equal text: the order of a
 * definition's fields is theirs. */
static void share_definition(struct catalog_txn *t, json_t *row, json_t *definitions)
{
    json_t *definition = json_object_get(row, "definition");
    char *text = definition ? jx_text(definition, false) : NULL;
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];

    if (definition && !text)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    if (text && !t->status) {
        digest_sha256(digest, text, strlen(text));
        digest_hex(hex, digest, sizeof digest);
        store_set(t, definitions, hex, json_incref(definition));
        store_set(t, row, "definition", json_string(hex));
    }
    free(text);
}

/* As the file has it that is about to be replaced: a rebuild makes the catalog's whole by it, and
 * it would be lost with the file. NULL: that has none, either. */
static json_t *row_of_before(const char *heads_dir, const struct head *h, uint64_t version)
{
    struct head_file before;
    json_t *row, *found = NULL;
    size_t i;

    if (head_file_read(&before, heads_dir, h->tenant, h->dataset))
        return NULL;
    json_array_foreach(before.versions, i, row)
    {
        if (!found && (uint64_t)json_integer_value(json_object_get(row, "version")) == version)
            found = json_incref(row);
    }
    head_file_release(&before);
    return found;
}

/* A damaged row of one version stops no move of the others. */
static json_t *row_of(struct catalog_txn *t, const char *heads_dir, const struct head *h,
                      uint64_t version)
{
    char key[CATALOG_KEY_SIZE];
    struct st_report damage;
    json_t *row;

    store_numbered_key(key, h->tenant, h->dataset, version);
    if (catalog_get_any(&row, t, CATALOG_VERSIONS, key))
        return row;
    st_save(&damage, ST_CORRUPT);
    row = row_of_before(heads_dir, h, version);
    enum st st = st_restore(&damage);
    if (row)
        log_failure(LOG_LEVEL_ERROR, "version_damaged",
                    "%s: its head file keeps the row of before, for a rebuild", key);
    else
        catalog_fail(t, st);
    return row;
}

static void add_versions(struct catalog_txn *t, json_t *versions, json_t *definitions,
                         const char *heads_dir, const struct head *h)
{
    for (size_t i = 0; i < h->version_count && !t->status; i++) {
        json_t *row =
            head_is_over(&h->versions[i]) ? NULL : row_of(t, heads_dir, h, h->versions[i].version);
        if (!row)
            continue;
        share_definition(t, row, definitions);
        if (json_array_append_new(versions, row) != 0)
            catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    }
}

void head_file_write(struct catalog_txn *t, const char *heads_dir, const struct head *h,
                     json_t *document)
{
    char key[CATALOG_KEY_SIZE], path[FS_PATH_MAX];
    json_t *file = json_object(), *definitions = json_object(), *versions = json_array();

    store_dataset_key(key, h->tenant, h->dataset);
    json_t *definition = catalog_get(t, CATALOG_DEFINITIONS, key);
    add_versions(t, versions, definitions, heads_dir, h);
    store_set(t, file, "format", json_integer(HEAD_FILE_FORMAT));
    store_set(t, file, "head", json_incref(document));
    store_set(t, file, "definition", definition ? definition : json_null());
    store_set(t, file, "definitions", definitions);
    store_set(t, file, "versions", versions);
    if (!t->status)
        catalog_fail(t, fs_path(path, "%s/%s", heads_dir, h->tenant));
    if (!t->status)
        catalog_fail(t, fs_mkdir(path, 0700));
    if (!t->status)
        catalog_fail(t, head_path(path, heads_dir, h->tenant, h->dataset));
    if (!t->status)
        catalog_fail(t, document_write(path, file, 0600));
    json_decref(file);
}

void head_file_write_tenant(struct catalog_txn *t, const char *heads_dir, const char *tenant,
                            const json_t *row)
{
    char path[FS_PATH_MAX];
    json_t *document = json_object();

    store_set(t, document, "format", json_integer(HEAD_FILE_FORMAT));
    store_set(t, document, "tenant", json_deep_copy(row));
    if (!t->status)
        catalog_fail(t, fs_path(path, "%s/%s", heads_dir, tenant));
    if (!t->status)
        catalog_fail(t, fs_mkdir(path, 0700)); /* for its heads; synced with the file */
    if (!t->status)
        catalog_fail(t, tenant_path(path, heads_dir, tenant));
    if (!t->status)
        catalog_fail(t, document_write(path, document, 0600));
    json_decref(document);
}

void head_file_remove_tenant(struct catalog_txn *t, const char *heads_dir, const char *tenant)
{
    char path[FS_PATH_MAX];

    if (!t->status)
        catalog_fail(t, tenant_path(path, heads_dir, tenant));
    if (!t->status && unlink(path) != 0 && errno != ENOENT)
        catalog_fail(t, st_fail_errno(errno, "removing %s", path));
    if (!t->status)
        catalog_fail(t, fs_path(path, "%s/%s", heads_dir, tenant));
    if (!t->status)
        (void)rmdir(path); /* what else is in it is somebody's */
    if (!t->status)
        catalog_fail(t, fs_sync_dir(heads_dir));
}

/* ---- reading ---- */

static enum st read_document(json_t **out, const char *path)
{
    int64_t format;
    enum st st = document_read(out, path);

    if (!st && jx_need_integer(&format, *out, "", "format", 0, INT64_MAX))
        st = st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "%s does not say its format", path);
    else if (!st && format != HEAD_FILE_FORMAT)
        st = st_hint(st_fail(ST_CORRUPT, "HEAD_FORMAT",
                             "%s has format %lld; this program reads format %d", path,
                             (long long)format, HEAD_FILE_FORMAT),
                     "use the everline that wrote it");
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

static enum st parses(json_t *definition)
{
    struct store_definition *d = NULL;
    enum st st = store_definition_parse(&d, definition);

    store_definition_free(d);
    return st && st != ST_NOMEM ? st_wrap(ST_CORRUPT, "a definition in it") : st;
}

static enum st put_definitions_back(json_t *versions, const json_t *definitions)
{
    enum st st = ST_OK;
    json_t *row;
    size_t i;

    json_array_foreach(versions, i, row)
    {
        const char *hash = json_string_value(json_object_get(row, "definition"));
        json_t *definition = hash ? json_object_get(definitions, hash) : NULL;
        if (st)
            break;
        if (!json_is_integer(json_object_get(row, "version")) || !json_is_object(definition))
            st = st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "a version in it is not whole");
        else
            st = parses(definition);
        if (!st && json_object_set(row, "definition", definition) != 0)
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    }
    return st;
}

/* Every version that can be served has its row: without, nobody could open it. */
static enum st check_rows(const struct head_file *f)
{
    for (size_t i = 0; i < f->head.version_count; i++) {
        const struct head_version *v = &f->head.versions[i];
        bool found = head_is_over(v);
        for (size_t j = 0; !found && j < json_array_size(f->versions); j++) {
            const json_t *row = json_array_get(f->versions, j);
            found = (uint64_t)json_integer_value(json_object_get(row, "version")) == v->version;
        }
        if (!found)
            return st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "it lacks the row of version %llu",
                           (unsigned long long)v->version);
    }
    return ST_OK;
}

static enum st take_parts(struct head_file *out, const json_t *document)
{
    json_t *head = NULL, *definition = NULL, *definitions = NULL, *versions = NULL;
    enum st st = jx_object(&head, document, "", "head");

    if (!st)
        st = jx_object(&definition, document, "", "definition");
    if (!st)
        st = jx_object(&definitions, document, "", "definitions");
    if (!st)
        st = jx_array(&versions, document, "", "versions");
    if (!st && (!head || !definitions || !versions))
        st = st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "it lacks a part");
    if (!st)
        st = head_from_json(&out->head, head);
    if (!st && !definition != out->head.deleted)
        st =
            st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "it lacks its definition, or has one too many");
    if (st)
        return st == ST_NOMEM ? st : st_wrap(ST_CORRUPT, "its parts");
    if (definition)
        st = parses(json_object_get(definition, "definition"));
    out->definition = json_incref(definition);
    out->versions = json_incref(versions);
    if (!st)
        st = put_definitions_back(versions, definitions);
    return st ? st : check_rows(out);
}

enum st head_file_read(struct head_file *out, const char *heads_dir, const char *tenant,
                       const char *dataset)
{
    char path[FS_PATH_MAX];
    json_t *document = NULL;
    enum st st = head_path(path, heads_dir, tenant, dataset);

    *out = (struct head_file){0};
    if (!st)
        st = read_document(&document, path);
    if (!st) {
        st = take_parts(out, document);
        if (!st &&
            (strcmp(out->head.tenant, tenant) != 0 || strcmp(out->head.dataset, dataset) != 0))
            st = st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "it is another dataset's");
        if (st)
            st = st_wrap(st, "%s", path);
    }
    if (st)
        head_file_release(out);
    json_decref(document);
    return st;
}

enum st head_file_read_head(struct head *out, const char *heads_dir, const char *tenant,
                            const char *dataset)
{
    char path[FS_PATH_MAX];
    json_t *document = NULL, *head = NULL;
    enum st st = head_path(path, heads_dir, tenant, dataset);

    *out = (struct head){0};
    if (!st)
        st = read_document(&document, path);
    if (!st)
        st = jx_object(&head, document, "", "head");
    if (!st)
        st = head ? head_from_json(out, head) : ST_CORRUPT;
    json_decref(document);
    return st ? st_wrap(st, "%s", path) : ST_OK;
}

void head_file_release(struct head_file *f)
{
    head_release(&f->head);
    json_decref(f->definition);
    json_decref(f->versions);
    *f = (struct head_file){0};
}

enum st head_file_read_tenant(json_t **row, const char *heads_dir, const char *tenant)
{
    char path[FS_PATH_MAX];
    struct store_tenant parsed;
    json_t *document = NULL;
    enum st st = tenant_path(path, heads_dir, tenant);

    *row = NULL;
    if (!st)
        st = read_document(&document, path);
    if (!st) {
        *row = json_incref(json_object_get(document, "tenant"));
        st = store_tenant_from_json(&parsed, *row);
        if (!st && strcmp(parsed.name, tenant) != 0)
            st = st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "it is another tenant's");
        if (st)
            st = st_wrap(st, "%s", path);
    }
    json_decref(document);
    if (st) {
        json_decref(*row);
        *row = NULL;
    }
    return st;
}

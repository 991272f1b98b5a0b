#include "store/backup_write.h"

#include "store/document.h"

#include <string.h>
#include <unistd.h>

void backup_load_verified(struct backup *b)
{
    char path[FS_PATH_MAX];

    if (fs_path(path, "%s/verified.json", b->root) || document_read(&b->verified, path))
        b->verified = json_object();
}

static enum st save_verified(const struct backup *b)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/verified.json", b->root);

    return st ? st : document_write(path, b->verified, 0600);
}

static enum st remember(struct backup *b, const char *sha256, const struct seal *seal)
{
    bool kept = !seal->holds || json_object_set_new(b->verified, sha256, seal_to_json(seal)) == 0;

    return kept ? ST_OK : backup_no_memory();
}

static enum st save_segment(struct backup *b, const char *sha256, const json_t *about)
{
    struct store_segment_ref ref = {
        .bytes = (uint64_t)json_integer_value(json_object_get(about, "bytes"))};
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    struct seal seal;
    enum st st = store_segment_path(from, b->store, sha256);

    memcpy(ref.sha256, sha256, DIGEST_HEX_SIZE);
    if (!st)
        st = backup_segment_path(to, b->segments_dir, sha256);
    if (st || seal_document_holds(json_object_get(b->verified, sha256), to))
        return st;
    if (access(to, F_OK) == 0 && store_segment_file_verify(&seal, to, &ref, NULL) == ST_OK)
        return remember(b, sha256, &seal);
    st = backup_make_shard(b->segments_dir, sha256);
    if (!st)
        st = backup_copy(&seal, to, from, &ref, 0440);
    if (st == ST_CORRUPT)
        st = st_hint(st_wrap(st, "%s/%s version %lld",
                             json_string_value(json_object_get(about, "tenant")),
                             json_string_value(json_object_get(about, "dataset")),
                             (long long)json_integer_value(json_object_get(about, "version"))),
                     "a backup with it would be none: ingest its batch again, or retire that "
                     "version (everline verify --deep lists all that are damaged)");
    if (!st) {
        b->copied++;
        b->copied_bytes += ref.bytes;
        st = remember(b, sha256, &seal);
    }
    return st;
}

enum st backup_save_segments(struct backup *b)
{
    json_t *list = json_array(), *about;
    const char *sha256;
    enum st st = ST_OK;

    json_object_foreach(b->segments, sha256, about) b->bytes +=
        (uint64_t)json_integer_value(json_object_get(about, "bytes"));
    json_object_foreach(b->segments, sha256, about)
    {
        json_t *bytes = json_object_get(about, "bytes");
        if (st)
            break;
        st = save_segment(b, sha256, about);
        b->done_bytes += (uint64_t)json_integer_value(bytes);
        if (!st && json_array_append_new(
                       list, json_pack("{s:s, s:O}", "sha256", sha256, "bytes", bytes)) != 0)
            st = backup_no_memory();
        if (!st && b->options->tell_fn)
            b->options->tell_fn("copying", b->done_bytes, b->bytes, b->options->ctx);
    }
    /* Also after a failure: what was copied need not be copied again. */
    enum st saved = save_verified(b);
    st = st ? st : saved;
    if (json_object_set_new(b->manifest, "segments", list) != 0 && !st)
        st = backup_no_memory();
    return st;
}

/* ---- which keys it needs ---- */

static enum st add_key(json_t *keys, const char *tenant, const char *id)
{
    json_t *item;
    size_t i;

    json_array_foreach(
        keys, i,
        item) if (strcmp(json_string_value(json_object_get(item, "tenant")), tenant) == 0 &&
                  strcmp(json_string_value(json_object_get(item, "id")), id) == 0) return ST_OK;
    item = json_pack("{s:s, s:s}", "tenant", tenant, "id", id);
    return json_array_append_new(keys, item) == 0 ? ST_OK : backup_no_memory();
}

/* The copies are opened, not the files that are served: those were hashed when they were copied. */
enum st backup_list_keys(struct backup *b)
{
    json_t *keys = json_array(), *about;
    char path[FS_PATH_MAX];
    const char *sha256;
    enum st st = ST_OK;

    json_object_foreach(b->segments, sha256, about)
    {
        const char *tenant = json_string_value(json_object_get(about, "tenant"));
        struct store_segment *segment = NULL;
        if (st)
            break;
        st = backup_segment_path(path, b->segments_dir, sha256);
        if (!st)
            st = store_segment_open(&segment, path, tenant,
                                    json_string_value(json_object_get(about, "dataset")), 1);
        if (!st && *store_segment_key_id(segment))
            st = add_key(keys, tenant, store_segment_key_id(segment));
        store_segment_close(segment);
    }
    if (json_object_set_new(b->manifest, "keys", keys) != 0 && !st)
        st = backup_no_memory();
    return st;
}

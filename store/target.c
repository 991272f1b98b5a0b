#include "store/target.h"

#include "store/seal.h"

enum st store_files_check(struct catalog_txn *t, const struct store *s, const struct head *h,
                          uint64_t version)
{
    const struct head_version *v = head_find(h, version);
    char path[FS_PATH_MAX];
    enum st st = ST_OK;

    for (size_t i = 0; !st && v && i < v->segment_count; i++) {
        st = store_segment_path(path, s, v->segments[i].sha256);
        if (!st)
            st = store_segment_file_check(path, &v->segments[i]);
        if (st || store_seal_is_broken(t, v->segments[i].sha256, path))
            st = st_fail(ST_CONFLICT, "NOT_SERVABLE",
                         "version %llu cannot be served: a file of it is missing or damaged",
                         (unsigned long long)version);
    }
    return st;
}

uint64_t store_rollback_target(struct catalog_txn *t, const struct store *s, const struct head *h)
{
    uint64_t version;

    for (size_t at = 0; (version = head_rollback_step(h, &at));)
        if (store_files_check(t, s, h, version) == ST_OK)
            break;
    return version;
}

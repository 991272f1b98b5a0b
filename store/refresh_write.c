#include "store/refresh.h"

#include "store/seal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a round found out, written down. */

/* Does anybody still wait for the acknowledgement? */
static bool is_offered(struct catalog_txn *t, const char *ack_key, const json_t *ack)
{
    char key[CATALOG_KEY_SIZE];

    snprintf(key, sizeof key, "%s", ack_key);
    *strrchr(key, '/') = '\0';
    json_t *candidate = catalog_get(t, CATALOG_CANDIDATES, key);
    bool offered = json_equal(json_object_get(candidate, "nonce"), json_object_get(ack, "nonce"));
    json_decref(candidate);
    return offered;
}

enum st refresh_write(struct store *s, const json_t *acks, const json_t *verified)
{
    struct catalog_txn t;
    const char *key;
    json_t *ack;
    const char *sha256;
    json_t *seal;

    catalog_begin_write(&t, &s->catalog);
    json_object_foreach((json_t *)(uintptr_t)acks, key, ack) if (is_offered(&t, key, ack))
        catalog_put(&t, CATALOG_ACKS, key, ack);
    json_object_foreach((json_t *)(uintptr_t)verified, sha256, seal)
    {
        char path[FS_PATH_MAX];
        catalog_fail(&t, store_segment_path(path, s, sha256));
        if (!t.status && access(path, F_OK) == 0) /* else it was removed meanwhile */
            catalog_put(&t, CATALOG_SEALS, sha256, seal);
    }
    return catalog_commit(&t);
}

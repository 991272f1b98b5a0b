/* Heads from nobody: the document of a head file, with a manifest for each version. What is taken
 * has states and files that there can be, is written as the same document again, and says of every
 * question about it only versions that it names. What is refused is damage. */
#include "store/head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static bool has_turn(const struct head *h, uint64_t version)
{
    for (size_t i = 0; i < h->turn_count; i++)
        if (h->turns[i].version == version)
            return true;
    return false;
}

static void check_versions(const struct head *h)
{
    unsigned char digest[DIGEST_BYTES];

    for (size_t i = 0; i < h->version_count; i++) {
        const struct head_version *v = &h->versions[i];
        require(v->version >= 1 && version_state_name(v->state)[0]);
        for (size_t k = 0; k < v->segment_count; k++)
            require(digest_unhex(digest, sizeof digest, v->segments[k].sha256) == ST_OK);
    }
}

static void check_answers(const struct head *h)
{
    uint64_t expired[8], version;
    size_t at = 0, steps = 0;

    require(!h->current || head_find(h, h->current));
    while ((version = head_rollback_step(h, &at))) {
        require(head_find(h, version)->state == VERSION_SUCCEEDED && has_turn(h, version));
        require(++steps <= h->turn_count);
    }
    for (size_t i = 0; i < h->turn_count; i++) {
        version = head_as_of(h, h->turns[i].at_us);
        require(!version || has_turn(h, version));
    }
    size_t count = head_expired(expired, 8, h, 0, 1, INT64_MAX);
    require(count <= 8);
    for (size_t i = 0; i < count; i++)
        require(head_keeps(head_find(h, expired[i])) && expired[i] != h->current);
}

static void check_written(const struct head *h)
{
    struct head again;
    json_t *first = NULL, *second = NULL;

    require(head_to_json(&first, h) == ST_OK);
    require(head_from_json(&again, first) == ST_OK);
    require(head_to_json(&second, &again) == ST_OK);
    require(json_equal(first, second));
    head_release(&again);
    json_decref(first);
    json_decref(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head h;
    json_t *document = NULL;

    if (jx_parse_object(&document, (const char *)data, size) != ST_OK)
        return 0;
    enum st st = head_from_json(&h, document);
    if (st == ST_OK) {
        check_versions(&h);
        check_answers(&h);
        check_written(&h);
        head_release(&h);
    } else {
        require(st == ST_CORRUPT && h.version_count == 0 && h.turn_count == 0);
    }
    json_decref(document);
    return 0;
}

#include "store/seal.h"

#include "base/clock.h"
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000
#define NAP_NS 1000000
#define SETTLE_NS                                                                                  \
    ((int64_t)2 * SECOND_NS) /* a ctime further ahead than this was not of our clock */

static int64_t to_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

static bool look(struct seal *s, int fd)
{
    struct stat sb;

    if (fstat(fd, &sb) != 0)
        return false;
    *s = (struct seal){
        .bytes = (int64_t)sb.st_size,
        .inode = (int64_t)sb.st_ino,
        .mtime_ns = to_ns(sb.st_mtim),
        .ctime_ns = to_ns(sb.st_ctim),
    };
    return true;
}

/* How long until a change of the file is sure to have another ctime: the kernel stamps it with the
 * coarse clock, or later. */
static int64_t unsettled_ns(const struct seal *s)
{
    struct timespec now;
    int64_t grain_ns = s->ctime_ns % SECOND_NS ? 1 : SECOND_NS;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return s->ctime_ns + grain_ns - to_ns(now);
}

enum st seal_begin(struct seal *s, int fd)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    int64_t left_ns;

    *s = (struct seal){0};
    do {
        if (!look(s, fd))
            return st_fail_errno(errno, "looking at a segment");
        left_ns = unsettled_ns(s);
        if (left_ns > 0 && left_ns < SETTLE_NS)
            (void)nanosleep(&nap, NULL);
    } while (left_ns > 0 && left_ns < SETTLE_NS);
    s->holds = left_ns <= 0;
    return ST_OK;
}

static bool is_same_file(const struct seal *a, const struct seal *b)
{
    return a->bytes == b->bytes && a->inode == b->inode && a->mtime_ns == b->mtime_ns;
}

void seal_end(struct seal *s, int fd)
{
    struct seal now;

    s->holds = s->holds && look(&now, fd) && is_same_file(s, &now) && now.ctime_ns == s->ctime_ns;
    s->checked_us = clock_wall_us();
}

void seal_renamed(struct seal *s, int fd)
{
    struct seal now;

    s->holds = s->holds && look(&now, fd) && is_same_file(s, &now);
    if (s->holds)
        s->ctime_ns = now.ctime_ns;
}

json_t *seal_to_json(const struct seal *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)s->bytes, "inode",
                     (json_int_t)s->inode, "mtime_ns", (json_int_t)s->mtime_ns, "ctime_ns",
                     (json_int_t)s->ctime_ns, "checked_us", (json_int_t)s->checked_us);
}

static bool is_as_noted(const json_t *document, const char *path)
{
    struct stat sb;

    return document && stat(path, &sb) == 0 &&
           json_integer_value(json_object_get(document, "bytes")) == (json_int_t)sb.st_size &&
           json_integer_value(json_object_get(document, "inode")) == (json_int_t)sb.st_ino &&
           json_integer_value(json_object_get(document, "mtime_ns")) == to_ns(sb.st_mtim) &&
           json_integer_value(json_object_get(document, "ctime_ns")) == to_ns(sb.st_ctim);
}

bool seal_document_holds(const json_t *document, const char *path)
{
    return is_as_noted(document, path) && !json_object_get(document, "problem");
}

void store_seal_write(struct catalog_txn *t, const char *sha256, const struct seal *s)
{
    json_t *document = s->holds ? seal_to_json(s) : NULL;

    if (document)
        catalog_put(t, CATALOG_SEALS, sha256, document);
    else if (s->holds)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    json_decref(document);
}

bool store_seal_holds(struct catalog_txn *t, const char *sha256, const char *path)
{
    json_t *document = catalog_get_whole(t, CATALOG_SEALS, sha256);
    bool holds = seal_document_holds(document, path);

    json_decref(document);
    return holds;
}

void store_seal_note(struct catalog_txn *t, const char *sha256, const struct seal *s,
                     const char *problem)
{
    struct seal known = s->holds || problem ? *s : (struct seal){.checked_us = s->checked_us};
    json_t *document = seal_to_json(&known);

    if (problem)
        store_set(t, document, "problem", json_string(problem));
    if (document)
        catalog_put(t, CATALOG_SEALS, sha256, document);
    else
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    json_decref(document);
}

static bool is_missing_still(const json_t *document, const char *path)
{
    return json_integer_value(json_object_get(document, "inode")) == 0 && access(path, F_OK) != 0;
}

static bool is_broken(const json_t *document, const char *path)
{
    return json_object_get(document, "problem") &&
           (is_as_noted(document, path) || is_missing_still(document, path));
}

bool store_seal_is_broken(struct catalog_txn *t, const char *sha256, const char *path)
{
    json_t *document = catalog_get_whole(t, CATALOG_SEALS, sha256);
    bool broken = is_broken(document, path);

    json_decref(document);
    return broken;
}

bool store_seal_condemns(struct catalog_txn *t, const char *sha256, const char *path,
                         uint64_t inode)
{
    json_t *document = catalog_get_whole(t, CATALOG_SEALS, sha256);
    bool its_own = json_object_get(document, "problem") &&
                   (uint64_t)json_integer_value(json_object_get(document, "inode")) == inode;
    struct stat sb;
    bool replaced = its_own && (stat(path, &sb) != 0 || (uint64_t)sb.st_ino != inode);
    bool condemns = its_own && (replaced || is_as_noted(document, path));

    json_decref(document);
    return condemns;
}

int64_t store_seal_checked_us(struct catalog_txn *t, const char *sha256, const char *path)
{
    json_t *document = catalog_get_whole(t, CATALOG_SEALS, sha256);
    bool mended = json_object_get(document, "problem") && !is_broken(document, path);
    int64_t checked_us =
        mended ? 0 : (int64_t)json_integer_value(json_object_get(document, "checked_us"));

    json_decref(document);
    return checked_us;
}

/* ---- is a file right? ---- */

/* Where the file system has no O_DIRECT, it is read through the page cache after all. */
static int open_file(const char *path, int flags)
{
    flags |= O_RDONLY | O_NONBLOCK | O_CLOEXEC; /* of a FIFO too it returns at once */
    int fd = open(path, flags);

    return fd < 0 && errno == EINVAL ? open(path, flags & ~O_DIRECT) : fd;
}

static enum st check_outside(int fd, const struct store_segment_ref *ref)
{
    struct stat sb;

    if (fd < 0 || fstat(fd, &sb) != 0)
        return errno == ENOENT
                   ? st_fail(ST_CORRUPT, "SEGMENT_MISSING", "segment %.12s is missing", ref->sha256)
                   : st_fail_errno(errno, "segment %.12s", ref->sha256);
    if (!S_ISREG(sb.st_mode))
        return st_fail(ST_CORRUPT, "SEGMENT_DAMAGED", "segment %.12s is not a file", ref->sha256);
    if ((uint64_t)sb.st_size != ref->bytes)
        return st_fail(ST_CORRUPT, "SEGMENT_DAMAGED",
                       "segment %.12s has %llu bytes instead of %llu", ref->sha256,
                       (unsigned long long)sb.st_size, (unsigned long long)ref->bytes);
    return ST_OK;
}

static enum st rest(uint64_t bytes, void *ctx)
{
    return pace_rest_after(ctx, bytes)
               ? ST_OK
               : st_fail(ST_UNAVAILABLE, "STOPPING", "the process is stopping");
}

static enum st check_hash(int fd, const struct store_segment_ref *ref, struct pace *pace)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    uint64_t size = 0;
    enum st st = digest_file_told(digest, &size, fd, rest, pace);

    if (st)
        return st;
    digest_hex(hex, digest, sizeof digest);
    return strcmp(hex, ref->sha256) == 0
               ? ST_OK
               : st_fail(ST_CORRUPT, "SEGMENT_DAMAGED", "segment %.12s does not have its SHA-256",
                         ref->sha256);
}

enum st store_segment_file_check(const char *path, const struct store_segment_ref *ref)
{
    int fd = open_file(path, 0);
    enum st st = check_outside(fd, ref);

    fs_close(&fd);
    return st;
}

static enum st verify(struct seal *seal, const char *path, int flags,
                      const struct store_segment_ref *ref, struct pace *pace)
{
    int fd = open_file(path, flags);
    enum st st = check_outside(fd, ref);

    *seal = (struct seal){0};
    if (fd >= 0) {
        enum st looked = seal_begin(seal, fd);
        st = st ? st : looked;
    }
    if (!st)
        st = check_hash(fd, ref, pace);
    seal_end(seal, fd);
    fs_close(&fd);
    return st;
}

enum st store_segment_file_verify(struct seal *seal, const char *path,
                                  const struct store_segment_ref *ref, struct pace *pace)
{
    struct seal unused;

    return verify(seal ? seal : &unused, path, 0, ref, pace);
}

enum st store_segment_file_scrub(struct seal *seal, const char *path,
                                 const struct store_segment_ref *ref, struct pace *pace)
{
    return verify(seal, path, O_DIRECT, ref, pace);
}

enum st store_segment_open_checked(struct store_segment **out, const char *path,
                                   const char *keys_dir, const char *tenant,
                                   const struct store_definition *definition, unsigned slots)
{
    bool protected = definition->key.protect != STORE_PROTECT_NONE;
    unsigned char check[STORE_KEY_BYTES];
    struct store_segment *segment = NULL;
    struct store_hasher *hasher = NULL;
    struct secret key = {0};
    enum st st = store_segment_open(&segment, path, tenant, definition->name, slots);

    if (!st && protected)
        st = store_hmac_key_read(&key, keys_dir, tenant, store_segment_key_id(segment));
    if (!st)
        st = store_hasher_new(&hasher, &definition->key, definition->name, protected ? &key : NULL);
    if (!st)
        st = store_hasher_check_value(check, hasher);
    if (!st)
        st = store_segment_check(segment, store_segment_key_id(segment), check);
    if (!st && store_segment_key_bytes(segment) != store_record_key_bytes(&definition->key))
        st = st_fail(ST_CORRUPT, "SEGMENT_DAMAGED",
                     "a segment is a series, or not, other than its version's definition says");
    store_hasher_free(hasher);
    secret_release(&key);
    if (st) {
        store_segment_close(segment);
        segment = NULL;
    }
    *out = segment;
    return st;
}

#include "ingest/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define INPUT_BYTES (256u << 10)
#define GZIP_ONLY (16 + MAX_WBITS) /* for inflateInit2 */
#define ZSTD_WINDOW_LOG_MAX 27     /* 128 MiB: what the zstd command reads without being asked */

struct reader;

/* A compression. */
struct codec {
    const char *name, *test; /* the command that tells whether a file is whole */
    unsigned char magic[4];
    unsigned char any; /* bits of the first byte that may be anything */
    size_t magic_len;
    enum st (*open)(struct reader *r); /* NULL: it is not read */
    /* One step: some output, or some input used up. */
    enum st (*step)(size_t *n, struct reader *r, void *bytes, size_t len);
    void (*close)(struct reader *r);
};

struct reader {
    const struct task_file *file;
    struct digest_stream *digest;
    int fd;
    const struct codec *codec; /* NULL: not compressed */
    bool ended;                /* the file has no more bytes */
    bool in_member;            /* such a file is a sequence of members, or frames */
    z_stream z;
    ZSTD_DStream *zstd;
    unsigned char *input;
    size_t at, have; /* of input: what was not used yet */
    uint64_t bytes_in, bytes_out;
};

/* More of the file's bytes, behind what is left. */
static enum st fill(struct reader *r)
{
    ssize_t n;

    memmove(r->input, r->input + r->at, r->have);
    r->at = 0;
    do
        n = read(r->fd, r->input + r->have, INPUT_BYTES - r->have);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return st_fail_errno(errno, "cannot read %s", r->file->label);
    enum st st =
        n && r->digest ? digest_stream_add(r->digest, r->input + r->have, (size_t)n) : ST_OK;
    r->ended = n == 0;
    r->have += (size_t)n;
    r->bytes_in += (uint64_t)n;
    return st;
}

static enum st damaged(const struct reader *r, const char *what)
{
    enum st st = st_fail(ST_INVALID, "COMPRESSION", "%s %s", r->file->label, what);

    return st_place(
        st_hint(st, "compress or transfer it again; %s tells whether it is whole", r->codec->test),
        "%s", r->file->label);
}

/* ---- gzip ---- */

static enum st gzip_open(struct reader *r)
{
    return inflateInit2(&r->z, GZIP_ONLY) == Z_OK ? ST_OK
                                                  : st_fail(ST_NOMEM, NULL, "out of memory");
}

static enum st gzip_step(size_t *n, struct reader *r, void *bytes, size_t len)
{
    if (!r->in_member && inflateReset(&r->z) != Z_OK)
        return damaged(r, "cannot be inflated");
    r->in_member = true;
    r->z.next_in = r->input + r->at;
    r->z.avail_in = (uInt)r->have;
    r->z.next_out = bytes;
    r->z.avail_out = (uInt)len;
    int rc = inflate(&r->z, Z_NO_FLUSH);
    r->at += r->have - r->z.avail_in;
    r->have = r->z.avail_in;
    *n = len - r->z.avail_out;
    if (rc == Z_STREAM_END)
        r->in_member = false;
    else if (rc == Z_MEM_ERROR)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
        return damaged(r, "is a damaged gzip file");
    return ST_OK;
}

static void gzip_close(struct reader *r)
{
    (void)inflateEnd(&r->z);
}

/* ---- zstd ---- */

static enum st zstd_open(struct reader *r)
{
    r->zstd = ZSTD_createDStream();
    if (!r->zstd ||
        ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    return ST_OK;
}

static enum st zstd_step(size_t *n, struct reader *r, void *bytes, size_t len)
{
    ZSTD_inBuffer in = {r->input + r->at, r->have, 0};
    ZSTD_outBuffer out = {bytes, len, 0};
    size_t rc = ZSTD_decompressStream(r->zstd, &out, &in);
    r->at += in.pos;
    r->have -= in.pos;
    *n = out.pos;
    if (ZSTD_isError(rc)) {
        if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
            return st_fail(ST_NOMEM, NULL, "out of memory");
        return damaged(r, ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge
                              ? "needs more than 128 MiB to be inflated: compress it without --long"
                              : "is a damaged zstd file");
    }
    r->in_member = rc != 0;
    return ST_OK;
}

static void zstd_close(struct reader *r)
{
    ZSTD_freeDStream(r->zstd);
}

/* No text begins with these bytes: they are not UTF-8, or have control characters. */
static const struct codec codecs[] = {
    {"gzip", "gzip -t", {0x1f, 0x8b}, 0, 2, gzip_open, gzip_step, gzip_close},
    {"zstd", "zstd -t", {0x28, 0xb5, 0x2f, 0xfd}, 0, 4, zstd_open, zstd_step, zstd_close},
    /* A frame to be skipped, which may come first. */
    {"zstd", "zstd -t", {0x50, 0x2a, 0x4d, 0x18}, 0x0f, 4, zstd_open, zstd_step, zstd_close},
    {"zip", NULL, {'P', 'K', 3, 4}, 0, 4, NULL, NULL, NULL},
    {"xz", NULL, {0xfd, '7', 'z', 'X'}, 0, 4, NULL, NULL, NULL},
};

/* ---- files ---- */

static const struct codec *find_codec(const struct reader *r)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        const struct codec *c = &codecs[i];
        if (r->have >= c->magic_len && (r->input[0] & ~c->any) == c->magic[0] &&
            !memcmp(r->input + 1, c->magic + 1, c->magic_len - 1))
            return c;
    }
    return NULL;
}

static enum st begin(struct reader *r)
{
    const char *label = r->file->label;

    r->codec = find_codec(r);
    if (!r->codec)
        return ST_OK;
    if (!r->codec->open) {
        enum st st =
            st_fail(ST_INVALID, "COMPRESSION", "%s is compressed by %s", label, r->codec->name);
        r->codec = NULL;
        return st_place(st_hint(st, "unpack it; gzip and zstd are read as they are"), "%s", label);
    }
    r->in_member = true;
    return r->codec->open(r);
}

enum st reader_open(struct reader **out, const struct task_file *f, struct digest_stream *digest)
{
    struct reader *r = calloc(1, sizeof *r);
    enum st st;

    *out = NULL;
    if (!r)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    r->file = f;
    r->digest = digest;
    r->fd = -1;
    r->input = malloc(INPUT_BYTES);
    st = r->input ? task_file_open(&r->fd, f) : st_fail(ST_NOMEM, NULL, "out of memory");
    while (!st && r->have < sizeof codecs->magic && !r->ended)
        st = fill(r);
    if (!st)
        st = begin(r);
    if (st) {
        reader_close(r);
        return st;
    }
    *out = r;
    return ST_OK;
}

/* A few bytes that inflate to all the memory and disk there is. */
static enum st check_ratio(const struct reader *r)
{
    unsigned ratio = r->file->inflate_ratio ? r->file->inflate_ratio : TASK_INFLATE_RATIO;
    uint64_t used = r->bytes_in - r->have;

    if (r->bytes_out <= READER_INFLATE_FREE || r->bytes_out / ratio <= used)
        return ST_OK;
    enum st st = st_fail(ST_TOO_LARGE, "INFLATE_RATIO",
                         "%s inflates to more than %u times its size", r->file->label, ratio);
    return st_place(st_hint(st, "if it is what it should be, raise --inflate-ratio"), "%s",
                    r->file->label);
}

enum st reader_read(size_t *n, struct reader *r, void *bytes, size_t len)
{
    enum st st = ST_OK;

    *n = 0;
    while (!st && !*n) {
        if (!r->have && !r->ended)
            st = fill(r);
        if (st || (!r->have && !r->in_member))
            break;
        if (r->codec) {
            size_t had = r->have;
            st = r->codec->step(n, r, bytes, len);
            if (!st && !*n && !had && r->in_member)
                return damaged(r, "ends within its compressed data");
            r->bytes_out += *n;
            if (!st)
                st = check_ratio(r);
            continue;
        }
        *n = r->have < len ? r->have : len;
        memcpy(bytes, r->input + r->at, *n);
        r->at += *n;
        r->have -= *n;
    }
    return st;
}

enum st reader_check(const struct reader *r)
{
    return task_stamp_check(r->file, r->fd);
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    if (r->codec)
        r->codec->close(r);
    fs_close(&r->fd);
    free(r->input);
    free(r);
}

uint64_t reader_bytes(const struct reader *r)
{
    return r->bytes_in;
}

#include "ingest/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define INPUT_BYTES (256u << 10)
#define GZIP_ONLY (16 + MAX_WBITS) /* for inflateInit2 */

struct reader {
    const struct task_file *file;
    struct digest_stream *digest;
    int fd;
    bool gzip, ended; /* ended: the file has no more bytes */
    bool in_member;   /* a gzip file is a sequence of members (RFC 1952 section 2.2) */
    z_stream z;
    unsigned char *input;
    size_t at, have; /* of input: what was not used yet */
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
    return st;
}

enum st reader_open(struct reader **out, const struct task_file *f, struct digest_stream *digest)
{
    struct reader *r = calloc(1, sizeof *r);
    enum st st = ST_OK;

    *out = NULL;
    if (!r)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    r->file = f;
    r->digest = digest;
    r->input = malloc(INPUT_BYTES);
    r->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (!r->input)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    else if (r->fd < 0)
        st = st_fail_errno(errno, "cannot read %s", f->label);
    if (!st)
        st = task_stamp_check(f, r->fd);
    while (!st && r->have < 2 && !r->ended)
        st = fill(r);
    /* No text begins like this: 8b is not UTF-8. */
    bool gzip = !st && r->have >= 2 && r->input[0] == 0x1f && r->input[1] == 0x8b;
    if (gzip && inflateInit2(&r->z, GZIP_ONLY) != Z_OK)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    r->gzip = r->in_member = gzip && !st;
    if (st) {
        reader_close(r);
        return st;
    }
    *out = r;
    return ST_OK;
}

static enum st damaged(const struct reader *r, const char *what)
{
    enum st st = st_fail(ST_INVALID, "COMPRESSION", "%s %s", r->file->label, what);

    return st_place(st_hint(st, "compress or transfer it again; gzip -t tells whether it is whole"),
                    "%s", r->file->label);
}

/* One step: some output, or some input used up. */
static enum st inflate_some(size_t *n, struct reader *r, void *bytes, size_t len)
{
    if (!r->in_member) {
        if (inflateReset(&r->z) != Z_OK)
            return damaged(r, "cannot be inflated");
        r->in_member = true;
    }
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

enum st reader_read(size_t *n, struct reader *r, void *bytes, size_t len)
{
    enum st st = ST_OK;

    *n = 0;
    while (!st && !*n) {
        if (!r->have && !r->ended)
            st = fill(r);
        if (st || (!r->have && !r->in_member))
            break;
        if (!r->have)
            return damaged(r, "ends within its compressed data");
        if (r->gzip) {
            st = inflate_some(n, r, bytes, len);
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

bool reader_is_gzip(const struct reader *r)
{
    return r->gzip;
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    if (r->gzip)
        (void)inflateEnd(&r->z);
    fs_close(&r->fd);
    free(r->input);
    free(r);
}

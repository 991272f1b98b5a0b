/* A block is SPILL_BLOCK_BYTES and its tag, sealed under a number that is used once, in a slot of
 * the file; the slots of a run that is released are used again. */
#include "ingest/spill.h"

#include "base/cipher.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "spill"
#define SLOT_BYTES (SPILL_BLOCK_BYTES + CIPHER_TAG_BYTES)
#define PIECE_MAX (16u << 20)

struct spill_block {
    uint64_t number;
    uint32_t slot, len;
};

struct spill {
    const char *directory;
    pthread_mutex_t lock; /* of what follows */
    struct cipher *cipher;
    int fd;
    uint64_t blocks; /* written so far: the next one's number */
    uint32_t slots;  /* of the file */
    uint32_t *unused;
    size_t unused_count, unused_capacity;
};

enum st spill_open(struct spill **out, const char *directory)
{
    struct spill *s = *out = calloc(1, sizeof *s);
    if (!s)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    s->directory = directory;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    return ST_OK;
}

static enum st file_path(char path[FS_PATH_MAX], const struct spill *s)
{
    return fs_path(path, "%s/%s", s->directory, FILE_NAME);
}

void spill_close(struct spill *s)
{
    char path[FS_PATH_MAX];
    if (!s)
        return;
    if (s->fd >= 0 && !file_path(path, s))
        unlink(path);
    fs_close(&s->fd);
    cipher_free(s->cipher);
    free(s->unused);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

uint64_t spill_peak_bytes(const struct spill *s)
{
    return (uint64_t)s->slots * SLOT_BYTES;
}

static enum st disk_failed(int error, const char *what)
{
    return st_hint(st_fail_errno(error, "%s the build's temporary file", what),
                   "it is in the data directory's build/: free some disk there, or raise --memory "
                   "so that less is put aside");
}

static enum st create_file(struct spill *s)
{
    char path[FS_PATH_MAX];
    enum st st = cipher_new(&s->cipher);
    if (!st)
        st = file_path(path, s);
    if (st)
        return st;
    s->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return s->fd < 0 ? disk_failed(errno, "creating") : ST_OK;
}

/* A slot and a number, for a block that will be written. */
static enum st take_slot(struct spill_block *block, struct spill *s)
{
    pthread_mutex_lock(&s->lock);
    enum st st = s->fd < 0 ? create_file(s) : ST_OK;
    block->number = s->blocks++;
    block->slot = s->unused_count ? s->unused[--s->unused_count] : s->slots++;
    pthread_mutex_unlock(&s->lock);
    return st;
}

void spill_run_release(struct spill_run *run, struct spill *s)
{
    size_t need = run->count;
    if (!run->blocks)
        return;
    pthread_mutex_lock(&s->lock);
    need += s->unused_count;
    uint32_t *unused = need > s->unused_capacity ? realloc(s->unused, need * sizeof *unused) : NULL;
    if (unused) {
        s->unused = unused;
        s->unused_capacity = need;
    }
    for (size_t i = 0; i < run->count && s->unused_count < s->unused_capacity; i++)
        s->unused[s->unused_count++] = run->blocks[i].slot;
    pthread_mutex_unlock(&s->lock);
    free(run->blocks);
    *run = (struct spill_run){0};
}

/* ---- writing ---- */

enum st spill_writer_open(struct spill_writer *w, struct spill *s, struct spill_run *run)
{
    *w = (struct spill_writer){.spill = s, .run = run, .block = malloc(SLOT_BYTES)};
    return w->block ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

static enum st write_at(int fd, const unsigned char *bytes, size_t len, off_t at)
{
    while (len) {
        ssize_t n = pwrite(fd, bytes, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return disk_failed(n ? errno : EIO, "writing");
        bytes += n;
        len -= (size_t)n;
        at += n;
    }
    return ST_OK;
}

static enum st flush(struct spill_writer *w)
{
    struct spill_run *run = w->run;
    if (run->count == run->capacity) {
        size_t capacity = run->capacity ? 2 * run->capacity : 64;
        struct spill_block *blocks = realloc(run->blocks, capacity * sizeof *blocks);
        if (!blocks)
            return st_fail(ST_NOMEM, NULL, "out of memory");
        run->blocks = blocks;
        run->capacity = capacity;
    }
    struct spill_block *block = &run->blocks[run->count];
    block->len = (uint32_t)w->used;
    enum st st = take_slot(block, w->spill);
    if (!st)
        st = cipher_seal(w->spill->cipher, w->block, w->used, block->number);
    if (!st)
        st = write_at(w->spill->fd, w->block, w->used + CIPHER_TAG_BYTES,
                      (off_t)block->slot * SLOT_BYTES);
    run->count += !st;
    w->used = 0;
    return st;
}

enum st spill_write(struct spill_writer *w, const void *bytes, size_t len)
{
    const unsigned char *from = bytes;
    enum st st = ST_OK;
    while (!st && len) {
        size_t n = SPILL_BLOCK_BYTES - w->used < len ? SPILL_BLOCK_BYTES - w->used : len;
        memcpy(w->block + w->used, from, n);
        w->used += n;
        from += n;
        len -= n;
        if (w->used == SPILL_BLOCK_BYTES)
            st = flush(w);
    }
    return st;
}

enum st spill_writer_finish(struct spill_writer *w)
{
    return w->used ? flush(w) : ST_OK;
}

void spill_writer_close(struct spill_writer *w)
{
    free(w->block);
    *w = (struct spill_writer){0};
}

/* ---- reading ---- */

enum st spill_reader_open(struct spill_reader *r, struct spill *s, const struct spill_run *run)
{
    *r = (struct spill_reader){.spill = s, .run = run, .block = malloc(SLOT_BYTES)};
    buf_init(&r->piece, PIECE_MAX);
    return r->block ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

void spill_reader_close(struct spill_reader *r)
{
    free(r->block);
    buf_release(&r->piece);
    *r = (struct spill_reader){0};
}

static enum st next_block(struct spill_reader *r)
{
    if (r->next == r->run->count)
        return ST_END;
    const struct spill_block *block = &r->run->blocks[r->next++];
    size_t want = block->len + CIPHER_TAG_BYTES, have = 0;
    while (have < want) {
        ssize_t n = pread(r->spill->fd, r->block + have, want - have,
                          (off_t)block->slot * SLOT_BYTES + (off_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return disk_failed(n ? errno : EIO, "reading");
        have += (size_t)n;
    }
    r->at = 0;
    r->len = block->len;
    enum st st = cipher_open(r->spill->cipher, r->block, block->len, block->number);
    return st == ST_CORRUPT
               ? st_hint(st_fail(ST_CORRUPT, "SPILL_DAMAGED",
                                 "the build's temporary file is not what was written to it"),
                         "look for a failing disk, then ingest again")
               : st;
}

enum st spill_read(const void **bytes, struct spill_reader *r, size_t len)
{
    enum st st = ST_OK;
    if (r->at == r->len && (st = next_block(r)))
        return st;
    if (r->len - r->at >= len) {
        *bytes = r->block + r->at;
        r->at += len;
        return ST_OK;
    }
    buf_reset(&r->piece);
    while (!st && r->piece.len < len) {
        size_t n = len - r->piece.len < r->len - r->at ? len - r->piece.len : r->len - r->at;
        buf_add(&r->piece, r->block + r->at, n);
        r->at += n;
        st = buf_status(&r->piece);
        if (!st && r->piece.len < len)
            st = next_block(r);
    }
    *bytes = r->piece.data;
    /* A run ends where a record does. */
    return st == ST_END ? st_fail(ST_CORRUPT, "SPILL_DAMAGED", "a run ends within a record") : st;
}

#include "auth/audit_chain.h"

#include "auth/audit_file.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Lines are written at the place that is known to be the end of what was committed: a commit that
 * failed half-way is written over by the next one, and what a crash has left of a line is cut off
 * when the chain is opened.
 *
 * The newest file has blocks for some thousand lines more: lookups that are audited go on while
 * somebody makes room on a full disk. */

#define PENDING_MAX (64u << 20)
#define PAGE 4096u

struct audit_chain {
    char tenant[64], directory[FS_PATH_MAX];
    unsigned number;
    uint64_t rotate_bytes;
    int64_t last_us;  /* of the line that was added last */
    int64_t since_us; /* of the first line of the newest file */
    int fd;           /* of the newest file; -1: the next line begins one */
    uint64_t end;
    uint64_t room_end; /* the file has blocks up to here, which its size does not show */
    bool torn;         /* a commit failed: there may be something behind the end */
    struct audit_head added, committed;
    struct buf pending; /* lines that are not committed */
    uint64_t pending_first;
    int64_t pending_us; /* of the first of them */
};

enum st audit_chain_lock(int *lock, const char *directory, unsigned number)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/%u.lock", directory, number);

    return st ? st : fs_lock(lock, path);
}

enum st audit_chain_take(int *lock, unsigned *number, const char *directory)
{
    enum st st = fs_mkdir_all(directory, 0700);

    for (*number = 1; !st && *number <= AUDIT_CHAINS_MAX; ++*number) {
        st = audit_chain_lock(lock, directory, *number);
        if (st != ST_CONFLICT)
            return st;
        st = ST_OK;
    }
    return st ? st
              : st_fail(ST_FULL, "AUDIT_UNAVAILABLE", "%u processes write the audit at once",
                        AUDIT_CHAINS_MAX);
}

/* Best effort: a full disk has none, and not all file systems can. Behind a new line only: it makes
 * the file a new one to retention. */
static void keep_room(struct audit_chain *c)
{
    if (c->room_end < c->end + AUDIT_ROOM_BYTES / 2 &&
        fallocate(c->fd, FALLOC_FL_KEEP_SIZE, (off_t)c->end, AUDIT_ROOM_BYTES) == 0)
        c->room_end = c->end + AUDIT_ROOM_BYTES;
}

/* Room goes, too. The file stays as old as its last line: retention goes by that. */
static bool cut(const struct audit_chain *c, const struct stat *info)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, info->st_mtim};

    return ftruncate(c->fd, (off_t)c->end) == 0 && futimens(c->fd, times) == 0;
}

/* A file that gets no more lines needs no room. Best effort, too. */
static void close_file(struct audit_chain *c)
{
    struct stat info;

    if (fstat(c->fd, &info) == 0)
        (void)cut(c, &info);
    fs_close(&c->fd);
}

static enum st cut_off(struct audit_chain *c)
{
    struct stat info;

    if (fstat(c->fd, &info) != 0 || ((uint64_t)info.st_size > c->end && !cut(c, &info)))
        return st_fail_errno(errno, "cutting off half a line of the audit");
    return ST_OK;
}

static enum st open_file(struct audit_chain *c, uint64_t first, bool is_new)
{
    char path[FS_PATH_MAX];
    enum st st =
        fs_path(path, "%s/" AUDIT_FILE_FORMAT, c->directory, c->number, (unsigned long long)first);

    if (st)
        return st;
    c->fd = open(path, O_RDWR | O_CLOEXEC | (is_new ? O_CREAT : 0), 0600);
    if (c->fd < 0)
        return st_fail_errno(errno, "opening %s", path);
    st = is_new ? fs_sync_dir(c->directory) : ST_OK;
    if (st) /* the name need not last: it is to be synced again before a line of it counts */
        fs_close(&c->fd);
    c->room_end = 0;
    return st;
}

static void take_time(struct audit_chain *c, const struct audit_text *line)
{
    const char *at = audit_line_at(line->bytes, line->len);
    char text[AUDIT_AT_TEXT + 1];
    int64_t at_us;

    snprintf(text, sizeof text, "%.*s", AUDIT_AT_TEXT, at ? at : "");
    if (clock_parse(&at_us, text) != ST_OK)
        return;
    if (c->end == 0)
        c->since_us = at_us;
    c->last_us = at_us;
}

static bool is_full(const struct audit_chain *c)
{
    return c->end >= c->rotate_bytes || c->last_us - c->since_us >= AUDIT_ROTATE_US;
}

/* The last whole line of a file, and where it ends. */
static enum st read_end(struct audit_chain *c, uint64_t first)
{
    struct audit_file file = {0};
    struct audit_text line;
    enum st st = audit_file_read(&file, c->directory, c->number, first);

    c->added.sequence = first - 1;
    while (!st && audit_file_next(&line, &file)) {
        unsigned char hash[DIGEST_BYTES];
        uint64_t sequence = audit_line_sequence(line.bytes, line.len);
        if (sequence != c->added.sequence + 1 ||
            audit_line_hash(hash, line.bytes, line.len) != ST_OK)
            break;
        c->added.sequence = sequence;
        memcpy(c->added.hash, hash, sizeof hash);
        take_time(c, &line);
        c->end = (uint64_t)(line.bytes + line.len + 1 - file.text.data);
    }
    audit_file_release(&file);
    return st;
}

/* The newest file may have no line: the disk was full when it was begun, or a process died. */
static enum st resume(struct audit_chain *c, const struct audit_head *anchor)
{
    struct audit_names names = {0};
    enum st st = audit_names_list(&names, c->directory, c->number);
    size_t last = st ? 0 : names.count;

    audit_line_origin(c->added.hash, c->tenant, c->number);
    while (!st && last > 0 && !c->end)
        st = read_end(c, names.list[--last].first);
    bool goes_on = !st && c->end && last + 1 == names.count && !is_full(c);
    uint64_t first = goes_on ? names.list[last].first : 0;
    audit_names_release(&names);
    if (st)
        return st;
    if (c->added.sequence < anchor->sequence) {
        c->added = *anchor;
    } else if (goes_on) {
        st = open_file(c, first, false);
        if (!st)
            st = cut_off(c);
    }
    c->committed = c->added;
    return st;
}

enum st audit_chain_open(struct audit_chain **out, const char *directory, const char *tenant,
                         unsigned number, const struct audit_head *anchor, uint64_t rotate_bytes)
{
    struct audit_chain *c = calloc(1, sizeof *c);
    enum st st = c ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    *out = NULL;
    if (st)
        return st;
    c->fd = -1;
    c->number = number;
    c->rotate_bytes = rotate_bytes;
    buf_init(&c->pending, PENDING_MAX);
    snprintf(c->tenant, sizeof c->tenant, "%s", tenant);
    st = fs_path(c->directory, "%s/%s", directory, tenant);
    if (!st)
        st = fs_mkdir(c->directory, 0700);
    if (!st)
        st = resume(c, anchor);
    if (st) {
        audit_chain_close(c);
        return st;
    }
    *out = c;
    return ST_OK;
}

void audit_chain_close(struct audit_chain *c)
{
    if (!c)
        return;
    fs_close(&c->fd);
    buf_release(&c->pending);
    free(c);
}

enum st audit_chain_add(struct audit_chain *c, const struct audit_record *record,
                        struct digest_hmac *hmac)
{
    struct audit_record timed = *record;
    unsigned char hash[DIGEST_BYTES];
    size_t len = c->pending.len;

    memcpy(hash, c->added.hash, sizeof hash);
    if (len == 0)
        c->pending_first = c->added.sequence + 1;
    if (timed.at_us < c->last_us)
        timed.at_us = c->last_us;
    if (len == 0)
        c->pending_us = timed.at_us;
    enum st st = audit_line_write(&c->pending, hash, c->added.sequence + 1, &timed, hmac);
    if (st) { /* the line is not there, and the others are as they were */
        c->pending.len = len;
        c->pending.status = ST_OK;
        return st;
    }
    c->added.sequence++;
    c->last_us = timed.at_us;
    memcpy(c->added.hash, hash, sizeof hash);
    return ST_OK;
}

/* What is on the disk is seldom read, and memory is for what is served. Besides, pages that were
 * used a moment ago are cheaper to get than others. The last one is written to again. */
static void let_go(const struct audit_chain *c)
{
    uint64_t pages = (c->end + c->pending.len) / PAGE;

    if (pages)
        (void)posix_fadvise(c->fd, 0, (off_t)(pages * PAGE), POSIX_FADV_DONTNEED);
}

static enum st write_pending(struct audit_chain *c)
{
    for (size_t done = 0; done < c->pending.len;) {
        ssize_t n =
            pwrite(c->fd, c->pending.data + done, c->pending.len - done, (off_t)(c->end + done));
        if (n < 0 && errno != EINTR)
            return st_fail_errno(errno, "writing the audit");
        done += n > 0 ? (size_t)n : 0;
    }
    if (fdatasync(c->fd) != 0)
        return st_fail_errno(errno, "syncing the audit");
    let_go(c);
    return ST_OK;
}

enum st audit_chain_commit(struct audit_chain *c)
{
    enum st st = ST_OK;

    if (c->pending.len == 0)
        return ST_OK;
    if (c->fd >= 0 && !c->torn && c->pending_us - c->since_us >= AUDIT_ROTATE_US)
        close_file(c);
    if (c->fd < 0) {
        c->end = 0;
        c->since_us = c->pending_us;
        st = open_file(c, c->pending_first, true);
    }
    if (!st)
        st = write_pending(c);
    c->torn = st != ST_OK;
    if (st)
        return st;
    c->end += c->pending.len;
    c->committed = c->added;
    buf_reset(&c->pending);
    if (is_full(c))
        close_file(c);
    else
        keep_room(c);
    return ST_OK;
}

bool audit_chain_rest(struct audit_chain *c, int64_t before_s)
{
    struct stat info;

    if (c->fd < 0)
        return true;
    if (fstat(c->fd, &info) != 0)
        return false;
    if (info.st_mtim.tv_sec >= before_s)
        return true;
    /* What a commit that failed has left is to be written again, to the next file: in this one it
     * would be there twice. */
    if (c->torn && (cut_off(c) || fdatasync(c->fd) != 0))
        return false;
    fs_close(&c->fd);
    return true;
}

const char *audit_chain_tenant(const struct audit_chain *c)
{
    return c->tenant;
}

const struct audit_head *audit_chain_head(const struct audit_chain *c)
{
    return &c->committed;
}

#include "auth/limits_file.h"

#include "base/digest.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "everline limit2"
#define BUCKET_GROUP 64
#define HEAD_BYTES ((ssize_t)offsetof(struct limits_file, buckets))
#define US 1000000u
#define SET_BACK_US (60u * US) /* more than a request can be late here: the clock was set back */
#define COUNT_BITS LIMITS_COUNT_BITS
#define COUNT_MASK ((1ull << COUNT_BITS) - 1)

/* ---- the file ---- */

/* All of its blocks, so that a full disk is an error here and no signal later. */
static enum st fill(int fd)
{
    struct limits_file *file = calloc(1, HEAD_BYTES);
    enum st st = file ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    int rc = 0;

    if (!st && (rc = posix_fallocate(fd, 0, (off_t)sizeof *file)) != 0)
        st = st_fail_errno(rc, "making the table of limits");
    if (!st) {
        memcpy(file->magic, MAGIC, sizeof MAGIC);
        st = digest_random(&file->seed, sizeof file->seed);
    }
    ssize_t written = st ? 0 : pwrite(fd, file, HEAD_BYTES, 0);
    if (!st && written != HEAD_BYTES)
        st = st_fail_errno(written < 0 ? errno : ENOSPC, "making the table of limits");
    free(file);
    return st;
}

static enum st make(const char *path)
{
    char temporary[FS_PATH_MAX];
    enum st st = fs_temporary(temporary, path);
    int fd = st ? -1 : open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (!st && fd < 0)
        return st_fail_errno(errno, "making %s", path);
    if (!st)
        st = fill(fd);
    if (!st)
        st = fs_sync_fd(fd, path);
    fs_close(&fd);
    if (st) {
        struct st_report report;
        st_save(&report, st);
        unlink(temporary);
        return st_restore(&report);
    }
    st = fs_name_new(temporary, path);
    return st == ST_CONFLICT ? ST_OK : st; /* another process was quicker */
}

static enum st not_a_table(const char *path)
{
    return st_hint(st_fail(ST_CORRUPT, "LIMITS_FORMAT",
                           "%s is not a table of limits, or another everline's", path),
                   "remove it: what was counted today is forgotten");
}

enum st auth_limits_open(struct auth_limits **out, const char *path)
{
    struct auth_limits *l = calloc(1, sizeof *l);
    struct stat info;
    enum st st = l ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    *out = NULL;
    if (!st && access(path, F_OK) != 0)
        st = make(path);
    int fd = st ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (!st && (fd < 0 || fstat(fd, &info) != 0))
        st = st_fail_errno(errno, "opening %s", path);
    if (!st && info.st_size != (off_t)sizeof *l->file)
        st = not_a_table(path);
    if (!st) {
        l->file = mmap(NULL, sizeof *l->file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (l->file == MAP_FAILED) {
            l->file = NULL;
            st = st_fail_errno(errno, "mapping %s", path);
        } else if (memcmp(l->file->magic, MAGIC, sizeof MAGIC) != 0) {
            st = not_a_table(path);
        }
    }
    fs_close(&fd);
    if (st) {
        auth_limits_close(l);
        return st;
    }
    *out = l;
    return ST_OK;
}

void auth_limits_close(struct auth_limits *l)
{
    if (l && l->file)
        munmap(l->file, sizeof *l->file);
    free(l);
}

/* ---- requests ---- */

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return (h ^ 0x100) * 0x100000001b3u; /* a text ends: "a","bc" is not "ab","c" */
}

static bool is_idle(const struct limits_bucket *b, int64_t now_us)
{
    return atomic_load(&b->owner) == 0 ||
           (atomic_load(&b->full_us) <= (uint64_t)now_us &&
            atomic_load(&b->today) >> COUNT_BITS != limits_day(now_us));
}

static struct limits_bucket *find_bucket(struct limits_bucket *group, uint64_t owner)
{
    for (unsigned i = 0; i < BUCKET_GROUP; i++)
        if (atomic_load(&group[i].owner) == owner)
            return &group[i];
    return NULL;
}

/* For a newcomer of the tenant: one that is idle, while the tenant has no more of the group than
 * is left (as in auth/guess.c). NULL: it shares `own`, one of its tenant's; where that is NULL,
 * too, all are in use by others. */
static struct limits_bucket *idle_bucket(struct limits_bucket **own, struct limits_bucket *group,
                                         uint64_t tenant, int64_t now_us)
{
    struct limits_bucket *idle = NULL;
    unsigned used = 0, owned = 0;

    *own = NULL;
    for (unsigned i = 0; i < BUCKET_GROUP; i++) {
        struct limits_bucket *b = &group[i];
        if (is_idle(b, now_us)) {
            idle = idle ? idle : b;
        } else {
            used++;
            if (atomic_load(&b->tenant) == tenant) {
                owned++;
                *own = b;
            }
        }
    }
    return owned + used < BUCKET_GROUP ? idle : NULL;
}

/* One of the tenant that has most of the group; NULL: none has two. */
static struct limits_bucket *bucket_of_most(struct limits_bucket *group)
{
    struct limits_bucket *found = NULL;
    unsigned most = 1;

    for (unsigned i = 0; i < BUCKET_GROUP; i++) {
        uint64_t tenant = atomic_load(&group[i].tenant);
        unsigned owned = 0;
        for (unsigned j = 0; j < BUCKET_GROUP; j++)
            owned += atomic_load(&group[j].tenant) == tenant;
        if (owned > most) {
            most = owned;
            found = &group[i];
        }
    }
    return found;
}

static bool become_owner(struct limits_bucket *b, uint64_t old, uint64_t owner, uint64_t tenant)
{
    if (!atomic_compare_exchange_strong(&b->owner, &old, owner))
        return false; /* somebody else was quicker */
    atomic_store(&b->tenant, tenant);
    return true;
}

/* What was taken from it is forgotten. */
static struct limits_bucket *take_over(struct limits_bucket *group, uint64_t owner, uint64_t tenant)
{
    struct limits_bucket *b = bucket_of_most(group);

    if (!b)
        return group;
    if (!become_owner(b, atomic_load(&b->owner), owner, tenant))
        return NULL;
    atomic_store(&b->full_us, 0);
    atomic_store(&b->today, 0);
    return b;
}

/* A tenant's own, as a whole, is never taken over. NULL: somebody else was quicker. */
static struct limits_bucket *bucket_for(struct limits_bucket *group, uint64_t owner,
                                        uint64_t tenant, bool whole, int64_t now_us)
{
    struct limits_bucket *own, *idle = idle_bucket(&own, group, tenant, now_us);

    if (!idle)
        return own ? own : whole ? group : take_over(group, owner, tenant);
    uint64_t old = atomic_load(&idle->owner);
    return is_idle(idle, now_us) && become_owner(idle, old, owner, tenant) ? idle : NULL;
}

struct limits_bucket *limits_bucket_of(const struct auth_limits *l, const char *tenant,
                                       const char *subject, bool whole, int64_t now_us)
{
    uint64_t of_tenant = hash_text(l->file->seed, tenant);
    uint64_t owner = limits_mix(hash_text(of_tenant, subject)) | 1;
    size_t begin = whole ? 0 : LIMITS_TENANTS, end = whole ? LIMITS_TENANTS : LIMITS_BUCKETS;
    struct limits_bucket *b, *group = l->file->buckets + begin;

    group += owner / 2 % ((end - begin) / BUCKET_GROUP) * BUCKET_GROUP;
    while (!(b = find_bucket(group, owner)) &&
           !(b = bucket_for(group, owner, of_tenant, whole, now_us)))
        ;
    return b;
}

static uint32_t seconds(uint64_t us)
{
    return (uint32_t)((us + US - 1) / US);
}

static uint32_t until_tomorrow(int64_t now_us)
{
    return (uint32_t)(86400 - now_us / US % 86400);
}

static bool take_day(struct auth_quota *out, struct limits_bucket *b, const struct auth_rate *rate,
                     uint64_t count, int64_t now_us)
{
    uint64_t day = limits_day(now_us), old = atomic_load(&b->today), taken;

    do {
        taken = old >> COUNT_BITS == day ? old & COUNT_MASK : 0;
        if (taken + count > rate->per_day) {
            *out = (struct auth_quota){.limited = true,
                                       .by_day = true,
                                       .left = rate->per_day > taken ? rate->per_day - taken : 0,
                                       .reset_s = until_tomorrow(now_us),
                                       .retry_s = until_tomorrow(now_us)};
            return false;
        }
    } while (!atomic_compare_exchange_weak(&b->today, &old, day << COUNT_BITS | (taken + count)));
    *out = (struct auth_quota){.limited = true,
                               .by_day = true,
                               .left = rate->per_day - taken - count,
                               .reset_s = until_tomorrow(now_us)};
    return true;
}

static uint64_t burst_us(const struct auth_rate *rate)
{
    return (uint64_t)(rate->burst ? rate->burst : rate->per_second) * US / rate->per_second;
}

/* The longest that a bucket takes to be full again. */
static uint64_t longest_us(const struct auth_rate *rate)
{
    uint64_t burst = burst_us(rate), most = (uint64_t)rate->most * US / rate->per_second;

    return burst > most ? burst : most;
}

/* GCRA: a request moves the time at which the bucket is full on by its share of a second, and
 * passes while that is no further away than the burst lasts. */
static bool take_second(struct auth_quota *out, struct limits_bucket *b,
                        const struct auth_rate *rate, uint64_t count, int64_t now_us)
{
    uint64_t now = (uint64_t)now_us, burst = burst_us(rate), cost = count * US / rate->per_second;
    uint64_t old = atomic_load(&b->full_us), start, next;

    do {
        start = old > now ? old : now;
        if (start - now > longest_us(rate) + SET_BACK_US)
            start = now;
        next = start + cost;
        if (next > now + burst && start > now) {
            *out = (struct auth_quota){
                .limited = true,
                .left = now + burst > start ? (now + burst - start) * rate->per_second / US : 0,
                .reset_s = seconds(start - now),
                .retry_s = seconds(next - now - burst)};
            return false;
        }
    } while (!atomic_compare_exchange_weak(&b->full_us, &old, next));
    out->limited = true;
    out->by_day = false;
    out->left = now + burst > next ? (now + burst - next) * rate->per_second / US : 0;
    out->reset_s = seconds(next - now);
    return true;
}

static void return_day(struct limits_bucket *b, uint64_t count, int64_t now_us)
{
    uint64_t old = atomic_load(&b->today);

    while (old >> COUNT_BITS == limits_day(now_us) && (old & COUNT_MASK) >= count &&
           !atomic_compare_exchange_weak(&b->today, &old, old - count))
        ;
}

/* Of one that has another owner since, there is nothing to return. */
static void return_second(struct limits_bucket *b, uint64_t cost)
{
    uint64_t old = atomic_load(&b->full_us);

    while (old >= cost && !atomic_compare_exchange_weak(&b->full_us, &old, old - cost))
        ;
}

bool auth_limits_take(struct auth_quota *out, struct auth_limits *l, const char *tenant,
                      const char *subject, const struct auth_rate *rate, uint64_t count,
                      int64_t now_us)
{
    *out = (struct auth_quota){0};
    if (!rate->per_second && !rate->per_day)
        return true;
    struct limits_bucket *b = limits_bucket_of(l, tenant, subject, !*subject, now_us);
    if (rate->per_day && !take_day(out, b, rate, count, now_us))
        return false;
    if (!rate->per_second || take_second(out, b, rate, count, now_us))
        return true;
    if (rate->per_day)
        return_day(b, count, now_us);
    return false;
}

void auth_limits_return(struct auth_limits *l, const char *tenant, const char *subject,
                        const struct auth_rate *rate, uint64_t count, int64_t now_us)
{
    if (!rate->per_second && !rate->per_day)
        return;
    struct limits_bucket *b = limits_bucket_of(l, tenant, subject, !*subject, now_us);
    if (rate->per_day)
        return_day(b, count, now_us);
    if (rate->per_second)
        return_second(b, count * US / rate->per_second);
}

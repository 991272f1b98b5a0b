#include "ingest/limits.h"

#include "base/clock.h"
#include "base/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the libraries need beside the budget that --memory is. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLACK_BYTES (8ull << 30) /* and the sanitizer's shadow */
#else
#define SLACK_BYTES (384ull << 20)
#endif
#define DISK_LOOK_MS 500

/* Pages of the process's own, not those of files that it has mapped. 0: not known. */
static uint64_t own_memory(pid_t pid)
{
    static const char NAME[] = "\nRssAnon:";
    char path[64], text[4096];
    uint64_t kib = 0;

    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    fs_close(&fd);
    if (n > 0) {
        text[n] = '\0';
        const char *found = strstr(text, NAME);
        kib = found ? strtoull(found + sizeof NAME - 1, NULL, 10) : 0;
    }
    return kib << 10;
}

static uint64_t disk_use(const char *directory)
{
    char path[FS_PATH_MAX];
    struct fs_list list;
    struct stat sb;
    uint64_t bytes = 0;

    if (fs_list_dir(&list, directory))
        return 0; /* it is being removed */
    for (size_t i = 0; i < list.count; i++) {
        if (fs_path(path, "%s/%s", directory, list.names[i]) || lstat(path, &sb) != 0)
            continue;
        bytes += S_ISDIR(sb.st_mode) ? disk_use(path) : (uint64_t)sb.st_blocks * 512;
    }
    fs_list_free(&list);
    return bytes;
}

static enum st check_disk(struct limits *l)
{
    uint64_t now_ms = clock_boot_ms();

    if (!l->disk_bytes || !*l->directory || now_ms - l->looked_ms < DISK_LOOK_MS)
        return ST_OK;
    l->looked_ms = now_ms;
    return disk_use(l->directory) <= l->disk_bytes
               ? ST_OK
               : st_hint(st_fail(ST_TOO_LARGE, "DISK_LIMIT",
                                 "the build used more than %llu MiB of disk",
                                 (unsigned long long)l->disk_bytes >> 20),
                         "raise --temp-disk, or look for a join in `prepare` that multiplies rows");
}

enum st limits_check(struct limits *l, pid_t pid)
{
    uint64_t own = own_memory(pid);

    if (own > l->memory_bytes + SLACK_BYTES)
        return st_hint(st_fail(ST_TOO_LARGE, "MEMORY_LIMIT",
                               "the build used %llu MiB of memory; --memory is %llu MiB",
                               (unsigned long long)own >> 20,
                               (unsigned long long)l->memory_bytes >> 20),
                       "look for a list or a join in `prepare` that multiplies rows, or raise "
                       "--memory");
    return check_disk(l);
}

#include "base/memory.h"

#include "base/fs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One number of a file of lines "NAME NUMBER" or "NAME: NUMBER kB". False: there is none. */
static bool read_field(uint64_t *out, const char *path, const char *name)
{
    size_t len = strlen(name);
    FILE *file = fopen(path, "re");
    char line[256];
    bool found = false;

    while (file && !found && fgets(line, sizeof line, file)) {
        const char *value = line + len;
        if (strncmp(line, name, len) != 0 || !strchr(": \t", *value))
            continue;
        found = sscanf(value + strspn(value, ": \t"), "%" SCNu64, out) == 1;
        if (found && strstr(value, " kB"))
            *out <<= 10;
    }
    if (file)
        fclose(file);
    return found;
}

/* One number that is all of a file. False: none, or "max". */
static bool read_number(uint64_t *out, const char *path)
{
    FILE *file = fopen(path, "re");
    bool found = file && fscanf(file, "%" SCNu64, out) == 1;

    if (file)
        fclose(file);
    return found;
}

/* Where cgroup version 2 has this process: its line begins "0::". */
static bool find_cgroup(char out[FS_PATH_MAX], const char *root)
{
    char path[FS_PATH_MAX], line[FS_PATH_MAX];
    bool found = false;

    if (fs_path(path, "%s/proc/self/cgroup", root))
        return false;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "0::/", 4) == 0 && fs_path(out, "%s", line + 3) == ST_OK;
    }
    if (file)
        fclose(file);
    return found;
}

/* What the group's limit leaves, page cache taken for free. */
static uint64_t left_in(const char *root, const char *group)
{
    char path[FS_PATH_MAX];
    uint64_t max, current, active = 0, inactive = 0;

    if (fs_path(path, "%s/sys/fs/cgroup%s/memory.max", root, group) || !read_number(&max, path) ||
        fs_path(path, "%s/sys/fs/cgroup%s/memory.current", root, group) ||
        !read_number(&current, path) ||
        fs_path(path, "%s/sys/fs/cgroup%s/memory.stat", root, group))
        return UINT64_MAX;
    (void)read_field(&active, path, "active_file");
    (void)read_field(&inactive, path, "inactive_file");
    uint64_t used = current > active + inactive ? current - active - inactive : 0;
    return max > used ? max - used : 0;
}

uint64_t memory_spare_bytes_below(const char *root)
{
    char path[FS_PATH_MAX], group[FS_PATH_MAX];
    uint64_t spare = UINT64_MAX, mapped = 0;

    if (fs_path(path, "%s/proc/meminfo", root) || !read_field(&spare, path, "MemAvailable"))
        return UINT64_MAX;
    bool inside = find_cgroup(group, root);
    while (inside) {
        uint64_t left = left_in(root, group);
        if (left < spare)
            spare = left;
        char *slash = strrchr(group, '/');
        inside = slash != NULL;
        if (inside)
            *slash = '\0';
    }
    if (fs_path(path, "%s/proc/self/status", root) == ST_OK)
        (void)read_field(&mapped, path, "RssFile");
    return spare > mapped ? spare - mapped : 0;
}

uint64_t memory_spare_bytes(void)
{
    return memory_spare_bytes_below("");
}

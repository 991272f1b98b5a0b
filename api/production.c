#include "api/production.h"

#include "base/fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static bool is_inside(const char *inner, const char *outer)
{
    size_t len = strlen(outer);

    return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0');
}

/* Everything below the keys' directory is its owner's alone. */
static enum st check_modes(const char *path)
{
    struct fs_list list = {0};
    char below[FS_PATH_MAX];
    struct stat sb;
    enum st st = ST_OK;

    if (lstat(path, &sb) != 0)
        return st_fail_errno(errno, "keys %s", path);
    if (sb.st_mode & 077)
        return st_hint(st_fail(ST_INVALID, "KEYS_READABLE", "others may read %s", path),
                       "chmod -R go= the directory of the keys");
    if (S_ISDIR(sb.st_mode))
        st = fs_list_dir(&list, path);
    for (size_t i = 0; !st && i < list.count; i++) {
        st = fs_path(below, "%s/%s", path, list.names[i]);
        if (!st)
            st = check_modes(below);
    }
    fs_list_free(&list);
    return st;
}

enum st api_check_production(const struct api_options *options, const struct sockaddr *listen)
{
    char data[PATH_MAX], keys[PATH_MAX];

    if (!is_loopback(listen))
        return st_hint(
            st_fail(ST_INVALID, "PLAIN_HTTP", "plain HTTP on an address that is not loopback"),
            "listen on 127.0.0.1 behind a proxy that speaks TLS");
    if (!options->store.keys_dir)
        return st_hint(
            st_fail(ST_INVALID, "KEYS_IN_DATA", "the keys are inside the data directory"),
            "mv DATA/keys /etc/everline/keys and serve with --keys /etc/everline/keys");
    if (!realpath(options->store.data_dir, data) || !realpath(options->store.keys_dir, keys))
        return st_fail_errno(errno, "--data and --keys");
    if (is_inside(keys, data))
        return st_hint(
            st_fail(ST_INVALID, "KEYS_IN_DATA", "the keys are inside the data directory"),
            "move them out and name the place with --keys");
    return check_modes(keys);
}

#include "api/production.h"

#include "base/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_inside(const char *inner, const char *outer)
{
    size_t len = strlen(outer);

    return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0');
}

/* Everything in the keys' directory is its owner's alone. Symbolic links are what they point to. */
static enum st check_modes(const char *path)
{
    struct fs_list list = {0};
    char below[FS_PATH_MAX];
    struct stat sb, link;
    enum st st = ST_OK;

    if (stat(path, &sb) != 0 || lstat(path, &link) != 0)
        return st_fail_errno(errno, "keys %s", path);
    if (sb.st_mode & 077)
        return st_hint(st_fail(ST_INVALID, "KEYS_READABLE", "others may read %s", path),
                       "chmod -R go= %s", path);
    if (S_ISDIR(link.st_mode)) /* one that is linked to is checked where it is, or not used */
        st = fs_list_dir(&list, path);
    for (size_t i = 0; !st && i < list.count; i++) {
        st = fs_path(below, "%s/%s", path, list.names[i]);
        if (!st)
            st = check_modes(below);
    }
    fs_list_free(&list);
    return st;
}

static enum st refuse_keys_in_data(const char *data, const char *keys)
{
    return st_hint(st_fail(ST_INVALID, "KEYS_IN_DATA",
                           "the keys are inside the data directory: who copies it has them too"),
                   "mv %s /etc/everline-keys, then serve with --data %s --keys /etc/everline-keys",
                   keys, data);
}

/* Probes and metrics carry neither tokens nor anything of a tenant. */
static enum st check_plain(const struct api_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        const struct api_listener *l = &listeners->list[i];
        if (!l->tls && !l->probes && api_listener_is_exposed(l))
            return st_hint(st_fail(ST_INVALID, "PLAIN_HTTP",
                                   "plain HTTP on %s, an address that is not loopback", l->text),
                           "serve with --tls-cert FILE --tls-key FILE, or with --listen "
                           "127.0.0.1:8080 behind a proxy that speaks TLS");
    }
    return ST_OK;
}

static enum st check_keys(const char *data_dir, const char *keys_dir)
{
    char data[PATH_MAX], keys[PATH_MAX], inside[FS_PATH_MAX];
    enum st st = fs_path(inside, "%s/keys", data_dir);

    if (st)
        return st;
    if (!keys_dir)
        return refuse_keys_in_data(data_dir, inside);
    if (!realpath(data_dir, data))
        return st_fail_errno(errno, "data directory %s", data_dir);
    if (!realpath(keys_dir, keys))
        return st_hint(st_fail_errno(errno, "keys directory %s", keys_dir),
                       "everline tenant put NAME --data %s --keys %s", data_dir, keys_dir);
    if (is_inside(keys, data))
        return refuse_keys_in_data(data, keys);
    return check_modes(keys);
}

enum st api_check_production(const struct api_options *options,
                             const struct api_listeners *listeners)
{
    enum st st = check_plain(listeners);

    if (!st && options->tls_key)
        st = check_modes(options->tls_key);
    return st ? st : check_keys(options->store.data_dir, options->store.keys_dir);
}

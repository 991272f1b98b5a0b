/* Files: the few operations that durability is made of, each with its fsync where it belongs. */
#ifndef EVERLINE_BASE_FS_H
#define EVERLINE_BASE_FS_H

#include "base/buf.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FS_PATH_MAX 4096

/* Joins with printf; ST_TOO_LARGE when it does not fit FS_PATH_MAX. */
enum st fs_path(char out[FS_PATH_MAX], const char *fmt, ...) ST_PRINTF(2, 3) ST_MUST_USE;

/* Durable creation; an existing directory is fine. _all: with parents. */
enum st fs_mkdir(const char *path, mode_t mode) ST_MUST_USE;
enum st fs_mkdir_all(const char *path, mode_t mode) ST_MUST_USE;
enum st fs_sync_dir(const char *path) ST_MUST_USE;
enum st fs_sync_fd(int fd, const char *what) ST_MUST_USE;

/* Whole file into `out` (appended), at most its cap: ST_TOO_LARGE. */
enum st fs_read(struct buf *out, const char *path) ST_MUST_USE;

/* Durable and atomic: temporary file beside it, write, fsync, rename, fsync of the directory. */
enum st fs_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode) ST_MUST_USE;

/* Durable and atomic creation; ST_CONFLICT when the path exists. */
enum st fs_write_new(const char *path, const void *bytes, size_t len, mode_t mode) ST_MUST_USE;

/* The two halves of it, for files that somebody else writes: a name beside `path`, and giving the
 * file of that name, which must be synced, its own. The temporary name is gone then, also on
 * failure. */
enum st fs_temporary(char out[FS_PATH_MAX], const char *path) ST_MUST_USE;
enum st fs_name_new(const char *temporary, const char *path) ST_MUST_USE;
/* As fs_name_new, in the place of what has the name. */
enum st fs_name_over(const char *temporary, const char *path) ST_MUST_USE;

/* Copies a file into one that must not exist, and syncs the bytes; the name is the caller's to
 * sync. Blocks are shared where the file system can. */
enum st fs_copy(const char *to, const char *from, mode_t mode) ST_MUST_USE;

/* Removes a directory tree below and including `path`; a missing one is fine. Never follows
 * symbolic links. */
enum st fs_remove_tree(const char *path) ST_MUST_USE;

/* Names in a directory, sorted bytewise, without "." and "..". free each and the array, or
 * fs_list_free. */
struct fs_list {
    char **names;
    size_t count;
};
enum st fs_list_dir(struct fs_list *out, const char *path) ST_MUST_USE;
void fs_list_free(struct fs_list *list);

/* Opens or creates `path` and takes an exclusive flock without waiting. *fd is the caller's; the
 * lock lives until it is closed. ST_CONFLICT when somebody else holds it. */
enum st fs_lock(int *fd, const char *path) ST_MUST_USE;
/* True when another open file description holds the lock of `path`, or that cannot be found out;
 * false when it is missing. */
bool fs_is_locked(const char *path);

/* open(2) for a path below the directory `root`, through no symbolic link (openat2); -1 and errno,
 * ELOOP or EXDEV when it leads out. */
int fs_open_below(int root, const char *path, int flags);

void fs_close(int *fd); /* closes if >= 0 and sets to -1 */

#endif

/* A backup that is being made, and what its files do for each other:
 *
 *   backup.c           the directory of backups, and the order of it all
 *   backup_state.c     the catalog and the heads, as one transaction sees them
 *   backup_segments.c  the segments, and which keys they need
 *
 * Room-private. */
#ifndef EVERLINE_STORE_BACKUP_WRITE_H
#define EVERLINE_STORE_BACKUP_WRITE_H

#include "store/backup.h"
#include "store/backup_internal.h"
#include "store/internal.h"

struct backup {
    struct store *store;
    const struct store_backup_options *options;
    char root[FS_PATH_MAX], segments_dir[FS_PATH_MAX], dir[FS_PATH_MAX];
    int lock_fd;
    json_t *segments; /* sha256 -> {"bytes","tenant","dataset","version"} */
    json_t *verified; /* sha256 -> seal */
    json_t *manifest;
    bool pinned, made; /* what is to be taken back */
    uint64_t copied, copied_bytes, bytes, done_bytes;
};

enum st backup_no_memory(void);

/* Pins what the state names, and saves the state into a directory of its own. */
enum st backup_take_snapshot(struct backup *b) ST_MUST_USE;
void backup_give_back_pins(const struct backup *b);

/* What is known of the copies that are there. */
void backup_load_verified(struct backup *b);
enum st backup_save_segments(struct backup *b) ST_MUST_USE;
enum st backup_list_keys(struct backup *b) ST_MUST_USE;

#endif

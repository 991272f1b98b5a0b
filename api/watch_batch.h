/* Batches as they lie in a watched folder. Private to the watched inbox. */
#ifndef EVERLINE_API_WATCH_BATCH_H
#define EVERLINE_API_WATCH_BATCH_H

#include "base/fs.h"
#include "store/start.h"

/* Directories are open ones: what a tenant puts in their place, or a symbolic link, leads nowhere.
 */

void watch_directory(int inotify, int directory, uint32_t mask);

/* The complete batches in `directory`, oldest marker first, of more than `max` the newest:
 * free(*out). inotify watches the others for `mask`, until they are complete. */
size_t watch_list_batches(struct store_batch **out, size_t max, int directory, int inotify,
                          uint32_t mask);

/* The job's sources of a complete batch: of its manifest, or of its files. With one source every
 * file is its; with several a file belongs to the source that is named before its first dot, or by
 * the directory that it is in. ST_INVALID or ST_NOT_FOUND says what is wrong with it. */
enum st watch_batch_sources(json_t **out, int directory, const struct store_starter *starter,
                            const char *batch) ST_MUST_USE;

#endif

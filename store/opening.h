/* The steps by which a data directory is opened, for those who need it otherwise than store_open
 * gives it: a restore fills it, a rebuild puts another catalog in place. Room-private. */
#ifndef EVERLINE_STORE_OPENING_H
#define EVERLINE_STORE_OPENING_H

#include "store/internal.h"

/* Paths only: the directory must be there, on a local file system. store_close gives it back. */
enum st opening_paths(struct store **out, const struct store_options *options) ST_MUST_USE;

/* A data directory is made in an empty one: it will be swept. Keys may be there before.
 * ST_CONFLICT, code NOT_EMPTY, otherwise. */
enum st opening_check_empty(const char *data_dir) ST_MUST_USE;

/* DATA/FORMAT. `create`: an empty directory gets one. */
enum st opening_check_format(const char *data_dir, bool create) ST_MUST_USE;
/* "Nothing here may be opened yet": written first by who fills a directory, and in its place, when
 * everything is there, the format. */
enum st opening_mark_unfinished(const char *data_dir) ST_MUST_USE;
enum st opening_mark_finished(const char *data_dir) ST_MUST_USE;

/* The directories, and this process's entry in run/. */
enum st opening_register(struct store *s, enum run_kind kind) ST_MUST_USE;

/* A missing catalog is made only when the directory is new: no head was ever written. */
enum st opening_catalog(struct store *s) ST_MUST_USE;

#endif

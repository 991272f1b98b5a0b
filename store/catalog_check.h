/* The structure of the catalog's file, read page by page without LMDB: LMDB trusts its file, and on
 * a damaged one it aborts, dies by SIGBUS or SIGSEGV, or writes over pages that are in use.
 *
 * Every process checks the structure whenever it opens the catalog: all pages that a reader or a
 * writer of LMDB can come to, not the values, whose checksums are looked at when they are read
 * (store/catalog.c). It is cheap enough: measured in the page cache on 2 shared cores, 0.1 ms for
 * 100 versions with two events each (0.5 MB), 10 ms for 10,000 (49 MB), 105 ms for 100,000 (490
 * MB). With the values it is five times that, and is what `verify --deep` and `catalog rebuild` do.
 *
 * A child process that walks the file with LMDB and may die would be the shorter way, and was the
 * plan; but what a walk of readers survives can still kill a writer (a flipped bit in a page
 * header, or in the list of free pages), and that is the one that damages the rest. Room-private.
 */
#ifndef EVERLINE_STORE_CATALOG_CHECK_H
#define EVERLINE_STORE_CATALOG_CHECK_H

#include "store/catalog.h"

/* All that mdb_env_open and the beginning of a transaction rely on. Call before them. ST_CORRUPT,
 * code CATALOG_DAMAGED, when it does not hold; so for the other two. */
enum st catalog_check_beginning(const char *path) ST_MUST_USE;

/* Everything else, in the state that a reader sees now; other processes may go on writing. Call
 * before anything but the beginning of a transaction. */
enum st catalog_check(struct catalog *c, bool values) ST_MUST_USE;

/* All of it, values too, of a file that no process has open. */
enum st catalog_check_file(const char *path) ST_MUST_USE;

#endif

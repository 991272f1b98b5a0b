/* What is remembered of a file whose hash held. Room-private. */
#ifndef EVERLINE_STORE_SEAL_H
#define EVERLINE_STORE_SEAL_H

#include <jansson.h>

/* {"bytes","inode","mtime_ns","ctime_ns"}; new reference; NULL, with errno: it cannot be looked at.
 */
json_t *seal_stat(const char *path);

#endif

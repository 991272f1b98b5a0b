/* A body that goes to the spool as it comes, a piece at a time: while the pool writes one piece,
 * the connection is suspended, so that the client is as fast as the disk and no request thread
 * waits for it. */
#ifndef EVERLINE_API_RECEIVE_H
#define EVERLINE_API_RECEIVE_H

#include "api/connection.h"

#define API_PIECE_BYTES (256u << 10)

/* May the tenant send a body of this length? ST_FULL, code QUOTA. What it is sending in all, to
 * this process, is looked at with each piece. */
enum st api_receive_check(const struct api_exchange *x, uint64_t length) ST_MUST_USE;
/* What nobody kept is removed. */
void api_receive_release(struct api_exchange *x);

/* Takes what there is room for, *len is what is left. True: the connection is suspended. */
bool api_receive_add(struct api_exchange *x, const char *data, size_t *len);

/* After the last piece: writes the rest and syncs the file. The connection is suspended, and the
 * request goes on when it is resumed. */
void api_receive_end(struct api_exchange *x);

#endif

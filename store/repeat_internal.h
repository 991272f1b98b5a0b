/* Room-private. */
#ifndef EVERLINE_STORE_REPEAT_INTERNAL_H
#define EVERLINE_STORE_REPEAT_INTERNAL_H

#include "store/catalog.h"
#include "store/repeat.h"

/* NULL: a damaged one, for which there is repeat_lose. */
bool repeat_is_over(const json_t *row, int64_t now_us);
void repeat_forget(struct catalog_txn *t, const char *key);
/* A damaged answer can be given to nobody, and what it answered must not be done twice: the key is
 * refused for as long as it would be known. A damaged counter is made anew. */
void repeat_lose(struct catalog_txn *t, const char *key, int64_t now_us);
/* Of a tenant that is deleted: who has its name afterwards is somebody else. */
void repeat_forget_tenant(struct catalog_txn *t, const char *tenant);

#endif

/* Room-private. */
#ifndef EVERLINE_STORE_REPEAT_INTERNAL_H
#define EVERLINE_STORE_REPEAT_INTERNAL_H

#include "store/catalog.h"
#include "store/repeat.h"

/* NULL: a damaged one, which can be given to nobody. */
bool repeat_is_over(const json_t *row, int64_t now_us);
void repeat_forget(struct catalog_txn *t, const char *key);
/* Of a tenant that is deleted: who has its name afterwards is somebody else. */
void repeat_forget_tenant(struct catalog_txn *t, const char *tenant);

#endif

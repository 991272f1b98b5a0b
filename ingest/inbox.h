/* Files of an inbox: INBOX/TENANT/PATH, named by the path below the tenant's directory.
 * Room-private. */
#ifndef EVERLINE_INGEST_INBOX_H
#define EVERLINE_INGEST_INBOX_H

#include "ingest/task.h"

/* Adds the files that match `path`, a relative path or glob. ST_INVALID, code NO_INBOX, INBOX_PATH
 * (it leads out of the directory, or through a symbolic link); ST_NOT_FOUND, code MISSING_SOURCE.
 */
enum st inbox_add(struct task *t, size_t source, const char *inbox, const char *tenant,
                  const char *path) ST_MUST_USE;

#endif

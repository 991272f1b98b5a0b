/* JSON documents in files of their own, which must prove by themselves that they are whole:
 *
 *   {"sha256":"<of all that follows>"}
 *   {...}
 *
 * Room-private. */
#ifndef EVERLINE_STORE_DOCUMENT_H
#define EVERLINE_STORE_DOCUMENT_H

#include "base/json.h"
#include "base/status.h"

#include <sys/types.h>

/* Durable and atomic. */
enum st document_write(const char *path, const json_t *document, mode_t mode) ST_MUST_USE;

/* *out is a new reference. ST_NOT_FOUND: no such file; ST_CORRUPT, code DOCUMENT_DAMAGED: not what
 * was written. */
enum st document_read(json_t **out, const char *path) ST_MUST_USE;

#endif

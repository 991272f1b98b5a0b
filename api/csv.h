/* CSV as in RFC 4180, with LF at the ends of lines. */
#ifndef EVERLINE_API_CSV_H
#define EVERLINE_API_CSV_H

#include "base/buf.h"
#include "base/json.h"

/* A heading, and a line for each object. `columns` are its members, NULL at the end: one that it
 * does not have is an empty field, an array its texts with spaces between them. */
void api_csv(struct buf *out, const json_t *items, const char *const *columns);

#endif

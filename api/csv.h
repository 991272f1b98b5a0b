/* CSV as in RFC 4180, with LF at the ends of lines. */
#ifndef EVERLINE_API_CSV_H
#define EVERLINE_API_CSV_H

#include "base/buf.h"
#include "base/json.h"

/* A heading, and a line for each object. `columns` are its members, NULL at the end: one that it
 * does not have is an empty field, an array its texts with spaces between them. Texts
 * are of whoever asked, and people open them in a spreadsheet or in a terminal: one that begins as
 * a formula does (= + - @) has an apostrophe before it, and control characters are spaces. Not for
 * records, which stay what they are. */
void api_csv(struct buf *out, const json_t *items, const char *const *columns);

#endif

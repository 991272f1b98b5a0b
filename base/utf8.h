/* Text that people sent is UTF-8 (RFC 3629) or it is refused; text that we cut stays UTF-8. */
#ifndef EVERLINE_BASE_UTF8_H
#define EVERLINE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_is_valid(const char *bytes, size_t len);

/* The bytes of a character, 1 to 4, which are returned. */
size_t utf8_encode(char out[4], uint32_t character);

/* Length of the longest start of `text` that has at most `max` bytes and ends between two
 * characters, as printf's %.*s takes it. */
int utf8_cut(const char *text, size_t max);

/* Makes a string valid in place: each byte that belongs to no character becomes a question mark. */
void utf8_mend(char *text);

/* Makes spaces, in place, of what a terminal would obey: U+0001 to U+001F, U+007F to U+009F. */
void utf8_blank_controls(char *text);

#endif

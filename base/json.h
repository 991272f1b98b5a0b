/* Strict JSON (RFC 8259) as jansson's values: no duplicate names, no NUL, a depth limit, and errors
 * that say line, column and JSON pointer (RFC 6901). For bodies, definitions and catalog values;
 * batch bodies have a streaming parser of their own (api/batch.h). Prefix `jx_`, as json_ is
 * jansson's.
 */
#ifndef EVERLINE_BASE_JSON_H
#define EVERLINE_BASE_JSON_H

#include "base/buf.h"
#include "base/status.h"

#include <jansson.h>

#define JX_DEPTH_MAX 32
#define JX_WIDE_DEPTH_MAX 2048

/* Parses exactly `len` bytes. On success *out is a new reference, else NULL; the top must be an
 * object. ST_INVALID with code INVALID_JSON, place "line L, column C"; never quotes the input.
 * ST_NOMEM. (jansson's own json_load functions are not to be used: base/json_parse.c.) */
enum st jx_parse_object(json_t **out, const char *text, size_t len) ST_MUST_USE;
/* The same for what another library wrote: any value; an integer of more than 64 bits is a real. */
enum st jx_parse_wide(json_t **out, const char *text, size_t len) ST_MUST_USE;
enum st jx_parse_file(json_t **out, const char *path, size_t max_bytes) ST_MUST_USE;

/* A member's name as a part of a JSON pointer (RFC 6901 section 3: "~" is ~0, "/" is ~1), at most
 * its first JX_NAME_MAX bytes. Returns `out`. */
#define JX_NAME_MAX 64
const char *jx_pointer_part(char out[2 * JX_NAME_MAX + 1], const char *name);

/* Refuses members of `object` that are not in the NULL-terminated list `names`:
 * ST_INVALID, code UNKNOWN_FIELD, place `<pointer>/<name>`, escaped. */
enum st jx_only(const json_t *object, const char *pointer, const char *const *names) ST_MUST_USE;

/* Typed members. Absent or null: *out is set to `preset` and ST_OK, unless `preset` is JX_REQUIRED
 * semantics are wanted: then use the _need_ form. Strings are borrowed from the object. Wrong type:
 * ST_INVALID, code WRONG_TYPE, place `<pointer>/<name>`. */
enum st jx_string(const char **out, const json_t *object, const char *pointer, const char *name,
                  const char *preset) ST_MUST_USE;
enum st jx_need_string(const char **out, const json_t *object, const char *pointer,
                       const char *name) ST_MUST_USE;
enum st jx_integer(int64_t *out, const json_t *object, const char *pointer, const char *name,
                   int64_t preset, int64_t min, int64_t max) ST_MUST_USE;
enum st jx_need_integer(int64_t *out, const json_t *object, const char *pointer, const char *name,
                        int64_t min, int64_t max) ST_MUST_USE;
enum st jx_boolean(bool *out, const json_t *object, const char *pointer, const char *name,
                   bool preset) ST_MUST_USE;
/* Absent or null: *out = NULL. Borrowed. */
enum st jx_object(json_t **out, const json_t *object, const char *pointer,
                  const char *name) ST_MUST_USE;
enum st jx_array(json_t **out, const json_t *object, const char *pointer,
                 const char *name) ST_MUST_USE;

/* Appends the value, compact: a real number as the shortest text that reads back. When `canonical`,
 * with sorted names and 17 digits: equal values, equal bytes, also those that segments have. */
void jx_write(struct buf *b, const json_t *value, bool canonical);
/* As a new NUL-terminated string to free(), or NULL when out of memory. */
char *jx_text(const json_t *value, bool canonical);

/* For people: indented by two spaces, names in insertion order, all control characters escaped,
 * newline at the end. */
void jx_write_pretty(struct buf *b, const json_t *value);

#endif

/* Shared by the files that parse definitions. Room-private. */
#ifndef EVERLINE_STORE_DEFINITION_INTERNAL_H
#define EVERLINE_STORE_DEFINITION_INTERNAL_H

#include "store/definition.h"

/* The failure of a definition: code INVALID_DEFINITION at a JSON pointer. */
enum st definition_fail(const char *pointer, const char *fmt, ...) ST_PRINTF(2, 3);

/* Gives the last failure (of a jx_ function or a check) that code, and `pointer` unless it has a
 * place already. */
enum st definition_adopt(const char *pointer);

/* A name inside a definition: shape, and with `served` not a reserved word. */
enum st definition_name(char out[STORE_NAME_SIZE], const char *pointer, const char *what,
                        const char *name, bool served);

#define DEFINITION_POINTER_SIZE 256

/* `base`/`name` with ~ and / escaped (RFC 6901), long names cut. Returns out. */
const char *definition_pointer(char out[DEFINITION_POINTER_SIZE], const char *base,
                               const char *name);

/* The index of the field or `count`. SQL does not tell upper from lower case, so that these names
 * must differ in more than that. `first` is the first field's name, `stride` the distance to the
 * next. */
size_t definition_find(const char *first, size_t stride, size_t count, const char *name);
#define DEFINITION_FIND(fields, count, wanted)                                                     \
    ((count) ? definition_find((fields)[0].name, sizeof(fields)[0], (count), (wanted)) : 0)

enum st definition_parse_rollups(struct store_definition *d, const json_t *rollups);
void definition_free_rollups(struct store_definition *d);

#endif

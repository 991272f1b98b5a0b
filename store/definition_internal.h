/* Shared by the files that parse definitions. Room-private. */
#ifndef EVERLINE_STORE_DEFINITION_INTERNAL_H
#define EVERLINE_STORE_DEFINITION_INTERNAL_H

#include "store/definition.h"

#include <math.h>

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

/* A member that is a number, at least `min` and at most `max`. Absent: *has is false, *out stays.
 */
enum st definition_number(double *out, bool *has, const json_t *object, const char *pointer,
                          const char *name, double min, double max);

enum st definition_parse_key(struct store_key_spec *key, const json_t *value);

enum st definition_parse_sources(struct store_definition *d, const json_t *sources);
void definition_free_sources(struct store_definition *d);

enum st definition_parse_metric(struct store_metric *m, const char *pointer, const json_t *value);
void definition_free_metrics(struct store_rollup *r);

enum st definition_parse_checks(struct store_definition *d, const json_t *checks);
enum st definition_parse_gates(struct store_definition *d, const json_t *gates);
void definition_free_checks(struct store_definition *d);

/* What starts an ingest by itself: /schedule, /watch_inbox. After the sources. */
enum st definition_parse_starts(struct store_definition *d);

enum st definition_parse_rollups(struct store_definition *d, const json_t *rollups);
void definition_free_rollups(struct store_definition *d);

#endif

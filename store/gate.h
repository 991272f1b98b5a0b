/* Gates: may the pointer move from the current version to this one by itself? Room-private. */
#ifndef EVERLINE_STORE_GATE_H
#define EVERLINE_STORE_GATE_H

#include "base/json.h"
#include "base/status.h"

/* Judges `gates` ([{"name","metric","value","max_change"?,"max_change_ratio"?,"min"?,"max"?}], may
 * be NULL) of a version with so many accepted rows against the row of the current version (NULL:
 * there is none). *report, a new reference, is the list with "previous", "change" and "state" in
 * each: "passed", "held", or "new" when the current version does not have the value. One gate is
 * always there unless the list has one of its name, and is listed when it holds: "not_empty", no
 * rows where there were some. *passed false: at least one holds; `why` then names the first. */
#define GATE_WHY_SIZE 160
enum st gate_judge(json_t **report, bool *passed, char why[GATE_WHY_SIZE], const json_t *gates,
                   const json_t *rows, const json_t *current) ST_MUST_USE;

#endif

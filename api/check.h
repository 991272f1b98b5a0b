/* SQL of a definition is checked by the worker program, which has DuckDB, in a short-lived child.
 */
#ifndef EVERLINE_API_CHECK_H
#define EVERLINE_API_CHECK_H

#include "base/json.h"
#include "base/status.h"

#define API_CHECKS_MAX 3 /* that run at a time in a server: each has up to 512 MiB */
#define API_CHECKS_OF_TENANT_MAX 2

/* `document` is a definition that store_definition_parse takes. While the child works, `go_on_fn`
 * (may be NULL) is asked several times a second, and ends it when it fails. ST_INVALID with place,
 * line and column of the SQL that is wrong; ST_TIMEOUT, code CHECK_TIMEOUT: it took longer than
 * half a minute; ST_UNREACHABLE: the program cannot be started, or died. */
enum st api_check_sql(const json_t *document, enum st (*go_on_fn)(void *ctx),
                      void *ctx) ST_MUST_USE;

#endif

/* Names: of tenants, datasets, sources, fields, rollups, metrics. */
#ifndef EVERLINE_STORE_NAME_H
#define EVERLINE_STORE_NAME_H

#include "base/status.h"

#define STORE_NAME_SIZE 64 /* with the NUL */

/* Tenants and datasets: [a-z][a-z0-9_-]{0,62}. Anything else: ST_INVALID, code INVALID_NAME; `what`
 * ("dataset") is put in the message, the offending text is not. */
enum st store_name_check(const char *what, const char *name) ST_MUST_USE;

/* Fields, dimensions, metrics, rollups, sources: [A-Za-z_][A-Za-z0-9_]{0,62}. */
enum st store_field_name_check(const char *what, const char *name) ST_MUST_USE;

/* Fields and dimensions may not be: version as_of limit cursor group_by metrics order_by from to
 * fields compare explain. */
bool store_field_name_reserved(const char *name);

/* Paths of inbox files: below the tenant's directory. ST_INVALID, code INBOX_PATH, when one could
 * lead out by its text; symbolic links are looked at when it is opened. */
enum st store_inbox_path_check(const char *path) ST_MUST_USE;

#endif

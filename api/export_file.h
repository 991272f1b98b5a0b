/* The answers that are exports which need DuckDB: Parquet. The worker program writes a file into
 * the spool; this process opens it, and from then on it has no name. */
#ifndef EVERLINE_API_EXPORT_FILE_H
#define EVERLINE_API_EXPORT_FILE_H

#include "api/exchange.h"
#include "store/export.h"

/* *fd is the caller's. Takes as long as that takes: for a helper thread. ST_UNREACHABLE: the
 * program is not there, or failed; it says on stderr why. ST_UNAVAILABLE: as api_go_on. */
enum st api_export_file(int *fd, struct api_request *request,
                        const struct store_export *e) ST_MUST_USE;

#endif

/* What a dry run found, for people: of the command that ran it, and of the one that asked a server.
 */
#ifndef EVERLINE_BASE_DRY_RUN_TEXT_H
#define EVERLINE_BASE_DRY_RUN_TEXT_H

#include "base/json.h"

/* Prints {"dataset","current","rows","checks","gates","rejects","diff"}, of which any may be
 * absent or null. */
void dry_run_print(const json_t *report);

#endif

/* Retention: versions that nobody needs any more become RETIRED (DESIGN section 1), and what no
 * head, no pin and no candidate names goes from the disk. Both are safe to do at any time, by any
 * process, as often as it likes. */
#ifndef EVERLINE_STORE_RETENTION_H
#define EVERLINE_STORE_RETENTION_H

#include "store/store.h"

/* Retires what the definition's `retention` does not keep. *retired is how many. */
enum st store_retention_run(unsigned *retired, struct store *s, const char *tenant,
                            const char *dataset) ST_MUST_USE;

/* Takes the segment files away that nothing names, with the pins and candidates of jobs and
 * processes that are gone. What is mapped stays mapped. The files are moved aside, so that this
 * never waits for a large unlink; *aside (may be NULL) says whether there is something to purge. */
enum st store_sweep(bool *aside, struct store *s) ST_MUST_USE;

/* Unlinks what sweeps moved aside and what dead builds left, which may take long. Any thread;
 * `build_dir` is store_build_dir. */
void store_purge(const char *build_dir);
/* Is there something of that kind? */
bool store_purge_due(const char *build_dir);
const char *store_build_dir(const struct store *s);

/* The two after a change, and the purge; failures are logged, since the change is done. */
void store_tidy(struct store *s, const char *tenant, const char *dataset);

#endif

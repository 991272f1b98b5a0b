/* The confined half: reads one task, does it, says how it ended. Room-private.
 *
 * Messages are JSON, one per line, on the pipe that was its stdout:
 *   {"progress":{"phase","rows","total"}}    as often as it likes
 *   {"report":{"rows",...}}                  what a build found out, also when it fails
 *   {"result":{}}                            the last one, or
 *   {"error":{"status","code","message","place","hint"}}
 */
#ifndef EVERLINE_INGEST_CHILD_H
#define EVERLINE_INGEST_CHILD_H

#include <stdbool.h>

#define CHILD_LINE_MAX (32u << 20) /* bytes; a ledger names every file of the batch */

enum child_mode { CHILD_CHECK, CHILD_BIND, CHILD_BUILD };

/* The hidden word of the command line that starts a mode: "child-check". */
const char *child_mode_word(enum child_mode mode);

/* When argv[1] is such a word: does the work and returns true, with the exit code. */
bool child_main(int argc, char **argv, int *exit_code);

#endif

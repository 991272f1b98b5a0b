/* Progress for the person who waits: a bar on a terminal, a line every few seconds otherwise, with
 * phase, rows, rows a second and the time that is left. On stderr. */
#ifndef EVERLINE_BASE_PROGRESS_H
#define EVERLINE_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What goes on is not done: a phase has 99 parts of a hundred, or cells of a bar, until the next
 * one begins. A total that is reached or passed was an estimate. */
unsigned progress_percent(uint64_t done, uint64_t total); /* total not 0 */
/* An estimated total, as it may be shown: of no other is `done` a smaller part than it was. `share`
 * keeps that part, 0 at first. */
uint64_t progress_total(double *share, uint64_t done, uint64_t total);

struct progress_view {
    const char *what; /* borrowed: a dataset's name */
    const char *unit; /* a literal; "rows", unless the caller says something else after init */
    bool terminal;
    const char *phase;
    uint64_t start_ns, shown_ns;
};

void progress_view_init(struct progress_view *v, const char *what);
/* `phase` is a literal; total 0: not known. ctx is the view. To be called all the time, also while
 * nothing is counted: it shows when there is something to show. */
void progress_view_tell(const char *phase, uint64_t done, uint64_t total, void *ctx);
/* What is shown `ns` after the phase began, in fewer than so many columns of a terminal; columns 0:
 * without a bar, as long as it is. */
void progress_view_line(char *out, size_t size, const struct progress_view *v, uint64_t done,
                        uint64_t total, uint64_t ns, size_t columns);
void progress_view_end(struct progress_view *v); /* leaves the terminal's line */

#endif

/* A process that computes on all cores offers them to others many times in each of the kernel's
 * ticks, as long as there are others. Room-private. */
#ifndef EVERLINE_INGEST_TURNS_H
#define EVERLINE_INGEST_TURNS_H

/* `threads`: how many this process computes with. Where that is fewer than it has cores, one is
 * free and nothing is done. Best effort. */
void turns_offer(unsigned threads);

#endif

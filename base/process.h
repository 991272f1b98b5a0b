/* What a process that handles secrets gives up at its start. */
#ifndef EVERLINE_BASE_PROCESS_H
#define EVERLINE_BASE_PROCESS_H

/* No core dump, and no debugger of another user's: memory holds keys and personal values. Best
 * effort, for this process alone: what it executes must call it again. */
void process_no_core(void);

#endif

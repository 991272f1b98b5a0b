/* What a process asks of the kernel for itself: no core of what is secret, the ends of its
 * children, and its turn in time. */
#ifndef EVERLINE_BASE_PROCESS_H
#define EVERLINE_BASE_PROCESS_H

/* No core dump, and no debugger of another user's: memory holds keys and personal values. Best
 * effort, for this process alone: what it executes must call it again. */
void process_no_core(void);

/* Children can be waited for, also where who started this process ignores the ends of its own
 * (SIGCHLD): that is inherited, and the kernel then keeps none of them. */
void process_keep_children(void);

/* For the calling thread: its turns are short, and since Linux 6.12 come the sooner for it, before
 * those of a batch that computes on the same core. Its share of the time stays what its niceness
 * says. Best effort; what it starts has the usual turns. */
void process_short_turns(void);

#endif

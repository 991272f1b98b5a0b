/* How much memory there is left to use. */
#ifndef EVERLINE_BASE_MEMORY_H
#define EVERLINE_BASE_MEMORY_H

#include <stdint.h>

/* Bytes that can be brought into the page cache before anything goes that this process has mapped:
 * what the kernel calls available, less the files that are mapped here; within the memory limits of
 * the process's cgroup (version 2) and of those above it. UINT64_MAX: the kernel does not say. */
uint64_t memory_spare_bytes(void);

/* The same with another place for /proc and /sys, for tests. */
uint64_t memory_spare_bytes_below(const char *root);

#endif

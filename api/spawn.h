/* Programs beside this one, as children of the server. */
#ifndef EVERLINE_API_SPAWN_H
#define EVERLINE_API_SPAWN_H

#include <sys/types.h>

/* Starts `program` with signals as they are at first, no open file but the first three, and SIGTERM
 * when the calling thread ends. -1 and errno. */
pid_t api_spawn(const char *program, char *const *argv);

#endif

#include "inject_call.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Allocations of the first process of a run, and of what it forks, fail as the test says in the
 * state file, also while the process runs (struct memory_plan). What happens before main() is not
 * counted. */

#define EXPORT __attribute__((visibility("default")))

/* glibc's own, under the names that nobody replaces. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static struct memory_plan *plan; /* NULL: not of this run, or before main() */

bool call_memory_fails(void)
{
    struct memory_plan *p = __atomic_load_n(&plan, __ATOMIC_ACQUIRE);

    if (!p || !atomic_load(&p->armed))
        return false;
    uint64_t n = atomic_fetch_add(&p->count, 1);
    if (n < atomic_load(&p->from) || n >= atomic_load(&p->until))
        return false;
    atomic_fetch_add(&p->fired, 1);
    errno = ENOMEM;
    return true;
}

EXPORT void *malloc(size_t size)
{
    return call_memory_fails() ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    return call_memory_fails() ? NULL : __libc_calloc(count, size);
}

EXPORT void *realloc(void *old, size_t size)
{
    return call_memory_fails() ? NULL : __libc_realloc(old, size);
}

EXPORT void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return call_memory_fails() ? NULL : __libc_memalign(alignment, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *p = memalign(alignment, size);

    if (p)
        *out = p;
    return p ? 0 : ENOMEM;
}

/* ---- from main() on ---- */

static int (*program)(int, char **, char **);

static int begin(int argc, char **argv, char **envp)
{
    __atomic_store_n(&plan, call_memory_plan(), __ATOMIC_RELEASE);
    return program(argc, argv, envp);
}

typedef int start_fn(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                     void (*)(void), void *);

EXPORT int __libc_start_main(int (*main_fn)(int, char **, char **), int argc, char **argv,
                             void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                             void *stack_end)
{
    start_fn *next = (start_fn *)(uintptr_t)dlsym(RTLD_NEXT, "__libc_start_main");

    program = main_fn;
    return next(begin, argc, argv, init, fini, rtld_fini, stack_end);
}

/* One allocation of jansson that fails in a test, whichever it is. */
#ifndef EVERLINE_TESTS_JSON_MEMORY_KIT_H
#define EVERLINE_TESTS_JSON_MEMORY_KIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

static long json_left = -1; /* until the one that fails; -1: none does any more */

static void *json_allocate(size_t size)
{
    bool fails = json_left == 0;

    json_left -= json_left >= 0;
    return fails ? NULL : malloc(size);
}

/* The next one after `left` others; json_heal puts an end to that. */
static void json_fail_after(long left)
{
    json_set_alloc_funcs(json_allocate, free);
    json_left = left;
}

/* Did it fail? */
static bool json_heal(void)
{
    bool failed = json_left < 0;

    json_left = -1;
    json_set_alloc_funcs(malloc, free);
    return failed;
}

#endif

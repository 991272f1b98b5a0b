#include "store/keeper_internal.h"

#include <string.h>

/* Whose task is next: tenants that wait take turns, and a tenant's own tasks run in order. The
 * server itself, whose tasks name no tenant, is one of those that take turns.
 *
 * The list is in the order of the turns: who had one goes behind all others, with all that it still
 * waits for. So the first tasks of the tenants are in it in the order in which these were served or
 * came, and who comes now waits for one task of each other at most. Looking through the list for
 * each task costs O(waiting); there are no more of them than connections, and comparing names takes
 * a small part of what a task takes. */

static bool is_of(const struct store_task *task, const char *tenant)
{
    if (!task->tenant || !tenant)
        return task->tenant == tenant;
    return strcmp(task->tenant, tenant) == 0;
}

void keeper_append_tasks(struct store_task **list, struct store_task *tasks)
{
    while (*list)
        list = &(*list)->next;
    *list = tasks;
}

struct store_task *keeper_take_task(struct store_task **list)
{
    struct store_task *taken = *list, *own = NULL, **own_last = &own;

    if (!taken)
        return NULL;
    *list = taken->next;
    taken->next = NULL;
    while (*list) {
        struct store_task *task = *list;
        if (!is_of(task, taken->tenant)) {
            list = &task->next;
            continue;
        }
        *list = task->next;
        task->next = NULL;
        *own_last = task;
        own_last = &task->next;
    }
    *list = own;
    return taken;
}

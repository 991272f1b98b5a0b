#include "store/definition_internal.h"

/* What starts an ingest by itself: a schedule over files of the inbox, a batch in a watched folder.
 */

static enum st check_path(const char *pointer, const json_t *value)
{
    if (!json_is_string(value))
        return definition_fail(pointer,
                               "a path below the tenant's directory of the inbox is needed");
    return store_inbox_path_check(json_string_value(value)) ? definition_adopt(pointer) : ST_OK;
}

static enum st check_paths(const char *pointer, const json_t *value)
{
    char item[DEFINITION_POINTER_SIZE + 24];

    if (!json_is_array(value))
        return check_path(pointer, value);
    if (json_array_size(value) == 0)
        return definition_fail(pointer, "a path is needed");
    for (size_t i = 0; i < json_array_size(value); i++) {
        snprintf(item, sizeof item, "%s/%zu", pointer, i);
        enum st st = check_path(item, json_array_get(value, i));
        if (st)
            return st;
    }
    return ST_OK;
}

static enum st check_sources(const struct store_definition *d, json_t *sources)
{
    const char *base = "/schedule/sources", *name;
    char pointer[DEFINITION_POINTER_SIZE];
    const json_t *value;

    json_object_foreach(sources, name, value)
    {
        definition_pointer(pointer, base, name);
        if (DEFINITION_FIND(d->sources, d->source_count, name) == d->source_count)
            return definition_fail(pointer, "the definition has no source of that name");
        enum st st = check_paths(pointer, value);
        if (st)
            return st;
    }
    for (size_t i = 0; i < d->source_count; i++)
        if (!json_object_get(sources, d->sources[i].name))
            return definition_fail(base, "source \"%s\" has no file", d->sources[i].name);
    return ST_OK;
}

enum st definition_parse_starts(struct store_definition *d)
{
    static const char *const MEMBERS[] = {"cron", "sources", NULL};
    json_t *schedule, *sources;
    const char *cron;

    if (jx_object(&schedule, d->document, "", "schedule") ||
        jx_boolean(&d->watch_inbox, d->document, "", "watch_inbox", false))
        return definition_adopt("/");
    if (!schedule)
        return ST_OK;
    if (jx_only(schedule, "/schedule", MEMBERS) ||
        jx_need_string(&cron, schedule, "/schedule", "cron") ||
        jx_object(&sources, schedule, "/schedule", "sources"))
        return definition_adopt("/schedule");
    if (!sources)
        return definition_fail("/schedule/sources", "an object of sources and paths is needed");
    if (cron_parse(&d->schedule, cron))
        return definition_adopt("/schedule/cron");
    d->scheduled = true;
    return check_sources(d, sources);
}

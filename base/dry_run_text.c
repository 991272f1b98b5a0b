#include "base/dry_run_text.h"

#include <stdio.h>

#define PLACES_SAID 10 /* --output json has them all */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static long long number(const json_t *object, const char *name)
{
    return (long long)json_number_value(json_object_get(object, name));
}

static void print_states(const char *what, const json_t *list)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
        printf("%s %s: %s\n", what, text_of(item, "name"), text_of(item, "state"));
}

/* By rule, and the first places. */
static void print_rejects(const json_t *rejects)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(rejects, "rules"), i, item)
        printf("rejected by %s: %lld\n", text_of(item, "rule"), number(item, "rows"));
    json_array_foreach(json_object_get(rejects, "places"), i, item)
    {
        if (i == PLACES_SAID)
            break;
        printf("  %s:%lld", text_of(item, "file"), number(item, "line"));
        if (number(item, "column"))
            printf(":%lld", number(item, "column"));
        printf(" %s\n", text_of(item, "rule"));
    }
}

void dry_run_print(const json_t *report)
{
    const json_t *rows = json_object_get(report, "rows");
    const json_t *records = json_object_get(json_object_get(report, "diff"), "records");

    printf("%s: not published; %lld rows read, %lld accepted, %lld rejected, %lld duplicates\n",
           text_of(report, "dataset"), number(rows, "read"), number(rows, "accepted"),
           number(rows, "rejected"), number(rows, "duplicates"));
    print_rejects(json_object_get(report, "rejects"));
    print_states("check", json_object_get(report, "checks"));
    print_states("gate", json_object_get(report, "gates"));
    if (json_is_object(records))
        printf("against version %lld: %lld added, %lld removed, %lld changed\n",
               number(report, "current"), number(records, "added"), number(records, "removed"),
               number(records, "changed"));
}

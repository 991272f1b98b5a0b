#include "ingest/build_internal.h"

#include <sys/resource.h>

static json_t *ledger_json(const struct build *b, struct source_ledger *all)
{
    const struct store_definition *def = b->task->definition;
    json_t *sources = json_array();
    bool whole = sources != NULL;
    for (size_t i = 0; i < def->source_count; i++) {
        const struct source_ledger *l = &b->sources[i];
        all->read += l->read;
        all->parsed += l->parsed;
        all->unparsable += l->unparsable;
        whole = json_array_append_new(
                    sources,
                    json_pack("{s:s, s:I, s:I, s:I, s:O*}", "name", def->sources[i].name, "read",
                              (json_int_t)l->read, "parsed", (json_int_t)l->parsed, "unparsable",
                              (json_int_t)l->unparsable, "files", l->files)) == 0 &&
                whole;
    }
    if (!whole) {
        json_decref(sources);
        return NULL;
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "read", (json_int_t)all->read,
                     "parsed", (json_int_t)all->parsed, "unparsable", (json_int_t)all->unparsable,
                     "prepared", (json_int_t)b->collected.prepared, "accepted",
                     (json_int_t)b->accepted, "rejected", (json_int_t)b->collected.rejected,
                     "duplicates", (json_int_t)b->duplicates, "sources", sources);
}

/* The most at once, of memory and of temporary files. */
static json_t *used_json(const struct build *b)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return json_pack("{s:I, s:I}", "memory_bytes", (json_int_t)usage.ru_maxrss * 1024,
                     "temporary_bytes", (json_int_t)(b->spill ? spill_peak_bytes(b->spill) : 0));
}

/* Rows that are not in the version: counted by rule, and by their places, those of prepared rows
 * behind the records that could not be read. */
static json_t *rejects_report(const struct build *b, const struct source_ledger *all)
{
    json_t *rules = json_array(), *places = json_array();
    enum st st = rules && places ? ST_OK : ST_NOMEM;
    for (size_t i = 0; !st && i < b->task->definition->source_count; i++)
        st = rejects_json(places, rules, &b->sources[i].rejects, &b->task->definition->sources[i],
                          &b->task->sources[i]);
    if (!st)
        st = rejects_json(places, rules, &b->collected.places,
                          &b->task->definition->sources[b->placed], &b->task->sources[b->placed]);
    if (!st && b->collected.rules && json_array_extend(rules, b->collected.rules))
        st = ST_NOMEM;
    json_t *rejects =
        st ? NULL
           : json_pack("{s:I, s:I, s:O, s:O}", "unparsable", (json_int_t)all->unparsable,
                       "rejected", (json_int_t)b->collected.rejected, "rules", rules, "places",
                       places);
    json_decref(rules);
    json_decref(places);
    return rejects;
}

/* What there is to say, whether the build came to its end or not. */
enum st build_report(json_t **report, const struct build *b, bool complete)
{
    struct source_ledger all = {0};
    json_t *rows = ledger_json(b, &all);
    json_t *rejects = rejects_report(b, &all);
    *report = json_pack("{s:o, s:O*, s:O*, s:o, s:o}", "rows", rows, "checks", b->checks, "gates",
                        b->gates, "rejects", rejects, "used", used_json(b));
    if (!*report)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    if (complete && (all.read != all.parsed + all.unparsable ||
                     b->collected.prepared != b->accepted + b->collected.rejected + b->duplicates))
        return st_fail(ST_INVALID, "LEDGER",
                       "the counts of rows do not add up: read %llu, parsed %llu, unparsable %llu; "
                       "prepared %llu, accepted %llu, rejected %llu, duplicates %llu",
                       (unsigned long long)all.read, (unsigned long long)all.parsed,
                       (unsigned long long)all.unparsable,
                       (unsigned long long)b->collected.prepared, (unsigned long long)b->accepted,
                       (unsigned long long)b->collected.rejected,
                       (unsigned long long)b->duplicates);
    return ST_OK;
}

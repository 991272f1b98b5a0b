/* The plan's rows come on several threads. Each chunk is given to an idle worker, which has a lane
 * of the sorter and counts for itself; the counts are added up when all rows have been seen. */
#include "ingest/collect_internal.h"

#include "ingest/payload.h"

#include <stdlib.h>
#include <string.h>

#define PAYLOAD_MAX (STORE_ROW_MAX + (1u << 20))

static void init_rules(struct collector *c)
{
    const struct store_definition *def = c->definition;
    struct collect_rule *r = c->rules;
    for (size_t i = 0; i < def->key.field_count; i++)
        snprintf((r++)->name, COLLECT_RULE_NAME, "key_%s", def->key.fields[i].name);
    c->sort = (size_t)(r - c->rules);
    if (def->key.sort)
        snprintf((r++)->name, COLLECT_RULE_NAME, "key_%s", def->key.sort->name);
    c->first_cast = (size_t)(r - c->rules);
    for (size_t i = 0; i < c->plan->cast_count; i++)
        snprintf((r++)->name, COLLECT_RULE_NAME, "cast_%s", c->plan->casts[i].field);
    c->row_size = (size_t)(r - c->rules);
    snprintf((r++)->name, COLLECT_RULE_NAME, "row_size");
    c->first_dimensions = (size_t)(r - c->rules);
    for (size_t i = 0; i < def->rollup_count; i++)
        snprintf((r++)->name, COLLECT_RULE_NAME, "dimensions_%s", def->rollups[i].name);
    c->not_finite = (size_t)(r - c->rules);
    snprintf((r++)->name, COLLECT_RULE_NAME, "not_finite");
    c->first_check = (size_t)(r - c->rules);
    for (size_t i = 0; i < def->check_count; i++)
        snprintf((r++)->name, COLLECT_RULE_NAME, "%s", def->checks[i].name);
}

/* ---- workers ---- */

static enum st init_worker(struct collect_worker *w, const struct collector *c,
                           const struct collect_options *o, size_t lane)
{
    *w = (struct collect_worker){.shared = c, .lane = sorter_lane(o->sorter, lane)};
    buf_init(&w->payload, PAYLOAD_MAX);
    w->broken_rules = calloc(c->rule_count, sizeof *w->broken_rules);
    if (!w->broken_rules)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    enum st st =
        store_hasher_new(&w->hasher, &c->definition->key, c->definition->name, o->hmac_key);
    return st ? st : store_keys_new(&w->many, w->hasher);
}

static enum st init_workers(struct collector *c, const struct collect_options *o)
{
    enum st st = ST_OK;
    size_t count = sorter_lane_count(o->sorter);
    c->workers = calloc(count, sizeof *c->workers);
    if (!c->workers)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (; !st && c->worker_count < count; c->worker_count++) {
        struct collect_worker *w = &c->workers[c->worker_count];
        st = init_worker(w, c, o, c->worker_count);
        w->next_idle = c->idle;
        c->idle = w;
    }
    return st;
}

static void release_workers(struct collector *c)
{
    for (size_t i = 0; i < c->worker_count; i++) {
        struct collect_worker *w = &c->workers[i];
        store_keys_free(w->many);
        store_hasher_free(w->hasher);
        buf_release(&w->payload);
        rejects_release(&w->places);
        free(w->broken_rules);
    }
    free(c->workers);
}

static enum st take_rows(const struct duck_column *columns, size_t rows, void *ctx)
{
    struct collector *c = ctx;
    pthread_mutex_lock(&c->lock);
    while (!c->idle)
        pthread_cond_wait(&c->is_idle, &c->lock);
    struct collect_worker *w = c->idle;
    c->idle = w->next_idle;
    pthread_mutex_unlock(&c->lock);
    enum st st = collect_chunk(w, columns, rows);
    pthread_mutex_lock(&c->lock);
    w->next_idle = c->idle;
    c->idle = w;
    c->prepared += rows;
    ingest_tell(c->progress, "preparing", c->prepared, ingest_estimate(c->progress, c->prepared));
    pthread_cond_signal(&c->is_idle);
    pthread_mutex_unlock(&c->lock);
    return st;
}

/* ---- what they counted ---- */

static void add_up(struct collect_ledger *ledger, struct collector *c)
{
    ledger->prepared = c->prepared;
    for (size_t i = 0; i < c->worker_count; i++) {
        const struct collect_worker *w = &c->workers[i];
        for (size_t r = 0; r < c->rule_count; r++) {
            c->rules[r].count += w->broken_rules[r];
            ledger->rejected += w->broken_rules[r];
            ledger->unusable += r < c->first_check ? w->broken_rules[r] : 0;
        }
        for (size_t k = 0; k < c->definition->check_count; k++)
            ledger->broken[k] += w->broken_checks[k];
    }
}

static enum st list_rules(json_t **out, const struct collector *c)
{
    *out = json_array();
    for (size_t i = 0; i < c->rule_count; i++)
        if (c->rules[i].count &&
            json_array_append_new(*out, json_pack("{s:s, s:I}", "rule", c->rules[i].name, "rows",
                                                  (json_int_t)c->rules[i].count)))
            return st_fail(ST_NOMEM, NULL, "out of memory");
    return ST_OK;
}

/* The same name, as long as the ledger lives. */
static const char *rule_in(const json_t *rules, const char *name)
{
    size_t i = 0;
    const char *rule = NULL;
    while (i < json_array_size(rules) && (!rule || strcmp(rule, name) != 0))
        rule = json_string_value(json_object_get(json_array_get(rules, i++), "rule"));
    return rule;
}

static void list_places(struct collect_ledger *ledger, const struct collector *c)
{
    for (size_t i = 0; i < c->worker_count; i++)
        for (size_t p = 0; p < c->workers[i].places.listed; p++)
            rejects_remember(&ledger->places, &c->workers[i].places.list[p]);
    rejects_sort(&ledger->places);
    for (size_t p = 0; p < ledger->places.listed; p++)
        ledger->places.list[p].rule = rule_in(ledger->rules, ledger->places.list[p].rule);
}

enum st collect_rows(struct collect_ledger *ledger, const struct plan *plan,
                     const struct store_definition *definition, const struct collect_options *o)
{
    struct collector c = {.definition = definition,
                          .plan = plan,
                          .has_judged = payload_has_judged(definition),
                          .progress = o->progress};
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.is_idle, NULL);
    c.rule_count = definition->key.field_count + (definition->key.sort ? 1 : 0) + plan->cast_count +
                   2 + definition->rollup_count + definition->check_count;
    c.rules = calloc(c.rule_count, sizeof *c.rules);
    enum st st = c.rules ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    if (st)
        goto done;
    init_rules(&c);
    st = init_workers(&c, o);
    if (st)
        goto done;
    ingest_tell(o->progress, "preparing", 0, 0);
    st = duck_each(plan->statement, take_rows, &c);
    add_up(ledger, &c);
    if (!st)
        st = list_rules(&ledger->rules, &c);
    if (!st)
        list_places(ledger, &c);
done:
    release_workers(&c);
    free(c.rules);
    pthread_cond_destroy(&c.is_idle);
    pthread_mutex_destroy(&c.lock);
    return st;
}

/* ---- how many they may be ---- */

static void add_rules(struct buf *out, const struct collect_ledger *ledger)
{
    uint64_t told = 0;
    for (size_t i = 0; told < ledger->unusable; i++) { /* those of checks come behind */
        json_t *rule = json_array_get(ledger->rules, i);
        uint64_t rows = (uint64_t)json_integer_value(json_object_get(rule, "rows"));
        buf_addf(out, "%s%s %llu", i ? ", " : "", json_string_value(json_object_get(rule, "rule")),
                 (unsigned long long)rows);
        told += rows;
    }
}

enum st collect_check(const struct collect_ledger *ledger,
                      const struct store_definition *definition, const struct task_source *files)
{
    struct buf text, places;
    if ((double)ledger->unusable <= definition->max_reject_ratio * (double)ledger->prepared)
        return ST_OK;
    buf_init(&text, 300);
    buf_init(&places, 4 * FS_PATH_MAX);
    add_rules(&text, ledger);
    rejects_say(&places, &ledger->places, 0, files);
    enum st st =
        st_fail(ST_INVALID, "ROWS_REJECTED", "%llu of %llu prepared rows were rejected: %s",
                (unsigned long long)ledger->unusable, (unsigned long long)ledger->prepared,
                buf_status(&text) ? "by several rules" : text.data);
    bool placed = places.len && !places.status;
    st = st_hint(st,
                 "key_FIELD: null or refused by its normaliser; cast_FIELD: not of its type, or "
                 "rounded%s; \"max_reject_ratio\" says how many may be%s%s",
                 placed ? "" : " (in the source's \"columns\", file and line are told)",
                 placed ? "; the first rejected rows: " : "", placed ? places.data : "");
    buf_release(&text);
    buf_release(&places);
    return st;
}

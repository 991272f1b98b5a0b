/* Definitions from nobody: JSON of any shape. Whatever is taken keeps its promises: caps, names,
 * types, no key field of a protected dataset where it could be served; and it is taken again from
 * what was kept of it. What is refused says where. */
#include "base/json.h"
#include "store/definition.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static bool is_key(const struct store_definition *d, const char *name)
{
    for (size_t i = 0; i < d->key.field_count; i++)
        if (strcasecmp(d->key.fields[i].name, name) == 0)
            return true;
    return false;
}

static void check_rollup(const struct store_definition *d, const struct store_rollup *r)
{
    bool is_protected = d->key.protect != STORE_PROTECT_NONE;
    size_t terms = 0;

    require(store_definition_rollup(d, r->name) == r);
    require(r->dimension_count <= STORE_DIMENSIONS_MAX);
    require(r->metric_count >= 1 && r->metric_count <= STORE_METRICS_MAX);
    for (size_t i = 0; i < r->dimension_count; i++)
        require(!(is_protected && is_key(d, r->dimensions[i].name)) &&
                r->dimensions[i].type != STORE_DOUBLE);
    if (r->bucket != STORE_BUCKET_NONE) {
        require(r->time.type == STORE_DATE || r->time.type == STORE_TIMESTAMP);
        require(!(is_protected && is_key(d, r->time.name)));
    }
    for (size_t i = 0; i < r->metric_count; i++)
        for (size_t k = 0; k < (r->metrics[i].ratio ? 2u : 1u); k++, terms++) {
            const struct store_term *t = &r->metrics[i].terms[k];
            require((t->aggregate == STORE_COUNT_ALL) == (t->expression == NULL));
            require(!t->expression || t->expression[0]);
        }
    require(terms == r->term_count);
}

static void check(const struct store_definition *d)
{
    require(store_name_check("dataset", d->name) == ST_OK);
    require(d->source_count >= 1 && d->source_count <= STORE_SOURCES_MAX);
    require(d->key.field_count >= 1 && d->key.field_count <= STORE_KEY_FIELDS_MAX);
    require(d->row_count <= STORE_FIELDS_MAX && d->prepare && d->description);
    require(d->keep_versions >= 1 && d->keep_days >= 1);
    require(!d->key.sort || store_type_is_sortable(d->row[store_sort_index(d)].type));
    for (size_t i = 0; i < d->record_count; i++)
        require(!is_key(d, d->record[i].name) && !store_field_name_reserved(d->record[i].name));
    for (size_t i = 0; i < d->rollup_count; i++)
        check_rollup(d, &d->rollups[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_definition *d = NULL, *again = NULL;
    json_t *json = NULL, *kept = NULL;
    struct buf text;

    buf_init(&text, 1u << 24);
    if (jx_parse_object(&json, (const char *)data, size) != ST_OK)
        goto done;
    enum st st = store_definition_parse(&d, json);
    if (st == ST_OK) {
        check(d);
        jx_write(&text, d->document, true);
        require(buf_status(&text) == ST_OK);
        require(jx_parse_object(&kept, text.data, text.len) == ST_OK);
        /* Sorted names are another order of fields, but the same set of everything. */
        require(store_definition_parse(&again, kept) == ST_OK);
        require(store_definition_compatible(d, again) == ST_OK);
        require(store_definition_compatible(again, d) == ST_OK);
    } else {
        require(st == ST_INVALID && strcmp(st_code(), "INVALID_DEFINITION") == 0);
        require(st_place_text()[0] == '/' && st_message()[0]);
    }
done:
    store_definition_free(d);
    store_definition_free(again);
    json_decref(json);
    json_decref(kept);
    buf_release(&text);
    return 0;
}

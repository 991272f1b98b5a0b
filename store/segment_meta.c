#include "store/segment_internal.h"

#include <stdio.h>

/* What a segment says of itself, so that it can be read and refused without the catalog:
 *
 *   {"format","tenant","dataset","records",
 *    "key":{"id","protect","unicode","check","fields":[{"name","normalizer","rules"}],
 *           "sort":{"name","type"}},      the last of a series only
 *    "row":[{"name","type"}],
 *    "rollups":{DATABASE:{"dimensions":[{"name","type"}],"time":{"name","type","bucket"}|null,
 *                         "metrics":[{"name","terms":["sum",...]}]}},
 *    "cells":{DATABASE:count}}
 *
 * Written canonically. No version, job or time: the same records must give the same bytes. */

void segment_rollup_name(char out[SEGMENT_DB_NAME_SIZE], const struct store_rollup *r)
{
    int n = snprintf(out, SEGMENT_DB_NAME_SIZE, "rollup:%s:", r->name);

    for (size_t i = 0; i < r->dimension_count; i++)
        n += snprintf(out + n, SEGMENT_DB_NAME_SIZE - (size_t)n, "%s%s", i ? "," : "",
                      r->dimensions[i].name);
    if (r->timeless)
        snprintf(out + n, SEGMENT_DB_NAME_SIZE - (size_t)n, "@");
}

/* Either whole or NULL: a list that lost an item to a failed allocation is no list. */
static json_t *whole(json_t *value, bool failed)
{
    if (!failed)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *field_json(const struct store_field *f)
{
    return json_pack("{s:s, s:s}", "name", f->name, "type", store_type_name(f->type));
}

static json_t *fields_json(const struct store_field *fields, size_t count)
{
    json_t *list = json_array();
    bool failed = !list;

    for (size_t i = 0; i < count; i++)
        failed |= json_array_append_new(list, field_json(&fields[i]));
    return whole(list, failed);
}

static json_t *time_json(const struct store_rollup *r)
{
    static const char *const BUCKETS[] = {
        [STORE_BUCKET_HOUR] = "hour",   [STORE_BUCKET_DAY] = "day",
        [STORE_BUCKET_MONTH] = "month", [STORE_BUCKET_QUARTER] = "quarter",
        [STORE_BUCKET_YEAR] = "year",
    };

    if (r->bucket == STORE_BUCKET_NONE)
        return json_null();
    return json_pack("{s:s, s:s, s:s}", "name", r->time.name, "type", store_type_name(r->time.type),
                     "bucket", BUCKETS[r->bucket]);
}

static json_t *metrics_json(const struct store_rollup *r)
{
    static const char *const AGGREGATES[] = {
        [STORE_COUNT_ALL] = "count_all",
        [STORE_COUNT] = "count",
        [STORE_SUM] = "sum",
        [STORE_MIN] = "min",
        [STORE_MAX] = "max",
        [STORE_AVG] = "avg",
        [STORE_DISTINCT] = "distinct",
        [STORE_QUANTILE] = "quantile",
    };
    json_t *list = json_array();
    bool failed = !list;

    for (size_t i = 0; i < r->metric_count; i++) {
        const struct store_metric *m = &r->metrics[i];
        const char *first = AGGREGATES[m->terms[0].aggregate];
        const char *second = m->ratio ? AGGREGATES[m->terms[1].aggregate] : NULL;

        failed |= json_array_append_new(list, json_pack(second ? "{s:s, s:[s, s]}" : "{s:s, s:[s]}",
                                                        "name", m->name, "terms", first, second));
    }
    return whole(list, failed);
}

json_t *segment_schema(const struct store_definition *d)
{
    json_t *rollups = json_object();
    bool failed = !rollups;
    char name[SEGMENT_DB_NAME_SIZE];

    for (size_t i = 0; i < d->set_count; i++) {
        const struct store_rollup *r = &d->sets[i];

        segment_rollup_name(name, r);
        failed |= json_object_set_new(rollups, name,
                                      json_pack("{s:o, s:o, s:o}", "dimensions",
                                                fields_json(r->dimensions, r->dimension_count),
                                                "time", time_json(r), "metrics", metrics_json(r)));
    }
    return json_pack("{s:o, s:o}", "row", fields_json(d->row, d->row_count), "rollups",
                     whole(rollups, failed));
}

static json_t *key_json(const struct store_segment_info *info)
{
    const struct store_key_spec *spec = &info->definition->key;
    bool is_protected = spec->protect != STORE_PROTECT_NONE;
    char check[STORE_KEY_BYTES * 2 + 1];
    json_t *fields = json_array();
    bool failed = !fields;
    json_t *sort = spec->sort ? field_json(spec->sort) : NULL;

    failed |= spec->sort && !sort;
    digest_hex(check, info->check_value, STORE_KEY_BYTES);
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct store_normalizer *n = spec->fields[i].normalizer;
        failed |= json_array_append_new(
            fields, json_pack("{s:s, s:s, s:i}", "name", spec->fields[i].name, "normalizer",
                              store_normalizer_name(n), "rules", (int)store_normalizer_version(n)));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o*}", "id", info->key_id, "protect",
                     is_protected ? "hmac-sha256" : "none", "unicode", store_normalizer_unicode(),
                     "check", check, "fields", whole(fields, failed), "sort", sort);
}

json_t *segment_meta_new(const struct store_segment_info *info, uint64_t records,
                         const uint64_t *cells)
{
    const struct store_definition *d = info->definition;
    json_t *meta = segment_schema(d);
    json_t *counts = json_object();
    bool failed = !meta || !counts;
    char name[SEGMENT_DB_NAME_SIZE];

    for (size_t i = 0; i < d->set_count; i++) {
        segment_rollup_name(name, &d->sets[i]);
        failed |= json_object_set_new(counts, name, json_integer((json_int_t)cells[i]));
    }
    failed |= json_object_set_new(meta, "cells", counts);
    failed |= json_object_set_new(meta, "format", json_integer(STORE_SEGMENT_FORMAT));
    failed |= json_object_set_new(meta, "tenant", json_string(info->tenant));
    failed |= json_object_set_new(meta, "dataset", json_string(d->name));
    failed |= json_object_set_new(meta, "records", json_integer((json_int_t)records));
    failed |= json_object_set_new(meta, "key", key_json(info));
    return whole(meta, failed);
}

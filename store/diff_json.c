#include "store/diff_internal.h"

/* The result as the API shows it. Names were checked when their definitions were parsed: letters,
 * digits and underscores need no escape. Metrics are written as text, since a sum may be wider than
 * any integer of a JSON library. */

static const char *const KINDS[STORE_DIFF_KINDS] = {
    [STORE_DIFF_ADDED] = "added",
    [STORE_DIFF_REMOVED] = "removed",
    [STORE_DIFF_CHANGED] = "changed",
    [STORE_DIFF_UNCHANGED] = "unchanged",
};

static const char *const INS[] = {
    [STORE_DIFF_IN_BOTH] = "both",
    [STORE_DIFF_IN_FROM] = "from",
    [STORE_DIFF_IN_TO] = "to",
};

static const char *const FIELD_CHANGES[] = {
    [STORE_DIFF_IN_BOTH] = "retyped",
    [STORE_DIFF_IN_FROM] = "removed",
    [STORE_DIFF_IN_TO] = "added",
};

const char *store_diff_kind_name(enum store_diff_kind kind)
{
    return KINDS[kind];
}

static void add_records(struct buf *out, const struct store_diff_result *r)
{
    if (!r->compared) {
        buf_addstr(out, "null");
        return;
    }
    buf_addstr(out, "{\"before\":");
    buf_addu64(out, r->before);
    buf_addstr(out, ",\"after\":");
    buf_addu64(out, r->after);
    for (size_t i = 0; i < STORE_DIFF_KINDS; i++) {
        buf_addf(out, ",\"%s\":", KINDS[i]);
        buf_addu64(out, r->counts[i]);
    }
    buf_addch(out, '}');
}

static void add_samples(struct buf *out, const struct store_diff_result *r)
{
    if (!r->sampled) {
        buf_addstr(out, "null");
        return;
    }
    for (size_t i = 0; i < STORE_DIFF_UNCHANGED; i++) {
        buf_addf(out, "%s\"%s\":[", i ? "," : "{", KINDS[i]);
        for (size_t j = 0; j < r->sample_counts[i]; j++) {
            buf_addstr(out, j ? "," : "");
            buf_addstr(out, r->samples[i][j]);
        }
        buf_addch(out, ']');
    }
    buf_addch(out, '}');
}

static void add_fields(struct buf *out, const struct store_diff_result *r)
{
    for (size_t i = 0; i < r->field_count; i++)
        buf_addf(out, "%s{\"name\":\"%s\",\"change\":\"%s\"}", i ? "," : "", r->fields[i].name,
                 FIELD_CHANGES[r->fields[i].in]);
}

static void add_rollups(struct buf *out, const struct store_diff_result *r)
{
    for (size_t i = 0; i < r->rollup_count; i++) {
        const struct store_diff_rollup *rollup = &r->rollups[i];

        buf_addf(out, "%s{\"name\":\"%s\",\"in\":\"%s\",\"metrics\":[", i ? "," : "", rollup->name,
                 INS[rollup->in]);
        for (size_t j = 0; j < rollup->metric_count; j++) {
            const struct store_diff_metric *m = &rollup->metrics[j];
            buf_addf(out, "%s{\"name\":\"%s\",\"in\":\"%s\",\"before\":%s,\"after\":%s}",
                     j ? "," : "", m->name, INS[m->in], m->before, m->after);
        }
        buf_addstr(out, "]}");
    }
}

void store_diff_json(struct buf *out, const struct store_diff *d)
{
    const struct store_diff_result *r = &d->result;

    buf_addf(out, "{\"dataset\":\"%s\",\"from\":%llu,\"to\":%llu,\"definition_changed\":%s",
             d->dataset, (unsigned long long)r->from, (unsigned long long)r->to,
             r->definition_changed ? "true" : "false");
    buf_addstr(out, ",\"records\":");
    add_records(out, r);
    buf_addstr(out, ",\"samples\":");
    add_samples(out, r);
    buf_addstr(out, ",\"fields\":[");
    add_fields(out, r);
    buf_addstr(out, "],\"rollups\":[");
    add_rollups(out, r);
    buf_addstr(out, "]}");
}

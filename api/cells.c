#include "api/cells.h"

#include "store/export.h"

#include <string.h>

static bool is_given(uint32_t metrics, size_t i)
{
    return metrics >> i & 1;
}

void api_cell_json(struct buf *out, const struct store_rollup *r, uint32_t metrics,
                   const struct store_value *values, const struct store_cell *cell)
{
    const char *comma = "";

    buf_addch(out, '{');
    for (size_t i = 0; i < r->dimension_count; i++, comma = ",") {
        buf_addf(out, "%s\"%s\":", comma, r->dimensions[i].name);
        store_value_json(out, r->dimensions[i].type, &values[i]);
    }
    if (r->bucket != STORE_BUCKET_NONE) {
        buf_addf(out, "%s\"%s\":", comma, r->time.name);
        store_value_json(out, r->time.type, &values[r->dimension_count]);
        comma = ",";
    }
    for (size_t i = 0; i < r->metric_count; i++) {
        if (!is_given(metrics, i))
            continue;
        buf_addf(out, "%s\"%s\":", comma, r->metrics[i].name);
        store_metric_json(out, r, cell, i);
        comma = ",";
    }
    if (cell->records == 0)
        buf_addstr(out, ",\"suppressed\":true");
    buf_addch(out, '}');
}

/* What JSON has in quotes are times, which need none here. */
static void add_metric(struct buf *out, const struct store_rollup *r, const struct store_cell *cell,
                       size_t metric)
{
    size_t start = out->len;

    store_metric_json(out, r, cell, metric);
    if (out->status)
        return;
    if (strcmp(out->data + start, "null") == 0) {
        out->len = start;
    } else if (out->data[start] == '"') {
        out->len -= 2;
        memmove(out->data + start, out->data + start + 1, out->len - start);
    }
}

void api_cell_csv(struct buf *out, const struct store_rollup *r, uint32_t metrics,
                  const struct store_value *values, const struct store_cell *cell)
{
    for (size_t i = 0; i < r->dimension_count; i++) {
        store_export_csv(out, r->dimensions[i].type, &values[i]);
        buf_addch(out, ',');
    }
    if (r->bucket != STORE_BUCKET_NONE) {
        store_export_csv(out, r->time.type, &values[r->dimension_count]);
        buf_addch(out, ',');
    }
    for (size_t i = 0; i < r->metric_count; i++) {
        if (!is_given(metrics, i))
            continue;
        add_metric(out, r, cell, i);
        buf_addch(out, ',');
    }
    buf_addstr(out, cell->records == 0 ? "true\r\n" : "false\r\n");
}

void api_cells_csv_names(struct buf *out, const struct store_rollup *r, uint32_t metrics)
{
    for (size_t i = 0; i < r->dimension_count; i++)
        buf_addf(out, "%s,", r->dimensions[i].name);
    if (r->bucket != STORE_BUCKET_NONE)
        buf_addf(out, "%s,", r->time.name);
    for (size_t i = 0; i < r->metric_count; i++)
        if (is_given(metrics, i))
            buf_addf(out, "%s,", r->metrics[i].name);
    buf_addstr(out, "suppressed\r\n");
}

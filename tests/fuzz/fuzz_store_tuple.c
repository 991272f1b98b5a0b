/* Tuples and cells of rollups from nobody. The first byte is the number of dimensions and, in its
 * high bit, whether there is a time; then a byte with the type of each; then a byte with the length
 * of the tuple; then the tuple and the cell. What decodes must encode to the same bytes. */
#include "store/rollup.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TYPES (STORE_UINTEGER + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static void check_tuple(const struct store_rollup *r, const uint8_t *bytes, size_t len)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct buf scratch, again;
    uint8_t *copy = malloc(len ? len : 1); /* of its own size: a read beyond it is seen */

    require(copy != NULL);
    memcpy(copy, bytes, len);
    buf_init(&scratch, 1024);
    buf_init(&again, 1024);
    if (store_tuple_decode(values, &scratch, r, copy, len) == ST_OK) {
        require(store_tuple_encode(&again, r, values) == ST_OK);
        require(again.len == len && memcmp(again.data, copy, len) == 0);
    }
    buf_release(&scratch);
    buf_release(&again);
    free(copy);
}

static void check_cell(const struct store_rollup *r, const uint8_t *bytes, size_t len)
{
    struct store_cell cell, merged;
    struct buf again;
    uint8_t *copy = malloc(len ? len : 1);

    require(copy != NULL);
    memcpy(copy, bytes, len);
    buf_init(&again, 1u << 16);
    if (store_cell_decode(&cell, r, copy, len) == ST_OK) {
        store_cell_init(&merged);
        require(store_cell_merge(&merged, r, &cell) == ST_OK);
        store_cell_encode(&again, r, &merged);
        require(again.len == len && memcmp(again.data, copy, len) == 0);
        for (size_t i = 0; i < r->metric_count; i++)
            store_metric_json(&again, r, &cell, i);
        require(buf_status(&again) == ST_OK);
        store_cell_release(&merged, r);
        store_cell_release(&cell, r);
    }
    buf_release(&again);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store_metric metrics[] = {
        {.name = "rows", .terms = {{.aggregate = STORE_COUNT_ALL}}},
        {.name = "filled", .terms = {{.aggregate = STORE_COUNT}}},
        {.name = "least", .terms = {{.aggregate = STORE_MIN}}},
        {.name = "most", .terms = {{.aggregate = STORE_MAX}}},
        {.name = "mean", .terms = {{.aggregate = STORE_AVG}}},
        {.name = "kinds", .terms = {{.aggregate = STORE_DISTINCT}}},
        {.name = "middle", .terms = {{.aggregate = STORE_QUANTILE, .quantile = 0.5}}},
        {.name = "rate",
         .ratio = true,
         .terms = {{.aggregate = STORE_SUM}, {.aggregate = STORE_COUNT_ALL}}},
    };
    struct store_rollup r = {
        .name = "fuzz", .metrics = metrics, .metric_count = 8, .term_count = 9};

    if (size < 1)
        return 0;
    r.dimension_count = (data[0] & 0x7f) % (STORE_DIMENSIONS_MAX + 1);
    r.bucket = data[0] & 0x80 ? STORE_BUCKET_DAY : STORE_BUCKET_NONE;
    r.time.type = STORE_DATE;
    size_t head = 1 + r.dimension_count + 1;
    if (size < head)
        return 0;
    for (size_t i = 0; i < r.dimension_count; i++) {
        r.dimensions[i].type = (enum store_type)(data[1 + i] % TYPES);
        if (r.dimensions[i].type == STORE_DOUBLE) /* no definition has such a dimension */
            r.dimensions[i].type = STORE_VARCHAR;
    }
    size_t tuple_len = data[head - 1];
    if (tuple_len > size - head)
        tuple_len = size - head;
    check_tuple(&r, data + head, tuple_len);
    check_cell(&r, data + head + tuple_len, size - head - tuple_len);
    return 0;
}

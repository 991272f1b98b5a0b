/* Rows from nobody. The first byte is the number of fields, then a byte with the type of each, then
 * the row. What decodes must encode to the same bytes (unless its text is not UTF-8), and be JSON.
 */
#include "base/json.h"
#include "store/row.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 24
#define TYPES (STORE_UINTEGER + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static void check_values(const struct store_field *fields, size_t count,
                         const struct store_value *values, const uint8_t *row, size_t len)
{
    struct buf again, text;
    json_t *json = NULL;

    buf_init(&again, 1u << 24);
    buf_init(&text, 1u << 24);
    enum st encoded = store_row_encode(&again, fields, count, values);
    enum st written = store_row_json(&text, fields, count, row, len);
    if (encoded == ST_OK) {
        require(again.len == len && (len == 0 || memcmp(again.data, row, len) == 0));
        require(written == ST_OK);
        /* A NUL is the one character that JSON can say and our parser does not take. */
        if (!strstr(text.data, "\\u0000")) {
            require(jx_parse_object(&json, text.data, text.len) == ST_OK);
            require(json_object_size(json) == count);
        }
    } else {
        require(encoded == ST_INVALID && written == ST_CORRUPT);
    }
    json_decref(json);
    buf_release(&again);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_field fields[FIELDS_MAX];
    struct store_value values[FIELDS_MAX];
    size_t count = size ? data[0] % (FIELDS_MAX + 1) : 0;

    if (size < 1 + count)
        return 0;
    for (size_t i = 0; i < count; i++) {
        snprintf(fields[i].name, sizeof fields[i].name, "f%zu", i);
        fields[i].type = (enum store_type)(data[1 + i] % TYPES);
    }
    /* Of its own size, so that a read beyond the end is seen. */
    size_t len = size - 1 - count;
    uint8_t *row = malloc(len ? len : 1);
    require(row != NULL);
    memcpy(row, data + 1 + count, len);
    if (store_row_decode(values, fields, count, row, len) == ST_OK)
        check_values(fields, count, values, row, len);
    free(row);
    return 0;
}

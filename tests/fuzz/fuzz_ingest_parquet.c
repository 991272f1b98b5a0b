/* Page headers of Parquet from nobody: nothing behind them is read, and what is a header has no
 * part that is one. */
#include "ingest/parquet_page.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

/* From memory of its own size: a read beyond it is seen. */
static bool read(struct parquet_page *out, const uint8_t *data, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);

    require(copy != NULL);
    memcpy(copy, data, size);
    bool is = parquet_page_read(out, copy, size);
    free(copy);
    return is;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parquet_page page, part;

    if (!size || !read(&page, data, size))
        return 0;
    require(page.header_bytes && page.header_bytes <= size && page.bytes >= 0 && page.values >= 0 &&
            page.rows >= 0);
    require(!read(&part, data, page.header_bytes - 1));
    require(read(&part, data, page.header_bytes));
    require(part.bytes == page.bytes && part.values == page.values && part.rows == page.rows &&
            part.has_rows == page.has_rows && part.crc == page.crc);
    return 0;
}

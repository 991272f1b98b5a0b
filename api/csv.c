#include "api/csv.h"

#include <string.h>

/* Section 2.7 */
static void add_text(struct buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        buf_addstr(out, text);
        return;
    }
    buf_addch(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            buf_addch(out, '"');
        buf_addch(out, *text);
    }
    buf_addch(out, '"');
}

static void add_value(struct buf *out, const json_t *value)
{
    const json_t *item;
    size_t i;

    if (json_is_string(value))
        add_text(out, json_string_value(value));
    else if (json_is_integer(value))
        buf_addi64(out, json_integer_value(value));
    else if (json_is_real(value))
        buf_addf(out, "%.3f", json_real_value(value));
    json_array_foreach(value, i, item)
    {
        if (i)
            buf_addch(out, ' ');
        if (json_is_string(item))
            add_text(out, json_string_value(item));
    }
}

void api_csv(struct buf *out, const json_t *items, const char *const *columns)
{
    const json_t *row;
    size_t i;

    for (size_t c = 0; columns[c]; c++)
        buf_addf(out, "%s%s", c ? "," : "", columns[c]);
    buf_addch(out, '\n');
    json_array_foreach(items, i, row)
    {
        for (size_t c = 0; columns[c]; c++) {
            if (c)
                buf_addch(out, ',');
            add_value(out, json_object_get(row, columns[c]));
        }
        buf_addch(out, '\n');
    }
}

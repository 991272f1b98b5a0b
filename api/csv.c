#include "api/csv.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* What a formula begins with: in some languages of a spreadsheet the wide ones, too. */
static const char *const FORMULA[] = {
    "=", "+", "-", "@", "\xEF\xBC\x9D", "\xEF\xBC\x8B", "\xEF\xBC\x8D", "\xEF\xBC\xA0"};

static bool is_formula(const char *text)
{
    text += strspn(text, " ");
    for (size_t i = 0; i < sizeof FORMULA / sizeof *FORMULA; i++)
        if (strncmp(text, FORMULA[i], strlen(FORMULA[i])) == 0)
            return true;
    return false;
}

/* Section 2.7 */
static void add_plain(struct buf *out, const char *text)
{
    const char *quote = strpbrk(text, ",\"") ? "\"" : "";

    buf_addstr(out, quote);
    if (is_formula(text))
        buf_addch(out, '\'');
    for (; *text; text++) {
        if (*text == '"')
            buf_addch(out, '"');
        buf_addch(out, *text);
    }
    buf_addstr(out, quote);
}

static void add_text(struct buf *out, const char *text)
{
    char *plain = strdup(text);

    if (!plain) {
        out->status = out->status ? out->status : ST_NOMEM;
        return;
    }
    utf8_blank_controls(plain);
    add_plain(out, plain);
    free(plain);
}

/* One field, with spaces between them. */
static void add_texts(struct buf *out, const json_t *list)
{
    const json_t *item;
    struct buf texts;
    size_t i;

    buf_init(&texts, out->max);
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        buf_addf(&texts, "%s%s", i ? " " : "", text ? text : "");
    }
    if (texts.status && !out->status)
        out->status = texts.status;
    else if (texts.len)
        add_text(out, texts.data);
    buf_release(&texts);
}

static void add_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value))
        add_text(out, json_string_value(value));
    else if (json_is_integer(value))
        buf_addi64(out, json_integer_value(value));
    else if (json_is_real(value))
        buf_addf(out, "%.3f", json_real_value(value));
    else if (json_is_array(value))
        add_texts(out, value);
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

/* JSON from nobody. What is taken is what jansson's own parser takes, and the same value; but for
 * nesting, which has another limit, and NUL, which jansson skips here and there. What is refused
 * says where. */
#include "base/json.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static void check_refused(enum st st)
{
    require(st == ST_INVALID && strcmp(st_code(), "INVALID_JSON") == 0 && st_place_text()[0]);
    require(utf8_is_valid(st_message(), strlen(st_message())));
}

/* A value of its own text: what is written is read again. */
static void check_taken(const json_t *value)
{
    json_t *again = NULL;
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    jx_write(&text, value, false);
    require(!buf_status(&text) && jx_parse_object(&again, text.data, text.len) == ST_OK);
    require(json_equal(value, again));
    json_decref(again);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = NULL, *wide = NULL;
    json_error_t error;
    char *text = malloc(size ? size : 1); /* of its own size: a read beyond it is seen */

    require(text != NULL);
    memcpy(text, data, size);
    enum st st = jx_parse_object(&value, text, size);
    bool deep = st && strstr(st_message(), "nested");
    if (st)
        check_refused(st);
    else
        check_taken(value);
    require((jx_parse_wide(&wide, text, size) == ST_OK) || st);
    json_t *expected = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(expected) && !deep && !memchr(text, '\0', size))
        require(!st && json_equal(value, expected));
    else if (!expected)
        require(st == ST_INVALID);
    json_decref(value);
    json_decref(wide);
    json_decref(expected);
    free(text);
    return 0;
}

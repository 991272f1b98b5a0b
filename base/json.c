#include "base/json.h"

#include "base/utf8.h"

#include <string.h>

const char *jx_pointer_part(char out[2 * JX_NAME_MAX + 1], const char *name)
{
    int len = utf8_cut(name, JX_NAME_MAX);
    char *to = out;

    for (int i = 0; i < len; i++) {
        if (name[i] == '~' || name[i] == '/') {
            *to++ = '~';
            *to++ = name[i] == '~' ? '0' : '1';
        } else {
            *to++ = name[i];
        }
    }
    *to = '\0';
    return out;
}

static bool is_listed(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

enum st jx_only(const json_t *object, const char *pointer, const char *const *names)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const char *name = json_object_iter_key(it);
        char part[2 * JX_NAME_MAX + 1];
        struct buf known;

        if (is_listed(name, names))
            continue;
        buf_init(&known, 200);
        for (const char *const *n = names; *n; n++)
            buf_addf(&known, "%s%s", n == names ? "" : ", ", *n);
        enum st st = st_place(st_fail(ST_INVALID, "UNKNOWN_FIELD", "unknown member \"%.*s\"",
                                      utf8_cut(name, JX_NAME_MAX), name),
                              "%s/%s", pointer, jx_pointer_part(part, name));
        st = st_hint(st, "known members: %s", known.data ? known.data : "none");
        buf_release(&known);
        return st;
    }
    return ST_OK;
}

static enum st wrong_type(const char *pointer, const char *name, const char *expected)
{
    return st_place(st_fail(ST_INVALID, "WRONG_TYPE", "\"%s\" must be %s", name, expected), "%s/%s",
                    pointer, name);
}

static json_t *member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}

enum st jx_string(const char **out, const json_t *object, const char *pointer, const char *name,
                  const char *preset)
{
    const json_t *value = member(object, name);

    *out = preset;
    if (!value)
        return ST_OK;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return wrong_type(pointer, name, "a string");
    *out = json_string_value(value);
    return ST_OK;
}

enum st jx_need_string(const char **out, const json_t *object, const char *pointer,
                       const char *name)
{
    enum st st = jx_string(out, object, pointer, name, NULL);

    if (!st && !*out)
        st = st_place(st_fail(ST_INVALID, "MISSING_FIELD", "\"%s\" is missing", name), "%s/%s",
                      pointer, name);
    return st;
}

enum st jx_integer(int64_t *out, const json_t *object, const char *pointer, const char *name,
                   int64_t preset, int64_t min, int64_t max)
{
    const json_t *value = member(object, name);

    *out = preset;
    if (!value)
        return ST_OK;
    if (!json_is_integer(value))
        return wrong_type(pointer, name, "an integer");
    *out = json_integer_value(value);
    if (*out < min || *out > max)
        return st_place(st_fail(ST_INVALID, "OUT_OF_RANGE", "\"%s\" must be from %lld to %lld",
                                name, (long long)min, (long long)max),
                        "%s/%s", pointer, name);
    return ST_OK;
}

enum st jx_need_integer(int64_t *out, const json_t *object, const char *pointer, const char *name,
                        int64_t min, int64_t max)
{
    if (!member(object, name))
        return st_place(st_fail(ST_INVALID, "MISSING_FIELD", "\"%s\" is missing", name), "%s/%s",
                        pointer, name);
    return jx_integer(out, object, pointer, name, 0, min, max);
}

enum st jx_boolean(bool *out, const json_t *object, const char *pointer, const char *name,
                   bool preset)
{
    const json_t *value = member(object, name);

    *out = preset;
    if (value && !json_is_boolean(value))
        return wrong_type(pointer, name, "true or false");
    if (value)
        *out = json_is_true(value);
    return ST_OK;
}

enum st jx_object(json_t **out, const json_t *object, const char *pointer, const char *name)
{
    *out = member(object, name);
    return *out && !json_is_object(*out) ? wrong_type(pointer, name, "an object") : ST_OK;
}

enum st jx_array(json_t **out, const json_t *object, const char *pointer, const char *name)
{
    *out = member(object, name);
    return *out && !json_is_array(*out) ? wrong_type(pointer, name, "an array") : ST_OK;
}

static int add_chunk(const char *bytes, size_t len, void *ctx)
{
    struct buf *b = ctx;

    buf_add(b, bytes, len);
    return b->status ? -1 : 0;
}

static void write_with(struct buf *b, const json_t *value, json_dump_callback_t add, size_t flags)
{
    if (json_dump_callback(value, add, b, flags) != 0 && !b->status)
        b->status = ST_NOMEM;
}

void jx_write(struct buf *b, const json_t *value, bool canonical)
{
    write_with(b, value, add_chunk,
               JSON_COMPACT | JSON_ENCODE_ANY | (canonical ? JSON_SORT_KEYS : 0));
}

char *jx_text(const json_t *value, bool canonical)
{
    struct buf b;

    buf_init(&b, SIZE_MAX / 2);
    jx_write(&b, value, canonical);
    return buf_take(&b);
}

/* As add_chunk, with U+007F to U+009F escaped, too: terminals obey them. A chunk has whole
 * characters. */
static int add_chunk_escaped(const char *text, size_t len, void *ctx)
{
    const unsigned char *c = (const unsigned char *)text;
    struct buf *b = ctx;
    size_t done = 0;

    for (size_t i = 0; i < len; i++) {
        bool wide = c[i] == 0xC2 && i + 1 < len && c[i + 1] < 0xA0;
        if (c[i] != 0x7F && !wide)
            continue;
        buf_add(b, text + done, i - done);
        i += wide;
        buf_addf(b, "\\u%04X", c[i]);
        done = i + 1;
    }
    buf_add(b, text + done, len - done);
    return b->status ? -1 : 0;
}

void jx_write_pretty(struct buf *b, const json_t *value)
{
    write_with(b, value, add_chunk_escaped, JSON_INDENT(2) | JSON_ENCODE_ANY);
    buf_addch(b, '\n');
}

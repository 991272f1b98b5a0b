#include "base/json.h"

#include "base/number.h"
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

struct writing {
    struct buf *buf;
    bool in_string, canonical, escapes;
};

/* 5.0 stays a real. */
static void add_real(struct buf *b, const char *chunk)
{
    char text[NUMBER_SIZE];

    buf_addstr(b, number_text(text, number_read(chunk, NULL)));
    if (!strpbrk(text, ".e"))
        buf_addstr(b, ".0");
}

/* U+007F to U+009F are escaped: terminals obey them. */
static void add_escaped(struct buf *b, const char *text, size_t len)
{
    const unsigned char *c = (const unsigned char *)text;
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
}

/* Of jansson, which gives strings character by whole character, each between two chunks that are a
 * quotation mark alone, and a number in one chunk, always with 17 digits if it is real. */
static int add_chunk(const char *chunk, size_t len, void *ctx)
{
    struct writing *w = ctx;
    char number[64];

    if (len == 1 && chunk[0] == '"')
        w->in_string = !w->in_string;
    if (!w->in_string && !w->canonical && len && len < sizeof number &&
        memchr("-0123456789", chunk[0], 11)) {
        memcpy(number, chunk, len);
        number[len] = '\0';
        if (strpbrk(number, ".e"))
            add_real(w->buf, number);
        else
            buf_add(w->buf, chunk, len);
    } else if (w->escapes) {
        add_escaped(w->buf, chunk, len);
    } else {
        buf_add(w->buf, chunk, len);
    }
    return w->buf->status ? -1 : 0;
}

static void write_with(struct writing w, const json_t *value, size_t flags)
{
    if (json_dump_callback(value, add_chunk, &w, flags | JSON_ENCODE_ANY) != 0 && !w.buf->status)
        w.buf->status = ST_NOMEM;
}

void jx_write(struct buf *b, const json_t *value, bool canonical)
{
    write_with((struct writing){.buf = b, .canonical = canonical}, value,
               JSON_COMPACT | (canonical ? JSON_SORT_KEYS : 0));
}

char *jx_text(const json_t *value, bool canonical)
{
    struct buf b;

    buf_init(&b, SIZE_MAX / 2);
    jx_write(&b, value, canonical);
    return buf_take(&b);
}

void jx_write_pretty(struct buf *b, const json_t *value)
{
    write_with((struct writing){.buf = b, .escapes = true}, value, JSON_INDENT(2));
    buf_addch(b, '\n');
}

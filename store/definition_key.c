#include "base/utf8.h"
#include "store/definition_internal.h"

#include <stdio.h>
#include <string.h>

/* The key of a definition: its fields, their normalisers, its protection. What it is sorted by is a
 * field of the record (store/definition.c). */

static enum st parse_normalizers(struct store_key_spec *key, const json_t *normalize)
{
    char pointer[DEFINITION_POINTER_SIZE];
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)normalize, name, value)
    {
        size_t i = 0;

        definition_pointer(pointer, "/key/normalize", name);
        while (i < key->field_count && strcmp(key->fields[i].name, name) != 0)
            i++;
        if (i == key->field_count)
            return definition_fail(pointer, "\"%.*s\" is not a field of the key",
                                   utf8_cut(name, STORE_NAME_SIZE), name);
        const char *text = json_string_value(value);
        key->fields[i].normalizer = text ? store_normalizer_find(text) : NULL;
        if (!key->fields[i].normalizer)
            return st_hint(definition_fail(pointer, "unknown normaliser"), "normalisers: %s",
                           store_normalizer_names());
    }
    return ST_OK;
}

static enum st parse_guess(struct store_key_spec *key, const json_t *guess)
{
    static const char *const MEMBERS[] = {"fields", "limit", "per", NULL};
    const char *per;
    json_t *fields, *item;
    int64_t limit;
    size_t i;

    if (jx_only(guess, "/key/guess", MEMBERS) || jx_array(&fields, guess, "/key/guess", "fields") ||
        jx_integer(&limit, guess, "/key/guess", "limit", 5, 1, STORE_GUESSES_MAX) ||
        jx_string(&per, guess, "/key/guess", "per", "day"))
        return definition_adopt("/key/guess");
    if (strcmp(per, "day") != 0)
        return definition_fail("/key/guess/per", "\"day\" is expected");
    if (key->protect == STORE_PROTECT_NONE)
        return definition_fail("/key/guess", "the key is not protected");
    json_array_foreach(fields, i, item)
    {
        const char *name = json_string_value(item);
        size_t field =
            name ? DEFINITION_FIND(key->fields, key->field_count, name) : key->field_count;
        if (field == key->field_count)
            return definition_fail("/key/guess/fields", "fields of the key are expected");
        key->guess_fields |= 1u << field;
    }
    if (key->guess_fields == 0 || key->guess_fields == (1u << key->field_count) - 1)
        return definition_fail("/key/guess/fields",
                               "some of the key's fields are expected, not all");
    key->guess_limit = (unsigned)limit;
    return ST_OK;
}

enum st definition_parse_key(struct store_key_spec *key, const json_t *value)
{
    static const char *const MEMBERS[] = {"fields", "normalize", "protect", "sort", "guess", NULL};
    json_t *fields, *normalize, *guess, *item;
    const char *protect;
    char pointer[64];
    size_t i;

    if (!json_is_object(value))
        return definition_fail("/key", "an object with \"fields\" is needed");
    if (jx_only(value, "/key", MEMBERS) || jx_array(&fields, value, "/key", "fields") ||
        jx_object(&normalize, value, "/key", "normalize") ||
        jx_object(&guess, value, "/key", "guess") ||
        jx_string(&protect, value, "/key", "protect", "none"))
        return definition_adopt("/key");
    if (json_array_size(fields) == 0 || json_array_size(fields) > STORE_KEY_FIELDS_MAX)
        return definition_fail("/key/fields", "a key has 1 to %d fields", STORE_KEY_FIELDS_MAX);
    json_array_foreach(fields, i, item)
    {
        struct store_key_field *f = &key->fields[i];

        snprintf(pointer, sizeof pointer, "/key/fields/%zu", i);
        if (!json_is_string(item))
            return definition_fail(pointer, "the name of a prepared column is expected");
        enum st st = definition_name(f->name, pointer, "key field", json_string_value(item), true);
        if (st)
            return st;
        if (DEFINITION_FIND(key->fields, i, f->name) < i)
            return definition_fail(pointer, "\"%s\" is there twice", f->name);
        f->normalizer = store_normalizer_find("exact");
        key->field_count++;
    }
    if (strcmp(protect, "hmac-sha256") == 0)
        key->protect = STORE_PROTECT_HMAC_SHA256;
    else if (strcmp(protect, "none") != 0)
        return definition_fail("/key/protect", "\"hmac-sha256\" or \"none\" is expected");
    enum st st = normalize ? parse_normalizers(key, normalize) : ST_OK;
    return !st && guess ? parse_guess(key, guess) : st;
}

/* What the tests of the store's formats share: cmocka, and definitions written as JSON. */
#ifndef EVERLINE_TESTS_STORE_FORMAT_KIT_H
#define EVERLINE_TESTS_STORE_FORMAT_KIT_H

#include "base/buf.h"
#include "base/json.h"
#include "store/definition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A protected dataset with everything that a definition can have. */
#define KIT_LIFELINE                                                                               \
    "{\"name\":\"lifeline\",\"description\":\"who is enrolled\","                                  \
    "\"sources\":{\"patients\":{\"format\":\"csv\",\"columns\":{\"START/YEAR\":\"INTEGER\"},"      \
    "\"columns_complete\":true},\"visits\":{\"format\":\"parquet\"}},"                             \
    "\"prepare\":\"SELECT * FROM patients\","                                                      \
    "\"key\":{\"fields\":[\"first_name\",\"dob\",\"ssn_last4\"],\"normalize\":"                    \
    "{\"first_name\":\"person_name\",\"dob\":\"date\",\"ssn_last4\":\"digits\"},"                  \
    "\"protect\":\"hmac-sha256\"},"                                                                \
    "\"record\":{\"eligible\":\"BOOLEAN\",\"state\":\"VARCHAR\",\"enrolled_on\":\"DATE\","         \
    "\"visits\":\"INTEGER\"},\"on_duplicate\":\"fail\","                                           \
    "\"rollups\":{\"by_state\":{\"dimensions\":[\"state\",\"program\"],"                           \
    "\"time\":{\"field\":\"enrolled_on\",\"bucket\":\"month\"},\"metrics\":{"                      \
    "\"people\":\"count(*)\",\"eligible\":\"sum(eligible::INT)\",\"mean\":\"avg(visits)\","        \
    "\"least\":\"min(visits)\",\"most\":\"max(visits)\","                                          \
    "\"rate\":{\"ratio\":[\"sum(eligible::INT)\",\"count(*)\"]}}},"                                \
    "\"total\":{\"dimensions\":[],\"metrics\":{\"people\":\"COUNT( * )\"}}},"                      \
    "\"retention\":{\"keep_versions\":7,\"keep_days\":30},\"require_promotion\":true}"

static inline json_t *kit_json(const char *text)
{
    json_t *json = NULL;

    if (jx_parse_object(&json, text, strlen(text)) != ST_OK)
        fail_msg("%s in %s", st_message(), text);
    return json;
}

/* The definition in `text`, or NULL with the thread's report. */
static inline struct store_definition *kit_parse(const char *text)
{
    struct store_definition *d = NULL;
    json_t *json = kit_json(text);
    enum st st = store_definition_parse(&d, json);

    json_decref(json);
    assert_int_equal(st == ST_OK, d != NULL);
    return d;
}

static inline struct store_definition *kit_definition(const char *text)
{
    struct store_definition *d = kit_parse(text);

    if (!d)
        fail_msg("%s at %s", st_message(), st_place_text());
    return d;
}

/* A copy of `json` in which the value at a JSON pointer (without escapes) is replaced or, with
 * NULL, removed; `value` is JSON text. Arrays: the last step is an index. */
static inline json_t *kit_with(const char *text, const char *pointer, const char *value)
{
    json_t *json = kit_json(text), *at = json;
    char path[256], *step = path, *next;
    json_error_t error;
    json_t *replacement = value ? json_loads(value, JSON_DECODE_ANY, &error) : NULL;

    assert_true(!value || replacement);
    snprintf(path, sizeof path, "%s", pointer + 1);
    while ((next = strchr(step, '/'))) {
        *next = '\0';
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(step)) : json_object_get(at, step);
        assert_non_null(at);
        step = next + 1;
    }
    if (json_is_array(at) && replacement)
        json_array_set_new(at, (size_t)atoi(step), replacement);
    else if (replacement)
        json_object_set_new(at, step, replacement);
    else
        json_object_del(at, step);
    return json;
}

#define KIT_TEXT(s) ((struct store_value){.as.text = {(s), sizeof(s) - 1}})
#define KIT_INT(n) ((struct store_value){.as.i = (n)})
#define KIT_NULL ((struct store_value){.null = true})

#endif

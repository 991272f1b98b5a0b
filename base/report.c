#include "base/report.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One that is too long has been cut, maybe in the middle of a character. */
static const char *valid(const char *text, const char *otherwise)
{
    return utf8_is_valid(text, strlen(text)) ? text : otherwise;
}

json_t *report_to_json(const struct st_report *r)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "status", st_name(r->status), "code", r->code,
                     "message", valid(r->message, "the message is not valid UTF-8"), "place",
                     valid(r->place, ""), "hint", valid(r->hint, ""));
}

static enum st status_named(const char *name)
{
    for (int i = -1; i > -64; i--)
        if (strcmp(st_name((enum st)i), name) == 0)
            return (enum st)i;
    return ST_UNAVAILABLE;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

void report_from_json(struct st_report *out, const json_t *object)
{
    out->status = status_named(text_of(object, "status"));
    snprintf(out->code, sizeof out->code, "%s", text_of(object, "code"));
    snprintf(out->message, sizeof out->message, "%s", text_of(object, "message"));
    snprintf(out->place, sizeof out->place, "%s", text_of(object, "place"));
    snprintf(out->hint, sizeof out->hint, "%s", text_of(object, "hint"));
}

enum st report_say(enum st st)
{
    struct st_report r;

    st_save(&r, st);
    json_t *answer =
        st ? json_pack("{s:o}", "error", report_to_json(&r)) : json_pack("{s:b}", "ok", 1);
    char *text = answer ? jx_text(answer, false) : NULL;
    json_decref(answer);
    if (!text)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    puts(text);
    fflush(stdout);
    free(text);
    return ST_OK;
}

bool report_hear(enum st *said, const char *text, size_t len)
{
    struct st_report r;
    json_t *answer = NULL, *error;
    bool whole = jx_parse_object(&answer, text, len) == ST_OK;

    if (whole && (error = json_object_get(answer, "error"))) {
        report_from_json(&r, error);
        *said = st_restore(&r);
    } else {
        whole = whole && json_is_true(json_object_get(answer, "ok"));
        *said = ST_OK;
    }
    json_decref(answer);
    return whole;
}

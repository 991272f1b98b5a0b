#include "base/report.h"

#include <stdio.h>
#include <string.h>

json_t *report_to_json(const struct st_report *r)
{
    const char *status = st_name(r->status);
    json_t *whole = json_pack("{s:s, s:s, s:s, s:s, s:s}", "status", status, "code", r->code,
                              "message", r->message, "place", r->place, "hint", r->hint);

    /* A message can have been cut in the middle of a character. */
    return whole ? whole
                 : json_pack("{s:s, s:s, s:s}", "status", status, "code", r->code, "message",
                             "the message is not valid UTF-8");
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

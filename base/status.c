#include "base/status.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct st_report last;

static const struct {
    const char *name;
    int exit_code;
} STATUSES[] = {
    [-ST_OK] = {"OK", 0},
    [-ST_NOT_FOUND] = {"NOT_FOUND", 1},
    [-ST_CONFLICT] = {"CONFLICT", 1},
    [-ST_INVALID] = {"INVALID", 1},
    [-ST_DENIED] = {"DENIED", 1},
    [-ST_UNKNOWN_CALLER] = {"UNKNOWN_CALLER", 1},
    [-ST_TOO_LARGE] = {"TOO_LARGE", 1},
    [-ST_GONE] = {"GONE", 1},
    [-ST_PRECONDITION] = {"PRECONDITION", 1},
    [-ST_PRECONDITION_REQUIRED] = {"PRECONDITION_REQUIRED", 1},
    [-ST_UNAVAILABLE] = {"UNAVAILABLE", 1},
    [-ST_TIMEOUT] = {"TIMEOUT", 3},
    [-ST_FULL] = {"FULL", 1},
    [-ST_CORRUPT] = {"CORRUPT", 1},
    [-ST_IO] = {"IO", 1},
    [-ST_NOMEM] = {"NOMEM", 1},
    [-ST_FENCED] = {"FENCED", 1},
    [-ST_HELD] = {"HELD", 4},
    [-ST_UNKNOWN_OUTCOME] = {"UNKNOWN_OUTCOME", 1},
    [-ST_METHOD] = {"METHOD", 1},
    [-ST_MEDIA_TYPE] = {"MEDIA_TYPE", 1},
    [-ST_UNREACHABLE] = {"UNREACHABLE", 3},
    [-ST_USAGE] = {"USAGE", 2},
    [-ST_EXPECTATION] = {"EXPECTATION", 1},
    [-ST_REUSED] = {"REUSED", 1},
    [-ST_END] = {"END", 1},
    [-ST_LIMITED] = {"LIMITED", 1},
    [-ST_REFUSED] = {"REFUSED", 4},
};
#define STATUS_COUNT ((int)(sizeof STATUSES / sizeof STATUSES[0]))

const char *st_name(enum st status)
{
    int i = -(int)status;

    return i >= 0 && i < STATUS_COUNT ? STATUSES[i].name : "UNKNOWN";
}

int st_exit_code(enum st status)
{
    int i = -(int)status;

    return i >= 0 && i < STATUS_COUNT ? STATUSES[i].exit_code : 1;
}

#define TEXT_MAX sizeof last.message /* the longest of the report's texts */

/* Formatted aside first: an argument may be st_message() itself. What was cut within a character is
 * mended, since reports go into JSON. */
static void set(char *text, size_t size, const char *fmt, va_list args)
{
    char formatted[TEXT_MAX];

    if (vsnprintf(formatted, size, fmt, args) < 0)
        formatted[0] = '\0';
    utf8_mend(formatted);
    strcpy(text, formatted);
}

static void report(enum st status, const char *code, const char *fmt, va_list args)
{
    set(last.message, sizeof last.message, fmt, args);
    last.status = status;
    snprintf(last.code, sizeof last.code, "%s", code ? code : st_name(status));
    last.hint[0] = last.place[0] = '\0';
}

enum st st_fail(enum st status, const char *code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(status, code, fmt, args);
    va_end(args);
    return status;
}

enum st st_fail_errno(int err, const char *fmt, ...)
{
    enum st status = err == ENOSPC || err == EDQUOT ? ST_FULL
                     : err == ENOMEM                ? ST_NOMEM
                     : err == ENOENT                ? ST_NOT_FOUND
                                                    : ST_IO;
    va_list args;

    va_start(args, fmt);
    report(status, NULL, fmt, args);
    va_end(args);

    size_t len = strlen(last.message);
    snprintf(last.message + len, sizeof last.message - len, ": %s", strerrordesc_np(err));
    return status;
}

enum st st_hint(enum st status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set(last.hint, sizeof last.hint, fmt, args);
    va_end(args);
    return status;
}

enum st st_place(enum st status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set(last.place, sizeof last.place, fmt, args);
    va_end(args);
    return status;
}

enum st st_wrap(enum st status, const char *fmt, ...)
{
    char inner[TEXT_MAX];
    va_list args;

    memcpy(inner, last.message, sizeof inner);
    va_start(args, fmt);
    set(last.message, sizeof last.message, fmt, args);
    va_end(args);
    size_t len = strlen(last.message);
    snprintf(last.message + len, sizeof last.message - len, ": %s", inner);
    utf8_mend(last.message);
    return status;
}

const char *st_message(void)
{
    return last.message;
}

const char *st_code(void)
{
    return last.code;
}

const char *st_hint_text(void)
{
    return last.hint;
}

const char *st_place_text(void)
{
    return last.place;
}

void st_save(struct st_report *out, enum st status)
{
    *out = last;
    out->status = status;
}

enum st st_restore(const struct st_report *saved)
{
    last = *saved;
    return saved->status;
}

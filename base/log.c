#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define MESSAGE_MAX_BYTES 1023
#define PREFIX_MAX_BYTES 511 /* of a failure, before what it says */

static _Atomic enum log_level log_threshold = LOG_LEVEL_INFO;
static _Atomic enum log_format log_output = LOG_FORMAT_AUTO;
static _Thread_local const char *request; /* NULL: none */
static _Thread_local const char *trace;

static const struct {
    const char *name;
    const char *color;
} LEVELS[] = {
    [LOG_LEVEL_DEBUG] = {"debug", "\033[2m"},
    [LOG_LEVEL_INFO] = {"info", ""},
    [LOG_LEVEL_WARN] = {"warn", "\033[33m"},
    [LOG_LEVEL_ERROR] = {"error", "\033[31m"},
};

void log_configure(enum log_level threshold, enum log_format format)
{
    log_threshold = threshold;
    log_output = format;
}

void log_set_request(const char *request_id, const char *trace_id)
{
    request = request_id;
    trace = trace_id;
}

bool log_is_on(enum log_level level)
{
    return level >= log_threshold;
}

struct line {
    enum log_level level;
    const char *event;
    const char *message;
    const char *code;  /* or "" */
    const char *place; /* or "" */
};

static void add_text(struct buf *b, const char *name, const char *value, size_t len)
{
    if (len == 0)
        return;
    buf_addf(b, ",\"%s\":", name);
    buf_add_json_string(b, value, len);
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    add_text(b, name, value, strlen(value));
}

static void format_json(struct buf *b, const char *now, const struct line *l)
{
    buf_addf(b, "{\"ts\":\"%s\",\"level\":\"%s\"", now, LEVELS[l->level].name);
    add_member(b, "event", l->event);
    add_member(b, "message", l->message);
    add_member(b, "code", l->code);
    add_member(b, "place", l->place);
    add_member(b, "request_id", request ? request : "");
    add_text(b, "trace_id", trace, trace ? LOG_TRACE_ID_LEN : 0);
    buf_addstr(b, "}\n");
}

/* A message with line ends or escapes in it stays one line. */
static void add_plain(struct buf *b, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool is_c1 = c[0] == 0xC2 && c[1] >= 0x80 && c[1] <= 0x9F; /* U+0080 to U+009F */
        c += is_c1;
        buf_addch(b, is_c1 || *c < 0x20 || *c == 0x7f ? '?' : (char)*c);
    }
}

static void format_text(struct buf *b, const char *now, const struct line *l)
{
    const char *no_color = getenv("NO_COLOR");
    bool plain = (no_color && *no_color) || !isatty(STDERR_FILENO);
    const char *color = plain ? "" : LEVELS[l->level].color;

    buf_addf(b, "%.19sZ %s%-5s%s %s: ", now, color, LEVELS[l->level].name, *color ? "\033[0m" : "",
             l->event);
    add_plain(b, l->message);
    if (*l->code)
        buf_addf(b, " [%s]", l->code);
    if (*l->place) {
        buf_addstr(b, " at ");
        add_plain(b, l->place);
    }
    if (request)
        buf_addf(b, " (%s)", request);
    buf_addch(b, '\n');
}

static void emit(const struct line *l)
{
    bool text =
        log_output == LOG_FORMAT_TEXT || (log_output == LOG_FORMAT_AUTO && isatty(STDERR_FILENO));
    char now[CLOCK_TEXT_SIZE];
    struct buf b;

    clock_format(now, clock_wall_us());
    buf_init(&b, LINE_MAX_BYTES);
    (text ? format_text : format_json)(&b, now, l);
    if (b.status) { /* not UTF-8, or too long: say which event at least */
        buf_reset(&b);
        buf_addf(&b, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%.100s\"}\n", now,
                 LEVELS[l->level].name, l->event);
    }
    if (b.data) {
        ssize_t n = write(STDERR_FILENO, b.data, b.len);
        (void)n; /* nowhere left to report it */
    }
    buf_release(&b);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    char message[MESSAGE_MAX_BYTES + 2];
    va_list args;

    if (!log_is_on(level))
        return;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    message[utf8_cut(message, MESSAGE_MAX_BYTES)] = '\0';
    emit(&(struct line){level, event, message, "", ""});
}

void log_failure(enum log_level level, const char *event, const char *fmt, ...)
{
    char prefix[PREFIX_MAX_BYTES + 2], message[1100];
    va_list args;

    if (!log_is_on(level))
        return;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    prefix[utf8_cut(prefix, PREFIX_MAX_BYTES)] = '\0';
    snprintf(message, sizeof message, "%s: %s", prefix, st_message());
    emit(&(struct line){level, event, message, st_code(), st_place_text()});
}

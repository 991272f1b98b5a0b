/* Log lines on stderr: JSON by default, readable on a terminal. One write(2) per line, so that
 * threads and processes do not interleave. `event` is a stable snake_case word to search for;
 * the message is for a person. No personal value ever goes into either. */
#ifndef EVERLINE_BASE_LOG_H
#define EVERLINE_BASE_LOG_H

#include "base/status.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

/* By any thread, at any time. Default: INFO, AUTO. */
void log_configure(enum log_level threshold, enum log_format format);

#define LOG_TRACE_ID_LEN 32

/* The request this thread works for, and the LOG_TRACE_ID_LEN digits of the trace that it belongs
 * to, shown as request_id and trace_id in its lines; NULL: none. Borrowed until the next call. */
void log_set_request(const char *request_id, const char *trace_id);

/* Would a line of that level be written? For what is dear to say. */
bool log_is_on(enum log_level level);

void log_event(enum log_level level, const char *event, const char *fmt, ...) ST_PRINTF(3, 4);

/* A line from the thread's last failure: "fmt: message", with its code and place. */
void log_failure(enum log_level level, const char *event, const char *fmt, ...) ST_PRINTF(3, 4);

#endif

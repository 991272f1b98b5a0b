/* Status: how every function of Everline reports failure.
 *
 * A function that can fail returns `enum st`. Zero is success; every failure is negative and leaves
 * a thread-local report behind: a message for a person, a stable UPPER_SNAKE code for programs, and
 * optionally where in the input it was and how to mend it. Statuses leave the program in two places
 * only: the HTTP reply and the exit code.
 *
 * A message never carries a personal value: it names fields, files, lines and columns.
 */
#ifndef EVERLINE_BASE_STATUS_H
#define EVERLINE_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#define ST_MUST_USE __attribute__((warn_unused_result))
#define ST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum st {
    ST_OK = 0,
    ST_NOT_FOUND = -1,      /* no such thing, or not yours                              HTTP 404 */
    ST_CONFLICT = -2,       /* the state does not allow it                                   409 */
    ST_INVALID = -3,        /* input is wrong; the message says which part                   400 */
    ST_DENIED = -4,         /* known caller, not allowed                                     403 */
    ST_UNKNOWN_CALLER = -5, /* no valid token                                              401 */
    ST_TOO_LARGE = -6,      /* over a cap                                                    413 */
    ST_GONE = -7,           /* was there, retired                                            410 */
    ST_PRECONDITION = -8,   /* If-Match or `from` does not hold any more                     412 */
    ST_PRECONDITION_REQUIRED = -9, /* neither `from` nor If-Match                          428 */
    ST_UNAVAILABLE = -10, /* damaged, not ready, or stopping                               503 */
    ST_TIMEOUT = -11,     /* a deadline passed (exit code 3)                               503 */
    ST_FULL = -12,        /* disk, map or quota is full                                    507 */
    ST_CORRUPT = -13,     /* stored bytes are not what was written                         503 */
    ST_IO = -14,          /* the operating system said no                                  500 */
    ST_NOMEM = -15,       /* allocation failed                                             503 */
    ST_FENCED = -16,      /* the lease this write was made under is gone                   409 */
    ST_HELD = -17,        /* built and valid, but a person must look (exit code 4)         409 */
    ST_UNKNOWN_OUTCOME = -18, /* a commit may or may not have happened                     500 */
    ST_METHOD = -19,      /* method not allowed on this path                               405 */
    ST_MEDIA_TYPE = -20,  /* unsupported Content-Type                                      415 */
    ST_UNREACHABLE = -21, /* a peer or a helper program cannot be reached (exit code 3)    502 */
    ST_USAGE = -22,       /* wrong command line (exit code 2)                              400 */
    ST_REFUSED = -23,     /* data broke a check of its definition (exit code 4)            409 */
    ST_EXPECTATION = -24, /* an Expect that we do not meet                                 417 */
    ST_REUSED = -25,      /* the Idempotency-Key came with another request                 422 */
    ST_LIMITED = -27,     /* as much as the caller may was done already                       429 */
    ST_END = -26,         /* an iteration has no more; not an error, leaves no report          */
};

/* Records a failure of this thread and returns `status`, so that callers write `return
 * st_fail(...)`. `code` is a static UPPER_SNAKE string, or NULL for the status's own. Clears hint
 * and place. */
enum st st_fail(enum st status, const char *code, const char *fmt, ...) ST_PRINTF(3, 4);

/* As st_fail with strerror(err) appended; ENOSPC and EDQUOT become ST_FULL, ENOMEM ST_NOMEM,
 * ENOENT ST_NOT_FOUND, others ST_IO. */
enum st st_fail_errno(int err, const char *fmt, ...) ST_PRINTF(2, 3);

/* Adds to the report of the last failure: how to mend it / the place (a JSON pointer, or
 * "file:line:column"). Both return `status` for `return st_hint(st, ...)`. */
enum st st_hint(enum st status, const char *fmt, ...) ST_PRINTF(2, 3);
enum st st_place(enum st status, const char *fmt, ...) ST_PRINTF(2, 3);

/* Puts "fmt: " in front of the last failure's message and returns `status` unchanged. */
enum st st_wrap(enum st status, const char *fmt, ...) ST_PRINTF(2, 3);

/* The last failure's parts: borrowed, this thread's, until its next st_ call. Never NULL. */
const char *st_message(void);
const char *st_code(void);
const char *st_hint_text(void);
const char *st_place_text(void);

const char *st_name(enum st status); /* "NOT_FOUND" */
int st_exit_code(enum st status);    /* 0 ok, 1 failed, 2 usage, 3 cannot reach, 4 held */

/* A copy of a report, to carry a failure from one thread to another. */
struct st_report {
    enum st status;
    char code[48];
    char message[512];
    char hint[256];
    char place[256];
};
void st_save(struct st_report *out, enum st status);
enum st st_restore(const struct st_report *report);

#endif

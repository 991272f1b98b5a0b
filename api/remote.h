/* A server that does what a command says, in place of a data directory on this machine. A command
 * gets what it prints either from the store or from here: the same documents, by the routes of the
 * contract. What the server refuses is reported as the store would have.
 *
 * It is asked over https with its certificate verified, or over http on this machine; redirects and
 * proxies are not followed. A document, or all pages of a list, has at most API_REPLY_MAX bytes;
 * data goes through, for as long as it comes. No text of a document has control characters, but
 * where that is said. */
#ifndef EVERLINE_API_REMOTE_H
#define EVERLINE_API_REMOTE_H

#include "base/cmd.h"
#include "base/json.h"

#include <stdio.h>

#define REMOTE_PATH_MAX 4096
#define REMOTE_TAG_SIZE 64

/* Does a server do it? Such a command has the CMD_OPTIONS_REMOTE. */
bool remote_is_asked(const struct cmd_args *args);

/* A path: each "{}" of the pattern is the next argument, percent-encoded. ST_USAGE: too long, or a
 * part that is no name. */
enum st remote_path(char out[REMOTE_PATH_MAX], const char *pattern, ...) ST_MUST_USE;

/* Adds a query; what has no value is left out. Ends with a zeroed row. */
struct remote_parameter {
    const char *name, *value;
};
enum st remote_query(char path[REMOTE_PATH_MAX], const struct remote_parameter *p) ST_MUST_USE;

struct remote_call {
    const char *method; /* NULL: GET, or POST when something is sent */
    const char *path;
    const char *base;       /* asked without a token; NULL: --url, with it */
    const char *headers[4]; /* "Name: value", beside those that all have; NULL ends */
    const char *body;       /* JSON, or NULL */
    size_t body_len;
    FILE *file; /* sent in place of `body`; or NULL */
    uint64_t file_bytes;
    void (*sent_fn)(uint64_t bytes, void *ctx); /* of the file, so far; or NULL */
    void *ctx;
    FILE *to;                  /* gets the body as it is; NULL: it is JSON */
    bool any_status;           /* what is refused is an answer, too */
    bool as_is;                /* its texts keep control characters: what shows it sees to them */
    unsigned status;           /* set */
    uint64_t received;         /* set: bytes of the body */
    char tag[REMOTE_TAG_SIZE]; /* set: the ETag, or "" */
};

/* The answer as a new reference, into *out; NULL without one (204), and with `to`. ST_UNREACHABLE:
 * nobody is there, or no server of ours. */
enum st remote_call(json_t **out, struct remote_call *call,
                    const struct cmd_args *args) ST_MUST_USE;
/* The same with this body, whose reference it takes. */
enum st remote_send(json_t **out, struct remote_call *call, const struct cmd_args *args,
                    json_t *body) ST_MUST_USE;
/* Puts what --if-match says, if it says something, into the headers, by way of `room`. */
void remote_if_head(struct remote_call *call, char room[REMOTE_TAG_SIZE],
                    const struct cmd_args *args);
/* A GET. */
enum st remote_get(json_t **out, const struct cmd_args *args, const char *path) ST_MUST_USE;
/* A DELETE of the operand, by the path that the pattern makes of it, with --reason. Of the call
 * only headers are the caller's. */
enum st remote_delete(struct remote_call *call, const struct cmd_args *args,
                      const char *pattern) ST_MUST_USE;
/* Page after page of a list, at most `limit` items; *out is the first page with the items of all.
 */
enum st remote_list(json_t **out, const struct cmd_args *args, const char *path,
                    size_t limit) ST_MUST_USE;
/* The items alone, with texts as they are: for tables, CSV and JSON, which show them harmless. */
enum st remote_items(json_t **out, const struct cmd_args *args, const char *path,
                     size_t limit) ST_MUST_USE;

/* ST_UNREACHABLE: what answers so is none of ours. */
enum st remote_no_server(unsigned status) ST_MUST_USE;

#endif

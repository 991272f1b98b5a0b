#include "api/remote.h"

#include "api/internal.h"
#include "auth/http.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define TOKEN_MAX 8192
#define PROBLEM_MAX (64u << 10)
#define PAGE_ITEMS 1000 /* the most that a page may have */
#define PAGES_MAX 1000  /* of a list; of jobs one may be empty and not the last */
#define HEADERS_MAX 8
#define TIMEOUT_MAX_MS 86400000
#define BEARER "Authorization: Bearer "

bool remote_is_asked(const struct cmd_args *args)
{
    return cmd_string(args, "url") != NULL;
}

/* ---- paths ---- */

static void add_encoded(struct buf *b, const char *text)
{
    for (; *text; text++)
        if (isalnum((unsigned char)*text) || strchr("-_.~", *text))
            buf_addch(b, *text);
        else
            buf_addf(b, "%%%02X", (unsigned char)*text);
}

enum st remote_path(char out[REMOTE_PATH_MAX], const char *pattern, ...)
{
    const char *hole;
    bool named = true;
    struct buf b;
    va_list args;

    buf_init_fixed(&b, out, REMOTE_PATH_MAX);
    va_start(args, pattern);
    for (; (hole = strstr(pattern, "{}")); pattern = hole + 2) {
        const char *value = va_arg(args, const char *);
        named = named && *value && strcmp(value, ".") != 0 && strcmp(value, "..") != 0;
        buf_add(&b, pattern, (size_t)(hole - pattern));
        add_encoded(&b, value);
    }
    va_end(args);
    buf_addstr(&b, pattern);
    if (b.status || !named)
        return st_fail(ST_USAGE, NULL, "an operand is %s", named ? "too long" : "no name");
    return ST_OK;
}

enum st remote_query(char path[REMOTE_PATH_MAX], const struct remote_parameter *p)
{
    char separator = strchr(path, '?') ? '&' : '?';
    size_t len = strlen(path);
    struct buf b;

    buf_init_fixed(&b, path + len, REMOTE_PATH_MAX - len);
    for (; p->name; p++) {
        if (!p->value)
            continue;
        buf_addf(&b, "%c%s=", separator, p->name);
        add_encoded(&b, p->value);
        separator = '&';
    }
    return b.status ? st_fail(ST_USAGE, NULL, "an option is too long") : ST_OK;
}

/* ---- who asks whom ---- */

/* Said once, however often the command asks. A file that is missing is told by who reads it. */
static void warn_of_readers(const char *file)
{
    static bool said;
    struct stat sb;

    if (said || stat(file, &sb) != 0 || !S_ISREG(sb.st_mode) || !(sb.st_mode & 077))
        return;
    fprintf(stderr, "everline: warning: others may read %s, which has the token\n", file);
    fprintf(stderr, "  hint: chmod 600 %s\n", file);
    said = true;
}

static enum st read_token(struct buf *out, const struct cmd_args *args)
{
    const char *file = cmd_string(args, "token-file"), *token = cmd_string(args, "token");
    enum st st = ST_OK;

    buf_addstr(out, BEARER);
    if (file) {
        warn_of_readers(file);
        st = fs_read(out, file);
    } else if (token) {
        buf_addstr(out, token);
    }
    if (!st)
        st = buf_status(out);
    if (st)
        return st_wrap(st, file ? "--token-file" : "EVERLINE_TOKEN");
    while (out->len > sizeof BEARER - 1 && isspace((unsigned char)out->data[out->len - 1]))
        out->data[--out->len] = '\0';
    for (const char *c = out->data + sizeof BEARER - 1; *c; c++)
        if (!isgraph((unsigned char)*c))
            st = st_hint(st_fail(ST_USAGE, NULL, "this is no token"),
                         "%s is to have one line, the token", file ? file : "EVERLINE_TOKEN");
    if (!st && file && out->len == sizeof BEARER - 1)
        st = st_fail(ST_USAGE, NULL, "%s is empty", file);
    return st;
}

static enum st make_url(struct buf *out, const struct cmd_args *args, const char *base,
                        const char *path)
{
    size_t len = strlen(base);

    if (!auth_http_takes(base) || strpbrk(base, "?#"))
        return cmd_blame(st_hint(st_fail(ST_USAGE, NULL, "--url: this is no address of a server"),
                                 "https://HOST[:PORT], or http:// to this machine"),
                         args, "url", NULL);
    if (strncasecmp(base, "http:", 5) == 0 && cmd_string(args, "url") &&
        cmd_string(args, "ca-file"))
        return cmd_blame(st_hint(st_fail(ST_USAGE, NULL, "--ca-file: --url has no certificate"),
                                 "an address with one begins with https://"),
                         args, "ca-file", NULL);
    while (len && base[len - 1] == '/')
        len--;
    buf_add(out, base, len);
    buf_addstr(out, path);
    return buf_status(out);
}

/* ---- what came back ---- */

/* Every text of a document; names of members are not shown but as JSON. */
static enum st make_harmless(json_t *value)
{
    const char *name;
    json_t *item;
    size_t i;
    enum st st = ST_OK;

    json_object_foreach(value, name, item) if (!st) st = make_harmless(item);
    json_array_foreach(value, i, item) if (!st) st = make_harmless(item);
    if (!json_is_string(value))
        return st;
    char *text = strdup(json_string_value(value));
    if (text)
        utf8_blank_controls(text);
    if (!text || json_string_set(value, text) != 0)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    free(text);
    return st;
}

static void copy_text(char *to, size_t size, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    snprintf(to, size, "%s", text ? text : "");
    utf8_blank_controls(to);
}

enum st remote_no_server(unsigned status)
{
    return st_hint(
        st_fail(ST_UNREACHABLE, "NO_SERVER", "what answers (%u) is no everline server", status),
        status / 100 == 3 ? "redirects are not followed: give the address itself"
                          : "is --url its address? a proxy before it may say more");
}

/* A problem document, as this machine would have reported it. */
static enum st take_problem(unsigned status, const struct buf *text, bool with_token)
{
    struct st_report report = {.status = api_problem_status(status)};
    const json_t *first;
    json_t *problem = NULL;

    if (!text->data || jx_parse_object(&problem, text->data, text->len))
        return remote_no_server(status);
    copy_text(report.code, sizeof report.code, problem, "code");
    copy_text(report.message, sizeof report.message, problem, "detail");
    copy_text(report.hint, sizeof report.hint, problem, "hint");
    first = json_array_get(json_object_get(problem, "errors"), 0);
    copy_text(report.place, sizeof report.place, first, "pointer");
    if (!*report.hint && status == 401)
        snprintf(report.hint, sizeof report.hint, "%s",
                 with_token ? "the server's log says what is wrong with this one"
                            : "give one: --token-file FILE, or EVERLINE_TOKEN");
    else if (!*report.hint && status >= 500) {
        const char *id = json_string_value(json_object_get(problem, "request_id"));
        snprintf(report.hint, sizeof report.hint, "the server's log has request %.64s",
                 id ? id : "");
        utf8_blank_controls(report.hint);
    }
    json_decref(problem);
    if (!*report.code || !*report.message)
        return remote_no_server(status);
    if (strcmp(report.code, "CATALOG_BUSY") == 0)
        report.status = ST_TIMEOUT;
    return st_restore(&report);
}

struct transfer {
    struct remote_call *call;
    struct buf text;         /* of the answer; with `to`, of what is refused */
    uint64_t sent, received; /* of what goes through */
};

static enum st take(unsigned status, const char *bytes, size_t len, void *ctx)
{
    struct transfer *t = ctx;

    if (status / 100 != 2 && !t->call->any_status) {
        buf_add(&t->text, bytes, len);
        return t->text.status ? remote_no_server(status) : ST_OK;
    }
    t->received += len;
    if (fwrite(bytes, 1, len, t->call->to) != len)
        return st_fail_errno(errno, "writing what the server sends");
    return ST_OK;
}

static size_t send_file(char *to, size_t size, void *ctx)
{
    struct transfer *t = ctx;
    size_t len = fread(to, 1, size, t->call->file);

    t->sent += len;
    if (t->call->sent_fn)
        t->call->sent_fn(t->sent, t->call->ctx);
    return len;
}

static enum st explain(enum st st, const struct transfer *t, bool sends_file)
{
    if (st != ST_UNREACHABLE || *st_hint_text())
        return st;
    if (sends_file && t->sent < t->call->file_bytes &&
        (feof(t->call->file) || ferror(t->call->file)))
        return st_fail(ST_INVALID, "SOURCE_CHANGED",
                       "the file could not be read to the end that it had");
    return st_hint(st_wrap(st, "the server of --url"),
                   "is it there, and is the address right? --timeout says how long is waited");
}

static enum st read_answer(json_t **out, const struct remote_call *call, const struct buf *text,
                           bool with_token)
{
    if (call->status / 100 != 2 && !call->any_status)
        return take_problem(call->status, text, with_token);
    if (call->to || call->status == 204)
        return ST_OK;
    /* wide: a sum may be one of more than 64 bits */
    enum st st = text->data ? jx_parse_wide(out, text->data, text->len) : ST_INVALID;
    if (!st && !call->as_is)
        st = make_harmless(*out);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st == ST_INVALID ? remote_no_server(call->status) : st;
}

static enum st perform(json_t **out, struct remote_call *call, const struct cmd_args *args,
                       const char *authorization)
{
    const char *headers[HEADERS_MAX] = {authorization};
    size_t count = authorization ? 1 : 0;
    struct transfer t = {.call = call};
    struct buf url;

    *out = NULL;
    buf_init(&url, 2 * REMOTE_PATH_MAX);
    buf_init(&t.text, call->to ? PROBLEM_MAX : API_REPLY_MAX);
    for (size_t i = 0; call->headers[i]; i++)
        headers[count++] = call->headers[i];
    if (call->body)
        headers[count++] = "Content-Type: application/json";
    struct auth_http_call http = {.method = call->method,
                                  .headers = count ? headers : NULL,
                                  .ca_file = cmd_string(args, "ca-file"),
                                  .body = call->body,
                                  .body_len = call->body_len,
                                  .send_fn = call->file ? send_file : NULL,
                                  .send_bytes = call->file_bytes,
                                  .take_fn = call->to ? take : NULL,
                                  .ctx = &t,
                                  .timeout_ms = cmd_duration_ms(args, "timeout"),
                                  .answer = &t.text};
    enum st st =
        make_url(&url, args, call->base ? call->base : cmd_string(args, "url"), call->path);
    if (!st) {
        http.url = url.data;
        void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* TLS writes to who is gone */
        st = explain(auth_http_call(&http), &t, call->file != NULL);
        signal(SIGPIPE, before);
    }
    call->status = http.status;
    call->received = t.text.len + t.received;
    snprintf(call->tag, sizeof call->tag, "%s", http.tag);
    if (!st)
        st = read_answer(out, call, &t.text, authorization != NULL);
    buf_release(&t.text);
    buf_release(&url);
    return st;
}

enum st remote_call(json_t **out, struct remote_call *call, const struct cmd_args *args)
{
    uint64_t timeout_ms;
    struct buf token;
    enum st st = cmd_range(&timeout_ms, args, "timeout", 1, TIMEOUT_MAX_MS);

    *out = NULL;
    if (st || call->base)
        return st ? st : perform(out, call, args, NULL);
    buf_init(&token, TOKEN_MAX);
    st = read_token(&token, args);
    if (!st)
        st = perform(out, call, args, token.len > sizeof BEARER - 1 ? token.data : NULL);
    buf_release_secret(&token);
    return st;
}

void remote_if_head(struct remote_call *call, char room[REMOTE_TAG_SIZE],
                    const struct cmd_args *args)
{
    uint64_t sequence = cmd_uint(args, "if-match");

    snprintf(room, REMOTE_TAG_SIZE, "If-Match: \"%llu\"", (unsigned long long)sequence);
    if (sequence)
        call->headers[0] = room;
}

enum st remote_send(json_t **out, struct remote_call *call, const struct cmd_args *args,
                    json_t *body)
{
    char *text = body ? jx_text(body, false) : NULL;
    enum st st = text ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    *out = NULL;
    call->body = text;
    call->body_len = text ? strlen(text) : 0;
    if (!st)
        st = remote_call(out, call, args);
    free(text);
    json_decref(body);
    return st;
}

enum st remote_get(json_t **out, const struct cmd_args *args, const char *path)
{
    struct remote_call call = {.path = path};

    return remote_call(out, &call, args);
}

enum st remote_delete(struct remote_call *call, const struct cmd_args *args, const char *pattern)
{
    char path[REMOTE_PATH_MAX];
    json_t *nothing = NULL;
    enum st st = remote_path(path, pattern, cmd_operand(args, 0));

    call->method = "DELETE";
    call->path = path;
    if (!st)
        st = remote_query(
            path, (const struct remote_parameter[]){{"reason", cmd_string(args, "reason")}, {0}});
    if (!st)
        st = remote_call(&nothing, call, args);
    json_decref(nothing);
    call->path = NULL;
    return st;
}

/* ---- lists ---- */

/* Adds a page to *out, and puts its cursor into `next`; "": it was the last. */
static enum st add_page(json_t **out, char next[REMOTE_PATH_MAX], json_t *page)
{
    json_t *items = json_object_get(page, "items");
    const char *cursor = json_string_value(json_object_get(page, "next"));

    if (!json_is_array(items) ||
        (cursor && (strlen(cursor) >= REMOTE_PATH_MAX || strcmp(cursor, next) == 0)))
        return remote_no_server(200);
    snprintf(next, REMOTE_PATH_MAX, "%s", cursor ? cursor : "");
    if (!*out) {
        *out = json_incref(page);
        return ST_OK;
    }
    json_t *all = json_object_get(*out, "items");
    if (json_array_extend(all, items) != 0 ||
        json_object_set(page, "items", all) != 0) /* what else a page says is of the last one */
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_decref(*out);
    *out = json_incref(page);
    return ST_OK;
}

static enum st read_pages(json_t **out, const struct cmd_args *args, const char *path, size_t limit,
                          bool as_is)
{
    char next[REMOTE_PATH_MAX] = "", at[REMOTE_PATH_MAX], number[24];
    uint64_t bytes = 0;
    unsigned pages = 0;
    size_t count = 0;
    enum st st = ST_OK;

    *out = NULL;
    do {
        size_t most = limit - count < PAGE_ITEMS ? limit - count : PAGE_ITEMS;
        struct remote_call call = {.path = at, .as_is = as_is};
        json_t *page = NULL;
        snprintf(number, sizeof number, "%zu", most);
        snprintf(at, sizeof at, "%s", path);
        st =
            remote_query(at, (const struct remote_parameter[]){
                                 {"limit", number}, {"cursor", *next ? next : NULL}, {NULL, NULL}});
        if (!st)
            st = remote_call(&page, &call, args);
        bytes += call.received;
        if (!st && bytes > API_REPLY_MAX)
            st = st_fail(ST_TOO_LARGE, NULL, "the list has more than %u bytes", API_REPLY_MAX);
        if (!st)
            st = add_page(out, next, page);
        if (!st && *next && ++pages == PAGES_MAX)
            st = st_fail(ST_TOO_LARGE, NULL, "the list has more than %u pages", PAGES_MAX);
        json_decref(page);
        count = json_array_size(json_object_get(*out, "items"));
    } while (!st && *next && count < limit);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

enum st remote_list(json_t **out, const struct cmd_args *args, const char *path, size_t limit)
{
    return read_pages(out, args, path, limit, false);
}

enum st remote_items(json_t **out, const struct cmd_args *args, const char *path, size_t limit)
{
    json_t *list = NULL;
    enum st st = read_pages(&list, args, path, limit, true);

    *out = json_incref(json_object_get(list, "items"));
    json_decref(list);
    return st;
}

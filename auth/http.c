#include "auth/http.h"

#include <curl/curl.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS 5000L
#define TOTAL_MS 10000L
#define SLOW_BYTES 1024L /* a second */

#define HOST_SIZE 256

/* The parts of `url` that are judged; `host` without brackets. */
static bool read_url(bool *https, char host[HOST_SIZE], const char *url)
{
    char *scheme = NULL, *name = NULL, *user = NULL;
    CURLU *u = curl_url();
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &name, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
              strlen(name) < HOST_SIZE;

    if (ok) {
        size_t bracket = *name == '[';
        snprintf(host, HOST_SIZE, "%.*s", (int)(strlen(name) - 2 * bracket), name + bracket);
        *https = strcmp(scheme, "https") == 0;
        ok = *https || strcmp(scheme, "http") == 0;
    }
    curl_free(scheme);
    curl_free(name);
    curl_free(user);
    curl_url_cleanup(u);
    return ok;
}

static bool host_address(struct in6_addr *out, const char *host)
{
    static const char LOOPBACK[] = "127.0.0.1";

    if (strcmp(host, "localhost") == 0)
        host = LOOPBACK;
    return network_address_read(out, host, strlen(host));
}

/* A sidecar that speaks plain HTTP on this machine is as good as a file. */
static bool is_loopback(const char *host)
{
    struct in6_addr address;

    return host_address(&address, host) &&
           (IN6_IS_ADDR_LOOPBACK(&address) ||
            (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127));
}

bool auth_http_takes(const char *url)
{
    char host[HOST_SIZE];
    bool https;

    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return read_url(&https, host, url) && (https || is_loopback(host));
}

/* ---- whom ---- */

static bool may_connect(const struct network_list *outgoing, const struct in6_addr *address)
{
    return !outgoing || network_is_public(address) || network_list_has(outgoing, address);
}

bool auth_http_may_ask(const char *url, const struct network_list *outgoing)
{
    struct in6_addr address;
    char host[HOST_SIZE];
    bool https;

    return !read_url(&https, host, url) || !host_address(&address, host) ||
           may_connect(outgoing, &address);
}

struct connecting {
    const struct network_list *outgoing;
    bool refused, allowed; /* an address of it */
};

/* Once for each address that is tried. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct connecting *c = ctx;
    struct in6_addr address;

    (void)purpose;
    if (!network_address_of(&address, &to->addr) || !may_connect(c->outgoing, &address)) {
        c->refused = true;
        return CURL_SOCKET_BAD;
    }
    c->allowed = true;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* ---- the request ---- */

/* A call that runs. */
struct running {
    struct auth_http_call *call;
    CURL *curl;
    struct connecting connecting;
    struct st_report refused; /* what take_fn said */
};

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
    struct running *r = ctx;
    struct buf *out = r->call->answer;
    long status = 0;

    if (r->call->take_fn) {
        curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
        st_save(&r->refused, r->call->take_fn((unsigned)status, data, size * count, r->call->ctx));
        return r->refused.status ? 0 : size * count;
    }
    if (!out)
        return size * count;
    buf_add(out, data, size * count);
    return out->status ? 0 : size * count;
}

static size_t send_body(char *to, size_t size, size_t count, void *ctx)
{
    const struct running *r = ctx;
    size_t len = r->call->send_fn(to, size * count, r->call->ctx);

    return len ? len : CURL_READFUNC_ABORT;
}

static void take_tag(struct auth_http_call *c, const char *value)
{
    value += strspn(value, " \t");
    size_t len = strcspn(value, " \t\r\n");

    if (len < sizeof c->tag)
        snprintf(c->tag, sizeof c->tag, "%.*s", (int)len, value);
}

/* RFC 9111 section 5.2.2; a header's value is not NUL-terminated. */
static size_t take_header(char *data, size_t size, size_t count, void *ctx)
{
    static const char NAME[] = "cache-control:", MEMBER[] = "max-age=", TAG[] = "etag:";
    struct auth_http_call *c = ((struct running *)ctx)->call;
    char line[512];
    size_t len = size * count < sizeof line ? size * count : sizeof line - 1;

    memcpy(line, data, len);
    line[len] = '\0';
    const char *at =
        strncasecmp(line, NAME, sizeof NAME - 1) == 0 ? strcasestr(line, MEMBER) : NULL;
    if (at && at[sizeof MEMBER - 1] >= '0' && at[sizeof MEMBER - 1] <= '9')
        c->max_age_s = strtoll(at + sizeof MEMBER - 1, NULL, 10);
    if (strncasecmp(line, TAG, sizeof TAG - 1) == 0)
        take_tag(c, line + sizeof TAG - 1);
    return size * count;
}

static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return ctx && atomic_load((const _Atomic bool *)ctx);
}

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static struct curl_slist *list_headers(const char *const *headers)
{
    struct curl_slist *list = NULL, *next = NULL;

    for (; headers && *headers; headers++, list = next) {
        next = curl_slist_append(list, *headers);
        if (!next) {
            curl_slist_free_all(list);
            return NULL;
        }
    }
    return list;
}

static void set_times(CURL *curl, const struct auth_http_call *c)
{
    long ms = c->timeout_ms ? (long)c->timeout_ms : TOTAL_MS;

    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, ms < CONNECT_MS ? ms : CONNECT_MS);
    if (!c->send_fn && !c->take_fn) {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ms);
        return;
    }
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (ms + 999) / 1000);
}

static void set_body(CURL *curl, struct running *r)
{
    const struct auth_http_call *c = r->call;

    if (c->send_fn) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, send_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, r);
    } else if (c->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body);
    }
    if (c->send_fn || c->body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(c->send_fn ? c->send_bytes : c->body_len));
    if (c->method)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, c->method);
}

static void set_options(struct running *r, struct curl_slist *headers, char *why)
{
    const struct auth_http_call *c = r->call;
    CURL *curl = r->curl;

    /* Certificates are verified by default: VERIFYPEER and VERIFYHOST are not touched. */
    curl_easy_setopt(curl, CURLOPT_URL, c->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https"); /* of what auth_http_takes */
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* it would resolve names, unseen by open_socket */
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &r->connecting);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "everline/" EVERLINE_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)c->stop);
    if (c->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, c->ca_file);
    if (headers)
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    set_times(curl, c);
    set_body(curl, r);
}

enum st auth_http_call(struct auth_http_call *c)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct running r = {.call = c, .connecting.outgoing = c->outgoing};
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;

    c->max_age_s = -1;
    c->tag[0] = '\0';
    if (!auth_http_takes(c->url)) /* a row may be older than the rule */
        return st_hint(st_fail(ST_UNREACHABLE, "BAD_URL", "this is no URL that can be asked"),
                       "https://..., or http:// to this machine");
    pthread_once(&once, start_curl);
    struct curl_slist *headers = list_headers(c->headers);
    r.curl = headers || !c->headers ? curl_easy_init() : NULL;
    if (!r.curl) {
        curl_slist_free_all(headers);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    set_options(&r, headers, why);
    CURLcode rc = curl_easy_perform(r.curl);
    curl_easy_getinfo(r.curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(r.curl);
    curl_slist_free_all(headers);
    c->status = (unsigned)status;
    if (r.refused.status)
        return st_restore(&r.refused);
    if (rc != CURLE_OK && r.connecting.refused && !r.connecting.allowed)
        return st_hint(st_fail(ST_UNREACHABLE, "NOT_PUBLIC", "its address is not a public one"),
                       "name its network with --outgoing of serve, if it is to be asked");
    if (c->answer && c->answer->status == ST_TOO_LARGE)
        return st_fail(ST_UNREACHABLE, NULL, "it is larger than %zu bytes", c->answer->max);
    if (rc != CURLE_OK)
        return st_fail(ST_UNREACHABLE, NULL, "%s", *why ? why : curl_easy_strerror(rc));
    return c->answer ? buf_status(c->answer) : ST_OK;
}

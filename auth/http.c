#include "auth/http.h"

#include <curl/curl.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS 5000L
#define TOTAL_MS 10000L

/* A sidecar that speaks plain HTTP on this machine is as good as a file. */
static bool is_loopback(const char *url)
{
    static const char *const HOSTS[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

    for (size_t i = 0; i < sizeof HOSTS / sizeof HOSTS[0]; i++)
        if (strncmp(url, HOSTS[i], strlen(HOSTS[i])) == 0 && strchr(":/", url[strlen(HOSTS[i])]))
            return true;
    return false;
}

bool auth_http_takes(const char *url)
{
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return (strncmp(url, "https://", 8) == 0 && url[8]) || is_loopback(url);
}

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
    struct buf *out = ctx;

    buf_add(out, data, size * count);
    return out->status ? 0 : size * count;
}

/* RFC 9111 section 5.2.2; a header's value is not NUL-terminated. */
static size_t take_header(char *data, size_t size, size_t count, void *ctx)
{
    static const char NAME[] = "cache-control:", MEMBER[] = "max-age=";
    char line[512];
    size_t len = size * count < sizeof line ? size * count : sizeof line - 1;

    memcpy(line, data, len);
    line[len] = '\0';
    const char *at =
        strncasecmp(line, NAME, sizeof NAME - 1) == 0 ? strcasestr(line, MEMBER) : NULL;
    if (at && at[sizeof MEMBER - 1] >= '0' && at[sizeof MEMBER - 1] <= '9')
        *(int64_t *)ctx = strtoll(at + sizeof MEMBER - 1, NULL, 10);
    return size * count;
}

static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load((const _Atomic bool *)ctx);
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

static void set_options(CURL *curl, struct auth_http_call *c, struct curl_slist *headers, char *why)
{
    /* Certificates are verified by default: VERIFYPEER and VERIFYHOST are not touched. */
    curl_easy_setopt(curl, CURLOPT_URL, c->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, is_loopback(c->url) ? "http" : "https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TOTAL_MS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "everline/" EVERLINE_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, c->answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &c->max_age_s);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)c->stop);
    if (c->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, c->ca_file);
    if (headers)
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (c->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
    }
}

enum st auth_http_call(struct auth_http_call *c)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;

    pthread_once(&once, start_curl);
    struct curl_slist *headers = list_headers(c->headers);
    CURL *curl = headers || !c->headers ? curl_easy_init() : NULL;
    if (!curl) {
        curl_slist_free_all(headers);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    c->max_age_s = -1;
    set_options(curl, c, headers, why);
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    c->status = (unsigned)status;
    if (c->answer->status == ST_TOO_LARGE)
        return st_fail(ST_UNREACHABLE, NULL, "it is larger than %zu bytes", c->answer->max);
    if (rc != CURLE_OK)
        return st_fail(ST_UNREACHABLE, NULL, "%s", *why ? why : curl_easy_strerror(rc));
    return buf_status(c->answer);
}

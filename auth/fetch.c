#include "auth/fetch.h"

#include "base/fs.h"

#include <curl/curl.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS 5000L
#define TOTAL_MS 10000L

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A sidecar that speaks plain HTTP on this machine is as good as a file. */
static bool is_loopback(const char *location)
{
    static const char *const HOSTS[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

    for (size_t i = 0; i < sizeof HOSTS / sizeof HOSTS[0]; i++)
        if (begins(location, HOSTS[i]) && strchr(":/", location[strlen(HOSTS[i])]))
            return true;
    return false;
}

bool auth_fetch_takes(const char *location)
{
    for (const char *c = location; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return (location[0] == '/' && location[1]) || (begins(location, "https://") && location[8]) ||
           is_loopback(location);
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

static enum st fetch_url(struct buf *out, int64_t *max_age_s, const char *url, const char *ca_file,
                         const _Atomic bool *stop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;

    pthread_once(&once, start_curl);
    CURL *curl = curl_easy_init();
    if (!curl)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    /* Certificates are verified by default: VERIFYPEER and VERIFYHOST are not touched. */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, is_loopback(url) ? "http" : "https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TOTAL_MS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "everline/" EVERLINE_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, max_age_s);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)stop);
    if (ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (out->status == ST_TOO_LARGE)
        return st_fail(ST_UNREACHABLE, "BAD_JWKS", "it is larger than %zu bytes", out->max);
    if (rc != CURLE_OK)
        return st_fail(ST_UNREACHABLE, "BAD_JWKS", "%s", *why ? why : curl_easy_strerror(rc));
    if (status != 200)
        return st_fail(ST_UNREACHABLE, "BAD_JWKS", "the answer has status %ld", status);
    return buf_status(out);
}

enum st auth_fetch(struct buf *out, int64_t *max_age_s, const char *location, const char *ca_file,
                   const _Atomic bool *stop)
{
    *max_age_s = -1;
    return *location == '/' ? fs_read(out, location)
                            : fetch_url(out, max_age_s, location, ca_file, stop);
}

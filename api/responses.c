#include "api/responses.h"

#include "base/digest.h"

#include <stdlib.h>
#include <string.h>

#define PLACES 64
#define BODY_MAX 1024

struct api_responses {
    struct api_response places[PLACES];
};

enum st api_responses_new(struct api_responses **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

static void drop(struct api_response *r)
{
    MHD_destroy_response(r->response);
    if (r->body)
        secret_wipe(r->body, r->len);
    free(r->body);
    r->response = NULL;
    r->body = NULL;
}

void api_responses_free(struct api_responses *r)
{
    for (size_t i = 0; r && i < PLACES; i++)
        if (r->places[i].response)
            drop(&r->places[i]);
    free(r);
}

/* Names are constants: one that is written down twice is at worst taken for another. */
static bool is_like(const struct api_response *r, const struct api_pair *headers, size_t count,
                    size_t len)
{
    bool same = r->len == len && r->header_count == count;

    for (size_t i = 0; same && i < count; i++)
        same = r->headers[i].name == headers[i].name;
    return same;
}

static bool begin(struct api_response *r, const struct api_pair *headers, size_t count, size_t len)
{
    r->body = malloc(len + 1);
    r->response =
        r->body ? MHD_create_response_from_buffer(len, r->body, MHD_RESPMEM_PERSISTENT) : NULL;
    r->len = len;
    r->header_count = count;
    for (size_t i = 0; i < count; i++)
        r->headers[i] = (struct api_response_header){.name = headers[i].name};
    return r->response != NULL;
}

/* A value of the same length is written over the one that is there, libmicrohttpd's copy on the
 * heap (0.9.75), which nobody reads before the response is queued: to take it out and to add
 * another is six allocations' work. What the library would refuse in it is refused here. */
static bool set_header(struct api_response *r, struct api_response_header *h,
                       const struct api_pair *header)
{
    if (h->value && h->len == header->value_len) {
        if (memcmp(h->value, header->value, h->len) == 0)
            return true;
        bool good = !strpbrk(header->value, "\t\r\n");
        if (good)
            memcpy(h->value, header->value, h->len);
        return good;
    }
    if (h->value && !MHD_del_response_header(r->response, h->name, h->value))
        return false;
    if (MHD_get_response_header(r->response, h->name) || /* a name that is there twice */
        !MHD_add_response_header(r->response, h->name, header->value))
        return false;
    h->value = (char *)(uintptr_t)MHD_get_response_header(r->response, h->name);
    h->len = header->value_len;
    return true;
}

struct api_response *api_responses_take(struct api_responses *all, const struct api_pair *headers,
                                        size_t count, const char *body, size_t len)
{
    struct api_response *r = &all->places[len % PLACES];

    if (r->is_sent || len > BODY_MAX)
        return NULL;
    if (r->response && !is_like(r, headers, count, len))
        drop(r);
    bool good = r->response || begin(r, headers, count, len);
    for (size_t i = 0; good && i < count; i++)
        good = set_header(r, &r->headers[i], &headers[i]);
    if (!good) { /* half of it may be another answer's */
        drop(r);
        return NULL;
    }
    if (len)
        memcpy(r->body, body, len);
    r->is_sent = true;
    return r;
}

void api_response_give(struct api_response *response)
{
    if (response)
        response->is_sent = false;
}

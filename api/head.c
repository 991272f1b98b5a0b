#include "api/connection.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* What libmicrohttpd lets through and a proxy in front may read otherwise (RFC 9112 section 6.3,
 * RFC 9110 section 5.1): refused before anything else, and the connection closed. */

static bool is_token(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("!#$%&'*+-.^_`|~", name[i]))
            return false;
    return len > 0 && memchr(name, '\0', len) == NULL;
}

struct reading {
    struct api_head *head;
    struct api_request *request;
};

static enum MHD_Result read_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    struct reading *r = cls;
    struct api_head *h = r->head;
    const struct {
        const char *name;
        const char **value;
        unsigned *count; /* may be there once */
    } rows[] = {
        {"Authorization", &h->authorization, &h->authorizations},
        {"Content-Type", &h->content_type, NULL},
        {"Content-Length", &h->content_length, &h->lengths},
        {"Transfer-Encoding", &h->transfer_encoding, &h->encodings},
        {"Host", NULL, &h->hosts},
        {"X-Request-Id", &h->request_id, NULL},
        {"If-Match", &r->request->if_match, NULL},
        {"If-None-Match", &r->request->if_none_match, NULL},
    };

    (void)kind;
    if (!is_token(name, name_len))
        h->fault = "a header's name is not a token";
    if (value && strlen(value) != value_len)
        h->fault = "a header's value holds a NUL";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcasecmp(rows[i].name, name) != 0)
            continue;
        if (rows[i].value)
            *rows[i].value = value ? value : "";
        if (rows[i].count && ++*rows[i].count > 1)
            h->fault = "a header that may be there once is repeated";
    }
    return MHD_YES;
}

void api_head_read(struct api_head *head, struct api_request *request,
                   struct MHD_Connection *connection)
{
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, read_header,
                                &(struct reading){head, request});
    if (head->encodings && head->lengths)
        head->fault = "Transfer-Encoding and Content-Length are both there";
    else if (head->encodings && strcasecmp(head->transfer_encoding, "chunked") != 0)
        head->fault = "a Transfer-Encoding other than chunked";
    else if (head->lengths &&
             (strspn(head->content_length, "0123456789") != strlen(head->content_length) ||
              strlen(head->content_length) > 18 || !*head->content_length))
        head->fault = "Content-Length is not a number";
}

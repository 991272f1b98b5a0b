#include "api/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* zlib's way to say: with a gzip header */
#define LEVEL 1               /* a third of the time of the default, for a tenth more bytes */
#define MEMORY_LEVEL 8

struct api_gzip {
    z_stream stream;
};

static struct api_gzip *make(void)
{
    struct api_gzip *g = calloc(1, sizeof *g);

    if (g && deflateInit2(&g->stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
                          Z_DEFAULT_STRATEGY) != Z_OK) {
        free(g);
        return NULL;
    }
    return g;
}

bool api_gzip_body(struct buf *body, struct api_gzip **g)
{
    struct api_gzip *own = *g ? *g : make();

    *g = own;
    if (!own || body->len < 2 || body->len > API_GZIP_MAX || deflateReset(&own->stream) != Z_OK)
        return false;
    unsigned char *packed = malloc(body->len);
    if (!packed)
        return false;
    own->stream.next_in = (unsigned char *)body->data;
    own->stream.avail_in = (unsigned)body->len;
    own->stream.next_out = packed;
    own->stream.avail_out = (unsigned)body->len - 1; /* as much as is worth it */
    bool whole = deflate(&own->stream, Z_FINISH) == Z_STREAM_END;
    if (whole) {
        buf_reset(body);
        buf_add(body, packed, own->stream.total_out);
    }
    free(packed);
    return whole;
}

void api_gzip_free(struct api_gzip *g)
{
    if (g)
        deflateEnd(&g->stream);
    free(g);
}

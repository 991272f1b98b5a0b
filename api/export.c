#include "api/export.h"

#include "api/internal.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384

struct sending {
    struct store_export *e;
    enum store_export_format format;
    struct api_server *server;
    unsigned slot;
    struct store_usage usage; /* its bytes are those that were sent so far */
    struct buf piece;
    size_t sent; /* of the piece */
    uint64_t records;
    bool ended;
};

static ssize_t read_piece(void *cls, uint64_t pos, char *to, size_t max)
{
    struct sending *s = cls;

    (void)pos;
    if (s->sent == s->piece.len && !s->ended) {
        buf_reset(&s->piece);
        s->sent = 0;
        enum st st = store_export_text(&s->piece, &s->records, s->e, s->format, BLOCK_BYTES);
        s->ended = st == ST_END;
        if (st && !s->ended) {
            log_failure(LOG_LEVEL_ERROR, "export", "version %llu of %s was cut short",
                        (unsigned long long)store_export_version(s->e),
                        store_export_definition(s->e)->name);
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
    }
    size_t left = s->piece.len - s->sent, n = left < max ? left : max;
    if (n == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(to, s->piece.data + s->sent, n);
    s->sent += n;
    s->usage.bytes += n;
    return (ssize_t)n;
}

static void free_sending(void *cls)
{
    struct sending *s = cls;

    if (s->usage.bytes)
        api_usage_count(s->server->usage, s->slot, &s->usage, clock_wall_us());
    store_export_free(s->e);
    buf_release(&s->piece);
    free(s);
}

struct MHD_Response *api_export_response(const struct api_request *request, struct store_export *e,
                                         enum store_export_format format)
{
    struct sending *s = calloc(1, sizeof *s);

    if (!s) {
        store_export_free(e);
        return NULL;
    }
    *s = (struct sending){
        .e = e, .format = format, .server = request->server, .slot = request->slot};
    api_usage_of(&s->usage, request, 200);
    buf_init(&s->piece, BLOCK_BYTES + 8 * (size_t)STORE_ROW_MAX); /* JSON escapes */
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                                      read_piece, s, free_sending);
    if (!response)
        free_sending(s);
    return response;
}

#include "api/export.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384

struct sending {
    struct store_export *e;
    enum store_export_format format;
    struct api_exports *all;
    size_t place; /* among them */
    struct buf piece;
    size_t sent; /* of the piece */
    uint64_t records;
    bool ended;
};

enum st api_exports_check(struct api_exports *x, const char *tenant)
{
    size_t all = 0, theirs = 0;

    pthread_mutex_lock(&x->mutex);
    for (size_t i = 0; i < API_EXPORTS_MAX; i++) {
        all += x->tenants[i][0] != '\0';
        theirs += strcmp(x->tenants[i], tenant) == 0;
    }
    pthread_mutex_unlock(&x->mutex);
    return all == API_EXPORTS_MAX || theirs >= API_EXPORTS_OF_TENANT_MAX
               ? st_hint(st_fail(ST_UNAVAILABLE, "BUSY", "too many exports are being sent"),
                         "try again when one of them has ended")
               : ST_OK;
}

/* API_EXPORTS_MAX when there is none left: somebody was checked at the same time. */
static size_t take_place(struct api_exports *x, const char *tenant)
{
    size_t i = 0;

    pthread_mutex_lock(&x->mutex);
    while (i < API_EXPORTS_MAX && x->tenants[i][0])
        i++;
    if (i < API_EXPORTS_MAX)
        snprintf(x->tenants[i], sizeof x->tenants[i], "%s", tenant);
    pthread_mutex_unlock(&x->mutex);
    return i;
}

static void leave_place(struct api_exports *x, size_t i)
{
    pthread_mutex_lock(&x->mutex);
    if (i < API_EXPORTS_MAX)
        x->tenants[i][0] = '\0';
    pthread_mutex_unlock(&x->mutex);
}

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
    return (ssize_t)n;
}

static void free_sending(void *cls)
{
    struct sending *s = cls;

    leave_place(s->all, s->place);
    store_export_free(s->e);
    buf_release(&s->piece);
    free(s);
}

struct MHD_Response *api_export_response(struct api_exports *x, const char *tenant,
                                         struct store_export *e, enum store_export_format format)
{
    struct sending *s = calloc(1, sizeof *s);

    if (!s) {
        store_export_free(e);
        return NULL;
    }
    *s = (struct sending){.e = e, .format = format, .all = x, .place = take_place(x, tenant)};
    buf_init(&s->piece, BLOCK_BYTES + 8 * (size_t)STORE_ROW_MAX); /* JSON escapes */
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                                      read_piece, s, free_sending);
    if (!response)
        free_sending(s);
    return response;
}

#include "ingest/ndjson.h"

#include <string.h>

void ndjson_scan_init(struct ndjson_scan *s, const char *file)
{
    *s = (struct ndjson_scan){.file = file, .record_line = 1, .blank = true};
}

static enum st check_length(const struct ndjson_scan *s)
{
    if (s->offset - s->record_offset <= RECORD_MAX)
        return ST_OK;
    enum st st =
        st_fail(ST_INVALID, "NDJSON_RECORD_TOO_LONG", "%s line %llu: the line is longer than 1 MiB",
                s->file, (unsigned long long)s->record_line);
    return st_place(st_hint(st, "each record is a JSON object in a line of its own"), "%s:%llu",
                    s->file, (unsigned long long)s->record_line);
}

/* Bytes of one line, without its end. */
static enum st add(struct ndjson_scan *s, const char *bytes, size_t len)
{
    s->offset += len;
    for (size_t i = 0; s->blank && i < len; i++)
        s->blank = ndjson_is_blank(bytes[i]);
    return check_length(s);
}

enum st ndjson_scan_feed(struct ndjson_scan *s, const void *bytes, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    const char *p = bytes, *end = p + len;
    enum st st = ST_OK;
    while (p < end && s->bom < 3 && s->offset == s->bom && *p == mark[s->bom]) {
        s->bom++;
        s->offset++;
        p++;
    }
    if (s->bom == 3 && !s->body_offset)
        s->record_offset = s->body_offset = 3;
    else if (p < end && s->bom > 0 && s->offset == s->bom && s->bom < 3)
        s->blank = false;
    while (!st && p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        st = add(s, p, (size_t)((line_end ? line_end : end) - p));
        if (!line_end)
            break;
        s->offset++;
        s->records += !s->blank;
        s->record_offset = s->offset;
        s->record_line++;
        s->blank = true;
        p = line_end + 1;
    }
    return st;
}

void ndjson_scan_finish(struct ndjson_scan *s)
{
    s->records += !s->blank || (s->bom > 0 && s->bom < 3 && s->offset == s->bom);
    s->blank = true;
}

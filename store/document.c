#include "store/document.h"

#include "base/digest.h"
#include "base/fs.h"

#include <string.h>

#define DOCUMENT_MAX (64u << 20)
#define FIRST_LINE_BEGIN "{\"sha256\":\""
#define FIRST_LINE_END "\"}\n"
#define FIRST_LINE_LEN (strlen(FIRST_LINE_BEGIN) + DIGEST_HEX_SIZE - 1 + strlen(FIRST_LINE_END))

static enum st first_line(struct buf *out, const char *text, size_t len)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];

    digest_sha256(digest, text, len);
    digest_hex(hex, digest, sizeof digest);
    buf_addstr(out, FIRST_LINE_BEGIN);
    buf_addstr(out, hex);
    buf_addstr(out, FIRST_LINE_END);
    return buf_status(out);
}

enum st document_write(const char *path, const json_t *document, mode_t mode)
{
    struct buf text, file;

    buf_init(&text, DOCUMENT_MAX);
    buf_init(&file, DOCUMENT_MAX + 256);
    jx_write(&text, document, false);
    buf_addch(&text, '\n');
    enum st st = buf_status(&text);
    if (!st)
        st = first_line(&file, text.data, text.len);
    if (!st) {
        buf_add(&file, text.data, text.len);
        st = buf_status(&file);
    }
    if (!st)
        st = fs_write_atomic(path, file.data, file.len, mode);
    buf_release(&text);
    buf_release(&file);
    return st;
}

enum st document_read(json_t **out, const char *path)
{
    struct buf file, expected;

    *out = NULL;
    buf_init(&file, DOCUMENT_MAX + 256);
    buf_init(&expected, 256);
    enum st st = fs_read(&file, path);
    if (!st && file.len > FIRST_LINE_LEN) {
        st = first_line(&expected, file.data + FIRST_LINE_LEN, file.len - FIRST_LINE_LEN);
        if (!st && memcmp(expected.data, file.data, FIRST_LINE_LEN) == 0)
            st = jx_parse_object(out, file.data + FIRST_LINE_LEN, file.len - FIRST_LINE_LEN);
        else if (!st)
            st = ST_INVALID;
    } else if (!st) {
        st = ST_INVALID;
    }
    if (st == ST_INVALID || st == ST_TOO_LARGE)
        st = st_fail(ST_CORRUPT, "DOCUMENT_DAMAGED", "%s is damaged: its checksum does not hold",
                     path);
    buf_release(&file);
    buf_release(&expected);
    return st;
}

#include "api/trace.h"

#include "base/digest.h"

#include <string.h>

/* version "-" trace-id "-" parent-id "-" trace-flags, lower-case hexadecimal; later versions may go
 * on after it. */
#define PARENT_AT (API_TRACE_ID_AT + API_TRACE_ID_LEN + 1)
#define FLAGS_AT (PARENT_AT + 2 * API_SPAN_BYTES + 1)
#define LEN (API_TRACE_SIZE - 1)

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") >= len;
}

static bool is_zero(const char *text, size_t len)
{
    return strspn(text, "0") >= len;
}

bool api_trace_continue(char out[API_TRACE_SIZE], const char *header,
                        const unsigned char span[API_SPAN_BYTES])
{
    size_t len = strlen(header);
    bool first = strncmp(header, "00-", 3) == 0;

    if (len < LEN || (first && len != LEN) || (len > LEN && header[LEN] != '-') ||
        strncmp(header, "ff", 2) == 0 || !is_hex(header, 2) || header[2] != '-' ||
        !is_hex(header + API_TRACE_ID_AT, API_TRACE_ID_LEN) ||
        is_zero(header + API_TRACE_ID_AT, API_TRACE_ID_LEN) || header[PARENT_AT - 1] != '-' ||
        !is_hex(header + PARENT_AT, 2 * (size_t)API_SPAN_BYTES) ||
        is_zero(header + PARENT_AT, 2 * (size_t)API_SPAN_BYTES) || header[FLAGS_AT - 1] != '-' ||
        !is_hex(header + FLAGS_AT, 2))
        return false;
    memcpy(out, header, LEN);
    memcpy(out, "00", 2);
    digest_hex(out + PARENT_AT, span, API_SPAN_BYTES);
    out[FLAGS_AT - 1] = '-';
    out[LEN] = '\0';
    return true;
}

/* A payload, in the machine's byte order because it never leaves the process:
 *
 *   order | row length | row | for each rollup: tuple length | tuple | for each term but count(*):
 *   1 B kind of input or PAYLOAD_NULL, then unless null the input
 *
 * Lengths and integers are LEB128, these zigzag; a DOUBLE has 8 bytes. Every value has one form, so
 * that equal payloads under equal keys are one record; unequal ones contradict each other. `order`
 * is there when duplicates have one, and is what the bytes of payloads are compared by first: 0 for
 * null, 1 and 8 bytes big-endian, or 2 and text with 0 as 0 255, ended by 0 0. The judged metrics
 * are the last rollup, if they are there.
 */
#include "ingest/payload.h"

#include <endian.h>
#include <string.h>

#define VARINT_MAX 10

static size_t put_varint(unsigned char *out, uint64_t n)
{
    size_t len = 0;
    for (; n >= 0x80; n >>= 7)
        out[len++] = (unsigned char)(n | 0x80);
    out[len++] = (unsigned char)n;
    return len;
}

static uint64_t read_varint(const unsigned char **at)
{
    uint64_t n = 0;
    for (unsigned shift = 0;; shift += 7) {
        unsigned char c = *(*at)++;
        n |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return n;
    }
}

void payload_add_order(struct buf *out, enum store_type type, const struct store_value *v)
{
    uint64_t bits;
    buf_addch(out, (char)(v->null ? 0 : type == STORE_VARCHAR ? 2 : 1));
    if (v->null)
        return;
    if (type == STORE_VARCHAR) {
        for (size_t i = 0; i < v->as.text.len; i++) {
            buf_addch(out, v->as.text.bytes[i]);
            if (!v->as.text.bytes[i])
                buf_addch(out, '\xff');
        }
        buf_add(out, "\0", 2);
        return;
    }
    memcpy(&bits, &v->as, sizeof bits);
    if (type == STORE_DOUBLE && bits >> 63)
        bits = ~bits;
    else
        bits ^= 1ull << 63;
    bits = htobe64(bits);
    buf_add(out, &bits, sizeof bits);
}

static size_t order_len(const unsigned char *order)
{
    size_t len = 1;
    if (order[0] == 0)
        return len;
    if (order[0] == 1)
        return len + 8;
    while (order[len] || order[len + 1])
        len += order[len] ? 1 : 2;
    return len + 2;
}

void payload_end_long(struct buf *out, size_t begun)
{
    unsigned char bytes[VARINT_MAX];
    size_t len = out->len - begun, more = put_varint(bytes, len) - 1;
    if (!buf_reserve(out, more))
        return;
    memmove(out->data + begun + more, out->data + begun, len);
    memcpy(out->data + begun - 1, bytes, more + 1);
    out->len += more;
    out->data[out->len] = '\0';
}

void payload_add_input(struct buf *out, unsigned char kind, int64_t input)
{
    char *room = buf_reserve(out, 1 + VARINT_MAX);
    unsigned char *to = (unsigned char *)room;
    if (!room)
        return;
    *to++ = kind;
    if (kind == STORE_INPUT_DOUBLE) {
        memcpy(to, &input, sizeof input);
        to += sizeof input;
    } else if (kind != PAYLOAD_NULL) {
        to += put_varint(to, (uint64_t)input << 1 ^ (uint64_t)(input >> 63));
    }
    *to = '\0';
    out->len += (size_t)((char *)to - room);
}

bool payload_has_judged(const struct store_definition *definition)
{
    const struct store_rollup *r = &definition->judged;
    for (size_t m = 0; m < r->metric_count; m++)
        for (size_t k = 0; k < (r->metrics[m].ratio ? 2u : 1u); k++)
            if (r->metrics[m].terms[k].aggregate != STORE_COUNT_ALL)
                return true;
    return false;
}

struct payload payload_open(const struct store_definition *definition, const void *bytes)
{
    const unsigned char *at = bytes;
    if (definition->duplicate_order[0])
        at += order_len(at);
    size_t len = read_varint(&at);
    return (struct payload){at, len, at + len};
}

static void read_input(struct payload_inputs *inputs, size_t i, const unsigned char **at)
{
    unsigned char kind = *(*at)++;
    inputs->kinds[i] = kind;
    inputs->nulls[i] = kind == PAYLOAD_NULL;
    inputs->values[i] = 0;
    if (kind == STORE_INPUT_DOUBLE) {
        memcpy(&inputs->values[i], *at, sizeof inputs->values[i]);
        *at += sizeof inputs->values[i];
    } else if (kind != PAYLOAD_NULL) {
        uint64_t n = read_varint(at);
        inputs->values[i] = (int64_t)(n >> 1 ^ -(n & 1));
    }
}

void payload_inputs(const void **tuple, size_t *tuple_len, struct payload_inputs *inputs,
                    const unsigned char **at, const struct store_rollup *rollup)
{
    size_t i = 0;
    *tuple_len = read_varint(at);
    *tuple = *at;
    *at += *tuple_len;
    for (size_t m = 0; m < rollup->metric_count; m++)
        for (size_t k = 0; k < (rollup->metrics[m].ratio ? 2u : 1u); k++, i++)
            if (rollup->metrics[m].terms[k].aggregate != STORE_COUNT_ALL)
                read_input(inputs, i, at);
}

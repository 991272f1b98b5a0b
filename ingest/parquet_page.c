/* What stands before the bytes of a Parquet file's page: a struct of Thrift's compact protocol.
 *
 *   field   id as difference (4 bits), type (4 bits); difference 0: the id follows
 *   number  zigzag varint
 *   binary  length as varint, bytes
 *   list    size (4 bits; 15: it follows as varint), type of the elements (4 bits)
 *   map     size as varint; unless that is 0: types of keys and values (4 bits each)
 */
#include "ingest/parquet_page.h"

#define NESTED_MAX 16

enum {
    T_STOP,
    T_TRUE,
    T_FALSE,
    T_BYTE,
    T_I16,
    T_I32,
    T_I64,
    T_DOUBLE,
    T_BINARY,
    T_LIST,
    T_SET,
    T_MAP,
    T_STRUCT,
    T_UUID
};

struct thrift {
    const unsigned char *at, *end;
    bool bad; /* sticky: it ends too early, or is none */
};

static unsigned read_byte(struct thrift *t)
{
    if (t->bad || t->at == t->end) {
        t->bad = true;
        return 0;
    }
    return *t->at++;
}

static uint64_t read_varint(struct thrift *t)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned byte = read_byte(t);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    t->bad = true;
    return 0;
}

static int64_t read_number(struct thrift *t)
{
    uint64_t value = read_varint(t);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static void skip_bytes(struct thrift *t, uint64_t count)
{
    if (t->bad || count > (uint64_t)(t->end - t->at))
        t->bad = true;
    else
        t->at += count;
}

/* The type of the next field, whose id is *id then; T_STOP: there is none. */
static unsigned read_field(struct thrift *t, uint64_t *id)
{
    unsigned byte = read_byte(t);
    if (t->bad || (byte & 15) == T_STOP)
        return T_STOP;
    *id = byte >> 4 ? *id + (byte >> 4) : (uint64_t)read_number(t);
    return byte & 15;
}

static void skip_value(struct thrift *t, unsigned type, unsigned depth);

static void skip_struct(struct thrift *t, unsigned depth)
{
    uint64_t id = 0;
    for (unsigned type; (type = read_field(t, &id)) != T_STOP;)
        skip_value(t, type, depth);
}

/* Truths have a byte here, which they have not as fields. */
static void skip_elements(struct thrift *t, unsigned type, uint64_t count, unsigned depth)
{
    for (uint64_t i = 0; i < count && !t->bad; i++)
        if (type == T_TRUE || type == T_FALSE)
            skip_bytes(t, 1);
        else
            skip_value(t, type, depth);
}

static void skip_list(struct thrift *t, unsigned depth)
{
    unsigned byte = read_byte(t);
    uint64_t count = byte >> 4 == 15 ? read_varint(t) : byte >> 4;
    skip_elements(t, byte & 15, count, depth);
}

static void skip_map(struct thrift *t, unsigned depth)
{
    uint64_t count = read_varint(t);
    unsigned types = count ? read_byte(t) : 0;
    for (uint64_t i = 0; i < count && !t->bad; i++) {
        skip_elements(t, types >> 4, 1, depth);
        skip_elements(t, types & 15, 1, depth);
    }
}

static void skip_value(struct thrift *t, unsigned type, unsigned depth)
{
    if (depth == NESTED_MAX)
        t->bad = true;
    else if (type == T_BYTE)
        skip_bytes(t, 1);
    else if (type == T_I16 || type == T_I32 || type == T_I64)
        (void)read_varint(t);
    else if (type == T_DOUBLE)
        skip_bytes(t, 8);
    else if (type == T_BINARY)
        skip_bytes(t, read_varint(t));
    else if (type == T_LIST || type == T_SET)
        skip_list(t, depth + 1);
    else if (type == T_MAP)
        skip_map(t, depth + 1);
    else if (type == T_STRUCT)
        skip_struct(t, depth + 1);
    else if (type == T_UUID)
        skip_bytes(t, 16);
    else if (type != T_TRUE && type != T_FALSE)
        t->bad = true;
}

/* A data page's own header; only that of version 2 says the rows. */
static void read_counts(struct parquet_page *out, struct thrift *t, bool rows)
{
    enum { VALUES = 1, ROWS = 3 };
    uint64_t id = 0;
    for (unsigned type; (type = read_field(t, &id)) != T_STOP;)
        if (id == VALUES && type == T_I32)
            out->values = read_number(t);
        else if (id == ROWS && type == T_I32 && (out->has_rows = rows))
            out->rows = read_number(t);
        else
            skip_value(t, type, 1);
}

bool parquet_page_read(struct parquet_page *out, const unsigned char *bytes, size_t len)
{
    enum { COMPRESSED_SIZE = 3, CRC = 4, DATA = 5, DATA_V2 = 8 };
    struct thrift t = {bytes, bytes + len, false};
    uint64_t id = 0;
    *out = (struct parquet_page){.bytes = -1};
    for (unsigned type; (type = read_field(&t, &id)) != T_STOP;) {
        if (id == COMPRESSED_SIZE && type == T_I32) {
            out->bytes = read_number(&t);
        } else if (id == CRC && type == T_I32) {
            out->crc = (uint32_t)read_number(&t);
            out->has_crc = true;
        } else if ((id == DATA || id == DATA_V2) && type == T_STRUCT) {
            read_counts(out, &t, id == DATA_V2);
        } else {
            skip_value(&t, type, 0);
        }
    }
    out->header_bytes = (size_t)(t.at - bytes);
    return !t.bad && out->bytes >= 0 && out->values >= 0 && out->rows >= 0;
}

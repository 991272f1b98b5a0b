/* One record after the other out of a piece of a file, as fields, or as why it has none.
 * Room-private. */
#ifndef EVERLINE_INGEST_RECORDS_H
#define EVERLINE_INGEST_RECORDS_H

#include "store/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_MAX (1u << 20)               /* bytes of one record */
#define RECORD_SCRATCH_MAX (2 * RECORD_MAX) /* of its texts; as much as a list can become */

/* Why a record cannot be read. */
enum record_fault {
    RECORD_GOOD,
    RECORD_SHORT,     /* fewer fields than columns */
    RECORD_LONG,      /* more */
    RECORD_UTF8,      /* not RFC 3629 */
    RECORD_CAST,      /* a value is not of its column's declared type */
    RECORD_JSON,      /* not JSON (RFC 8259) */
    RECORD_OBJECT,    /* JSON, but no object */
    RECORD_DUPLICATE, /* a member is there twice */
    RECORD_MEMBER,    /* a member that the source does not declare, and it said it declares all */
    RECORD_NUL,       /* a text has U+0000 */
    RECORD_FAULTS
};

struct record_reader {
    /* Set by the caller. */
    const struct store_source *source;
    size_t columns;
    const size_t *order; /* CSV: the field of the file's i-th column; NULL: they are in order */
    const unsigned char *shapes; /* by field: RECORD_ANY, or what alone will do */
    const char *at, *end;        /* what is left of the piece: whole records */
    const char *window; /* CSV: 64 bytes that were looked at; NULL: none are, of this piece */
    uint64_t next_line; /* of `at` */
    bool valid_utf8;    /* all of the piece is */
    /* The record. A field without bytes is null; borrowed until the next one. */
    struct store_text *fields;
    uint64_t line; /* where it begins */
    enum record_fault fault;
    size_t column; /* at fault: from 1; of CSV in the file, of NDJSON among the declared; 0: none */
    /* Memory for texts that are not in the piece as they are. */
    char *scratch; /* RECORD_SCRATCH_MAX bytes */
    size_t scratch_len;
    bool *seen;     /* NDJSON: by field */
    uint64_t marks; /* CSV: where delimiters and line ends are in the window */
};

#define RECORD_ANY 0u
#define RECORD_INTEGER 1u
#define RECORD_UTC 2u     /* of times: none has another offset, */
#define RECORD_OFFSET 3u  /* or none has a zone's name */
#define RECORD_LIST 4u    /* NDJSON: a list, whose elements become texts */
#define RECORD_DATE 5u    /* nothing is behind it but midnight */
#define RECORD_BIGNUM 6u  /* digits: of others 1.4.4 fails to cast it, instead of giving null */
#define RECORD_DECIMAL 7u /* + digits behind the point */

/* What all of a text must be made of, so that DuckDB's cast takes nothing else for it: it rounds,
 * knows other notations, and leaves away what it does not understand. Whether it is such a value at
 * all is seen when it is cast. Quotes are those of a JSON string, which only SQL sees. In SQL this
 * is "#shaped" (ingest/duck_shaped.c): a text is taken, or is not, wherever it comes from. */
bool record_has_shape_of(unsigned char shape, const char *bytes, size_t len);

/* 1.5, 1e3, 0x1F and 1_000 are integers to a reader that rounds and guesses, not to us. */
static inline bool record_is_integer(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((bytes[i] < '0' || bytes[i] > '9') && bytes[i] != '-' && bytes[i] != '+')
            return record_has_shape_of(RECORD_INTEGER, bytes + i, len - i);
    return true;
}

static inline bool record_has_shape(unsigned char shape, const char *bytes, size_t len)
{
    if (shape == RECORD_ANY || shape == RECORD_LIST)
        return true;
    return shape == RECORD_INTEGER ? record_is_integer(bytes, len)
                                   : record_has_shape_of(shape, bytes, len);
}

/* The shape that texts of a type have, which has DuckDB's own name; `scale` is a DECIMAL's. */
unsigned char record_shape(const char *type, unsigned scale);

#endif

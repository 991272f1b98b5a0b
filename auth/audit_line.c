#include "auth/audit_line.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NAME ",\"hash\":\""
#define HASH_NAME_LEN (sizeof HASH_NAME - 1)
#define TAIL_LEN (HASH_NAME_LEN + 2 * DIGEST_BYTES + 2) /* to the closing brace */
#define SEQUENCE_NAME "{\"seq\":"
#define AT_NAME ",\"at\":\""

/* Texts are mostly of clients: one that is not UTF-8 must neither stop the audit nor take the
 * line's others with it. */
static void add_text(struct buf *out, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    size_t name_len = strlen(name);
    char *at = buf_reserve(out, name_len + 4);
    if (!at)
        return;
    memcpy(at, ",\"", 2);
    memcpy(at + 2, name, name_len);
    memcpy(at + 2 + name_len, "\":", 2);
    out->len += name_len + 4;
    out->data[out->len] = '\0';
    buf_add_json_string(out, text, strlen(text));
    if (out->status == ST_INVALID) {
        out->status = ST_OK;
        buf_addstr(out, "\"(not UTF-8)\"");
    }
}

static void add_key(struct buf *out, const unsigned char *key, const struct digest_hmac *hmac)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[2 * AUDIT_KEY_BYTES + 1];

    digest_hmac_sum(digest, hmac, key, AUDIT_KEY_BYTES);
    digest_hex(hex, digest, AUDIT_KEY_BYTES);
    buf_addch(out, '"');
    buf_add(out, hex, 2 * AUDIT_KEY_BYTES);
    buf_addch(out, '"');
}

static void add_keys(struct buf *out, const struct audit_record *r, const struct digest_hmac *hmac)
{
    if (!r->key_count || !hmac)
        return;
    add_text(out, "key_id", r->key_id);
    buf_addstr(out, ",\"keys\":[");
    for (uint32_t i = 0; i < r->key_count; i++) {
        if (i)
            buf_addch(out, ',');
        add_key(out, r->keys + (size_t)i * AUDIT_KEY_BYTES, hmac);
    }
    buf_addstr(out, "],\"found\":\"");
    for (uint32_t i = 0; i < r->key_count; i++)
        buf_addch(out, r->found[i] ? '1' : '0');
    buf_addch(out, '"');
}

static enum st add_hash(struct buf *out, size_t start, unsigned char hash[DIGEST_BYTES])
{
    char hex[DIGEST_HEX_SIZE];
    enum st st = buf_status(out);

    if (st)
        return st;
    digest_chain(hash, out->data + start, out->len - start);
    digest_hex(hex, hash, DIGEST_BYTES);
    buf_addstr(out, HASH_NAME);
    buf_add(out, hex, 2 * DIGEST_BYTES);
    buf_add(out, "\"}\n", 3);
    return buf_status(out);
}

enum st audit_line_write(struct buf *out, unsigned char hash[DIGEST_BYTES], uint64_t sequence,
                         const struct audit_record *r, const struct digest_hmac *hmac)
{
    size_t start = out->len;
    char at[CLOCK_TEXT_SIZE];

    clock_format(at, r->at_us);
    buf_addstr(out, SEQUENCE_NAME);
    buf_addu64(out, sequence);
    buf_addstr(out, AT_NAME);
    buf_add(out, at, AUDIT_AT_TEXT);
    buf_addch(out, '"');
    add_text(out, "event", r->event);
    add_text(out, "dataset", r->dataset);
    if (r->version) {
        buf_addstr(out, ",\"version\":");
        buf_addu64(out, r->version);
    }
    if (r->status) {
        buf_addstr(out, ",\"status\":");
        buf_addu64(out, r->status);
    }
    add_text(out, "outcome", r->outcome);
    add_text(out, "target", r->target);
    add_text(out, "actor", r->actor);
    add_text(out, "subject", r->subject);
    add_text(out, "token_id", r->token_id);
    add_text(out, "address", r->address);
    add_text(out, "request_id", r->request_id);
    add_text(out, "purpose", r->purpose);
    add_text(out, "reason", r->reason);
    add_keys(out, r, hmac);
    return add_hash(out, start, hash);
}

/* ---- reading ---- */

uint64_t audit_line_sequence(const char *line, size_t len)
{
    size_t skip = sizeof SEQUENCE_NAME - 1;

    return len > TAIL_LEN && memcmp(line, SEQUENCE_NAME, skip) == 0
               ? strtoull(line + skip, NULL, 10)
               : 0;
}

const char *audit_line_at(const char *line, size_t len)
{
    const char *found = len > TAIL_LEN ? memmem(line, len < 64 ? len : 64, AT_NAME, 7) : NULL;

    return found && (size_t)(found - line) + 7 + AUDIT_AT_TEXT < len ? found + 7 : NULL;
}

enum st audit_line_check(unsigned char hash[DIGEST_BYTES], uint64_t sequence, const char *line,
                         size_t len)
{
    unsigned char sum[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    const char *tail = line + len - TAIL_LEN;

    if (audit_line_sequence(line, len) != sequence)
        return st_fail(ST_CORRUPT, "AUDIT_DAMAGED", "line %llu is not there",
                       (unsigned long long)sequence);
    memcpy(sum, hash, sizeof sum);
    digest_chain(sum, line, len - TAIL_LEN);
    digest_hex(hex, sum, sizeof sum);
    if (memcmp(tail, HASH_NAME, HASH_NAME_LEN) != 0 ||
        memcmp(tail + HASH_NAME_LEN, hex, 2 * DIGEST_BYTES) != 0 ||
        memcmp(line + len - 2, "\"}", 2) != 0)
        return st_fail(ST_CORRUPT, "AUDIT_DAMAGED", "line %llu does not follow the one before it",
                       (unsigned long long)sequence);
    memcpy(hash, sum, sizeof sum);
    return ST_OK;
}

void audit_line_origin(unsigned char hash[DIGEST_BYTES], const char *tenant, unsigned chain)
{
    char text[160];
    int n = snprintf(text, sizeof text, "everline audit 1\n%.63s\n%u\n", tenant, chain);

    digest_sha256(hash, text, (size_t)n);
}

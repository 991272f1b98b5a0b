/* A tenant's audit from nobody. The lowest bit of the first byte says what the rest is:
 *
 *   0  a file, as somebody may have changed it: read forwards and backwards it has the same lines;
 *      verification and search come to an end, and find only what is there
 *   1  the texts of lookups: as they are written, verification has nothing to say and search finds
 *      each, by any of its texts and a page at a time; with the byte changed that the three bytes
 *      after the first one choose, or with the last line cut off, verification tells */
#include "auth/audit_file.h"
#include "auth/audit_line.h"
#include "auth/audit_search.h"
#include "auth/audit_verify.h"
#include "base/fs.h"
#include "base/utf8.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_US 1767225600000000 /* 2026-01-01 */
#define RECORDS_MAX 16
#define KEYS_MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/everline-fuzz-XXXXXX", file_path[FS_PATH_MAX];
static struct digest_hmac *hmac;

static void require(bool held)
{
    if (!held)
        abort();
}

static void remove_directory(void)
{
    require(fs_remove_tree(directory) == ST_OK);
}

static void make_directory(void)
{
    struct secret key = {.bytes = (unsigned char *)"thirty-two bytes to audit keys.", .len = 32};
    char path[FS_PATH_MAX];

    require(mkdtemp(directory) != NULL);
    require(atexit(remove_directory) == 0);
    require(fs_path(path, "%s/fuzz", directory) == ST_OK);
    require(fs_mkdir(path, 0700) == ST_OK);
    require(fs_path(file_path, "%s/" AUDIT_FILE_FORMAT, path, 1u, 1ull) == ST_OK);
    require(digest_hmac_new(&hmac, &key) == ST_OK);
}

/* Over what is there, and never to nothing: ext4 would sync it. */
static void write_file(const char *text, size_t len)
{
    static int fd = -1;

    if (fd < 0)
        fd = open(file_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    require(fd >= 0 && pwrite(fd, text, len, 0) == (ssize_t)len && ftruncate(fd, (off_t)len) == 0);
}

static void count_fault(const char *file, uint64_t line, const char *what, void *ctx)
{
    (void)line;
    require(file[0] && what[0]);
    ++*(size_t *)ctx;
}

/* How many faults there are; `head` is what the catalog knows, or NULL. */
static size_t verify(uint64_t *lines, const struct audit_head *head)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    size_t faults = 0;

    *lines = 0;
    if (head)
        anchor.head = *head;
    require(audit_verify(lines, directory, "fuzz", &anchor, 1, count_fault, &faults) == ST_OK);
    return faults;
}

static bool sees_all(const char *dataset, void *ctx)
{
    (void)dataset, (void)ctx;
    return true;
}

static enum st go_on(void *ctx)
{
    (void)ctx;
    return ST_OK;
}

/* All that is found, newest first, in pages of `limit`. */
static json_t *search(struct audit_query q, size_t limit)
{
    struct audit_place place = {.at = ""};
    json_t *all = json_array();
    bool more = true;

    q.limit = limit;
    q.sees_fn = sees_all;
    q.max_bytes = AUDIT_SEARCH_BYTES;
    while (more) {
        json_t *items = NULL;
        require(audit_search(&items, &more, &place, directory, "fuzz", &q, go_on, NULL) == ST_OK);
        require(json_array_size(items) <= limit && (!more || json_array_size(items) == limit));
        for (size_t i = 0; i < json_array_size(items); i++) {
            const json_t *item = json_array_get(items, i);
            require(json_is_object(item) && !json_object_get(item, "hash"));
            require(json_integer_value(json_object_get(item, "chain")) == 1);
        }
        require(json_array_extend(all, items) == 0);
        json_decref(items);
    }
    return all;
}

static size_t found(struct audit_query q)
{
    json_t *all = search(q, 1000);
    size_t n = json_array_size(all);

    json_decref(all);
    return n;
}

/* ---- a file that somebody changed ---- */

static void check_line(const struct audit_text *line)
{
    unsigned char hash[DIGEST_BYTES] = {0};
    uint64_t sequence = audit_line_sequence(line->bytes, line->len);
    const char *at = audit_line_at(line->bytes, line->len);

    require(!at || (at >= line->bytes && at + AUDIT_AT_TEXT < line->bytes + line->len));
    if (sequence && audit_line_check(hash, sequence, line->bytes, line->len) == ST_OK) {
        unsigned char said[DIGEST_BYTES];
        require(audit_line_hash(said, line->bytes, line->len) == ST_OK);
        require(memcmp(said, hash, sizeof said) == 0);
    }
}

static void read_both_ways(void)
{
    char path[FS_PATH_MAX];
    struct audit_file forwards = {0}, backwards = {0};
    struct audit_text line, other;
    size_t count = 0;

    require(fs_path(path, "%s/fuzz", directory) == ST_OK);
    require(audit_file_read(&forwards, path, 1, 1) == ST_OK);
    require(audit_file_read(&backwards, path, 1, 1) == ST_OK);
    backwards.at = backwards.text.len;
    while (audit_file_before(&other, &backwards))
        count++;
    while (audit_file_next(&line, &forwards)) {
        require(count-- > 0);
        require(!memchr(line.bytes, '\n', line.len));
        check_line(&line);
        backwards.at = forwards.at;
        require(audit_file_before(&other, &backwards));
        require(other.len == line.len && memcmp(other.bytes, line.bytes, line.len) == 0);
    }
    require(count == 0);
    audit_file_release(&forwards);
    audit_file_release(&backwards);
}

static void check_changed(const char *text, size_t len)
{
    static const char KEY[] = "00112233445566778899aabbccddeeff";
    uint64_t lines;

    write_file(text, len);
    read_both_ways();
    (void)verify(&lines, NULL);
    json_t *all = search((struct audit_query){.limit = 0}, 2);
    require(json_array_size(all) <= lines);
    json_decref(all);
    require(found((struct audit_query){.key = KEY}) <= lines);
    require(found((struct audit_query){.event = "lookup", .subject = "s"}) <= lines);
}

/* ---- one that was written ---- */

/* The texts of one lookup, cut out of the input at its line ends. */
struct texts {
    char dataset[64], purpose[64], subject[64];
};

static void take_text(char out[64], const char **at, const char *end)
{
    const char *line_end = memchr(*at, '\n', (size_t)(end - *at));
    size_t len = (size_t)((line_end ? line_end : end) - *at);

    snprintf(out, 64, "%.*s", (int)(len < 63 ? len : 63), *at);
    if (!utf8_is_valid(out, strlen(out)))
        out[0] = '\0';
    *at = line_end ? line_end + 1 : end;
}

static void write_lines(struct buf *out, struct audit_head heads[RECORDS_MAX], struct texts *texts,
                        size_t count)
{
    unsigned char hash[DIGEST_BYTES], keys[KEYS_MAX * AUDIT_KEY_BYTES] = {0}, hits[KEYS_MAX] = {1};

    audit_line_origin(hash, "fuzz", 1);
    for (size_t i = 0; i < count; i++) {
        struct audit_record r = {.at_us = START_US + (int64_t)(i / 2), /* some at the same time */
                                 .event = "lookup",
                                 .dataset = texts[i].dataset,
                                 .purpose = texts[i].purpose,
                                 .subject = texts[i].subject,
                                 .keys = keys,
                                 .found = hits,
                                 .key_count = (uint32_t)(i % (KEYS_MAX + 1))};
        keys[0] = (unsigned char)i;
        require(audit_line_write(out, hash, i + 1, &r, hmac) == ST_OK);
        heads[i].sequence = i + 1;
        memcpy(heads[i].hash, hash, sizeof hash);
    }
}

static size_t count_of(const struct texts *texts, size_t count, const char *subject)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += strcmp(texts[i].subject, subject) == 0;
    return n;
}

static void check_searched(const struct texts *texts, size_t count)
{
    json_t *all = search((struct audit_query){.limit = 0}, 1000);
    json_t *paged = search((struct audit_query){.limit = 0}, 3);

    require(json_array_size(all) == count && json_equal(all, paged));
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(all, count - 1 - i);
        const char *purpose = json_string_value(json_object_get(item, "purpose"));
        require(json_integer_value(json_object_get(item, "seq")) == (json_int_t)(i + 1));
        require(strcmp(purpose ? purpose : "", texts[i].purpose) == 0);
        const char *key = json_string_value(json_array_get(json_object_get(item, "keys"), 0));
        require((key != NULL) == (i % (KEYS_MAX + 1) != 0));
        if (key)
            require(found((struct audit_query){.key = key}) >= 1);
        if (texts[i].subject[0])
            require(found((struct audit_query){.subject = texts[i].subject}) ==
                    count_of(texts, count, texts[i].subject));
    }
    json_decref(all);
    json_decref(paged);
}

static void check_written(const uint8_t choice[3], const char *at, const char *end)
{
    struct texts texts[RECORDS_MAX];
    struct audit_head heads[RECORDS_MAX];
    struct buf text;
    size_t count = 0;
    uint64_t lines;

    while (at < end && count < RECORDS_MAX) {
        take_text(texts[count].dataset, &at, end);
        take_text(texts[count].purpose, &at, end);
        take_text(texts[count++].subject, &at, end);
    }
    buf_init(&text, 1u << 20);
    write_lines(&text, heads, texts, count);
    require(buf_status(&text) == ST_OK);
    write_file(text.data ? text.data : "", text.len);
    require(verify(&lines, count ? &heads[count - 1] : NULL) == 0 && lines == count);
    check_searched(texts, count);
    if (count) {
        size_t place = ((size_t)choice[0] | (size_t)choice[1] << 8) % text.len;
        char kept = text.data[place];
        text.data[place] = (char)(kept ^ (choice[2] ? choice[2] : 1));
        write_file(text.data, text.len);
        require(verify(&lines, &heads[count - 1]) > 0);
        text.data[place] = kept;
        const char *last = text.len > 1 ? memrchr(text.data, '\n', text.len - 1) : NULL;
        write_file(text.data, last ? (size_t)(last + 1 - text.data) : 0);
        require(verify(&lines, &heads[count - 1]) > 0);
    }
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    if (!hmac)
        make_directory();
    if (size == 0)
        return 0;
    if (!(data[0] & 1))
        check_changed(text + 1, size - 1);
    else if (size > 4)
        check_written(data + 1, text + 4, text + size);
    return 0;
}

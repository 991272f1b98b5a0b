/* The files of a tenant's audit as readers see them: AUDIT/<tenant>/<chain>-<first>.jsonl. */
#ifndef EVERLINE_AUTH_AUDIT_FILE_H
#define EVERLINE_AUTH_AUDIT_FILE_H

#include "auth/audit_line.h"
#include "base/fs.h"

#define AUDIT_FILE_FORMAT "%u-%012llu.jsonl"
#define AUDIT_FILE_MAX (256u << 20) /* bytes */

struct audit_name {
    unsigned chain;
    uint64_t first; /* sequence of its first line */
};

struct audit_names { /* by chain, then by sequence */
    struct audit_name *list;
    size_t count;
};

/* Of one chain; 0: of all. A missing directory has none. */
enum st audit_names_list(struct audit_names *out, const char *directory,
                         unsigned chain) ST_MUST_USE;
void audit_names_release(struct audit_names *names);

/* The directories below that of all audits: tenants, also deleted ones, for their audit stays, and
 * what others have put there, whose names need not be tenants'. A missing one has none.
 * fs_list_free. */
enum st audit_tenants_list(struct fs_list *out, const char *directory) ST_MUST_USE;

struct audit_text {
    const char *bytes; /* of one line, without its newline */
    size_t len;
};

struct audit_file {
    struct buf text;
    size_t at;
};

/* Reads a whole file. A line that has no newline yet is none. */
enum st audit_file_read(struct audit_file *out, const char *directory, unsigned chain,
                        uint64_t first) ST_MUST_USE;
void audit_file_release(struct audit_file *file);
/* The next line; or, from the end (`at` is text.len first), the one before. Borrowed. */
bool audit_file_next(struct audit_text *line, struct audit_file *file);
bool audit_file_before(struct audit_text *line, struct audit_file *file);

/* The time of a file's first line, "" when it has none of ours, without reading the others. */
void audit_file_begins(char at[AUDIT_AT_TEXT + 1], const char *directory, unsigned chain,
                       uint64_t first);

/* The hash that a line ends with; not checked. ST_CORRUPT when it ends otherwise. */
enum st audit_line_hash(unsigned char hash[DIGEST_BYTES], const char *line, size_t len) ST_MUST_USE;

#endif

/* A task: all that a child is told, on its stdin: the HMAC key, then one JSON document. The key
 * goes beside the document as it is, because a JSON library leaves copies behind; never on a
 * command line or in the environment. Room-private. */
#ifndef EVERLINE_INGEST_TASK_H
#define EVERLINE_INGEST_TASK_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "store/definition.h"

#define TASK_FILES_MAX 10000
#define TASK_MAX (16u << 20) /* bytes of JSON */
#define TASK_KEY_MAX 4096
#define TASK_THREADS_MAX 1024
#define TASK_INFLATE_RATIO 200
#define TASK_SEGMENT "segment.mdb" /* the file that a build leaves in the directory */

/* What makes a file the same file: it must not change between the command and the last read. */
struct task_stamp {
    uint64_t device, inode, bytes;
    int64_t mtime_ns, ctime_ns;
};

struct task_file {
    char *path;  /* absolute */
    char *label; /* what its giver calls it; for messages */
    struct task_stamp stamp;
    unsigned inflate_ratio; /* that of the task */
};

struct task_source {
    struct task_file *files;
    size_t file_count;
};

struct task {
    json_t *document; /* the definition's, owned */
    struct store_definition *definition;
    struct task_source sources[STORE_SOURCES_MAX]; /* as definition->sources */
    char tenant[STORE_NAME_SIZE];
    char key_id[STORE_NAME_SIZE]; /* "" when unprotected */
    struct secret hmac_key;       /* empty when unprotected */
    char directory[FS_PATH_MAX];  /* where a build writes; "" otherwise */
    uint64_t memory_bytes;
    uint64_t disk_bytes; /* of all that a build writes, for the parent to watch; 0: no limit */
    unsigned threads;
    /* Set before files are added: to what multiple of its size a compressed file may inflate; 0:
     * TASK_INFLATE_RATIO. */
    unsigned inflate_ratio;
};

void task_release(struct task *t); /* accepts a zeroed struct; wipes the key */

/* Takes a definition's document (a reference) and parses it. */
enum st task_define(struct task *t, json_t *document) ST_MUST_USE;
/* A regular file that can be read and is not there yet. `label` (NULL: the path) is all that
 * messages tell of it. Its path has no wildcards, which DuckDB would follow to other files. */
enum st task_add_file(struct task *t, size_t source, const char *path,
                      const char *label) ST_MUST_USE;

/* To a child. One that died meanwhile is no failure here: its end says more. */
enum st task_send(int fd, const struct task *t) ST_MUST_USE;
/* In the child: all that there is until the end of the pipe, into a zeroed task. */
enum st task_receive(struct task *t, int fd) ST_MUST_USE;

/* ST_CONFLICT, code SOURCE_CHANGED, when the open file is not what the stamp says. Not seen is a
 * change that keeps the size within one tick of the file system's clock (4 ms and more before Linux
 * 6.13) of when the file was written and named. */
enum st task_stamp_check(const struct task_file *f, int fd) ST_MUST_USE;
/* Opens the file that has its name now: the same, and SOURCE_CHANGED also when there is none. *fd
 * is -1 after a failure. */
enum st task_file_open(int *fd, const struct task_file *f) ST_MUST_USE;
enum st task_file_check(const struct task_file *f) ST_MUST_USE;

/* Its name without directories. Borrowed. */
const char *task_file_name(const struct task_file *f);

#endif

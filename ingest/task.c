#include "ingest/task.h"

#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void task_release(struct task *t)
{
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++) {
        for (size_t j = 0; j < t->sources[i].file_count; j++) {
            free(t->sources[i].files[j].path);
            free(t->sources[i].files[j].label);
        }
        free(t->sources[i].files);
    }
    store_definition_free(t->definition);
    json_decref(t->document);
    secret_release(&t->hmac_key);
    memset(t, 0, sizeof *t);
}

enum st task_define(struct task *t, json_t *document)
{
    t->document = json_incref(document);
    return store_definition_parse(&t->definition, document);
}

static enum st stamp_of(struct task_stamp *out, int fd, const char *label)
{
    struct stat file;
    if (fstat(fd, &file))
        return st_fail_errno(errno, "cannot read %s", label);
    if (!S_ISREG(file.st_mode))
        return st_hint(st_fail(ST_INVALID, "SOURCE_FILE", "%s is not a regular file", label),
                       "name files, or a glob of them: DIR/*.csv");
    *out = (struct task_stamp){
        .device = (uint64_t)file.st_dev,
        .inode = (uint64_t)file.st_ino,
        .bytes = (uint64_t)file.st_size,
        .mtime_ns = (int64_t)file.st_mtim.tv_sec * 1000000000 + file.st_mtim.tv_nsec,
        .ctime_ns = (int64_t)file.st_ctim.tv_sec * 1000000000 + file.st_ctim.tv_nsec,
    };
    return ST_OK;
}

enum st task_stamp_check(const struct task_file *f, int fd)
{
    struct task_stamp now;
    enum st st = stamp_of(&now, fd, f->label);
    if (st)
        return st;
    if (now.device != f->stamp.device || now.inode != f->stamp.inode ||
        now.bytes != f->stamp.bytes || now.mtime_ns != f->stamp.mtime_ns ||
        now.ctime_ns != f->stamp.ctime_ns)
        return st_hint(
            st_fail(ST_CONFLICT, "SOURCE_CHANGED", "%s changed while it was read", f->label),
            "ingest files that nobody writes to any more: rename them into place");
    return ST_OK;
}

enum st task_file_open(int *fd, const struct task_file *f)
{
    enum st st;
    /* Of a FIFO, which may be there by now, it would wait for whoever writes. */
    *fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0 && errno == ENOENT)
        return st_hint(
            st_fail(ST_CONFLICT, "SOURCE_CHANGED", "%s was removed while it was read", f->label),
            "leave files where they are until the ingest has ended");
    st = *fd < 0 ? st_fail_errno(errno, "cannot read %s", f->label) : task_stamp_check(f, *fd);
    if (st)
        fs_close(fd);
    return st;
}

enum st task_file_check(const struct task_file *f)
{
    int fd;
    enum st st = task_file_open(&fd, f);
    fs_close(&fd);
    return st;
}

const char *task_file_name(const struct task_file *f)
{
    const char *slash = strrchr(f->path, '/');
    return slash ? slash + 1 : f->path;
}

static enum st append(struct task *t, size_t source, const struct task_file *file)
{
    struct task_source *s = &t->sources[source];
    size_t total = 0;
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
        total += t->sources[i].file_count;
    if (total >= TASK_FILES_MAX)
        return st_fail(ST_TOO_LARGE, NULL, "more than %d files in one batch", TASK_FILES_MAX);
    struct task_file *files = realloc(s->files, (s->file_count + 1) * sizeof *files);
    if (!files)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    s->files = files;
    s->files[s->file_count] = *file;
    s->files[s->file_count++].inflate_ratio = t->inflate_ratio;
    return ST_OK;
}

static const struct task_file *same_file(const struct task *t, const struct task_stamp *stamp)
{
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
        for (size_t j = 0; j < t->sources[i].file_count; j++) {
            const struct task_file *f = &t->sources[i].files[j];
            if (f->stamp.device == stamp->device && f->stamp.inode == stamp->inode)
                return f;
        }
    return NULL;
}

enum st task_add_file(struct task *t, size_t source, const char *path, const char *label)
{
    struct task_file file = {0};
    enum st st = ST_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    label = label ? label : path;
    if (fd < 0) {
        int rc = errno;
        st = st_fail_errno(rc, "cannot read %s", label);
        return rc == EACCES ? st_hint(st, "let the user who ingests read it, and search its "
                                          "directories: chmod, chown or setfacl")
                            : st;
    }
    st = stamp_of(&file.stamp, fd, label);
    if (st)
        goto done;
    const struct task_file *other = same_file(t, &file.stamp);
    if (other) {
        st = st_hint(
            st_fail(ST_INVALID, "SOURCE_FILE", "%s and %s are the same file", other->label, label),
            "name it once");
        goto done;
    }
    file.path = realpath(path, NULL);
    file.label = strdup(label);
    if (!file.path || !file.label)
        st = st_fail_errno(errno, "cannot resolve %s", label);
    else if (strpbrk(file.path, "*?["))
        st = st_hint(st_fail(ST_INVALID, "SOURCE_FILE",
                             "%s: a file's path cannot have * ? or [ in "
                             "it",
                             label),
                     "rename it, or its directory");
    else if (!utf8_is_valid(file.path, strlen(file.path)) ||
             !utf8_is_valid(file.label, strlen(file.label)))
        st = st_hint(st_fail(ST_INVALID, "SOURCE_FILE", "%s: a file's path must be UTF-8", label),
                     "rename it, or its directory");
    else
        st = append(t, source, &file);
done:
    fs_close(&fd);
    if (st) {
        free(file.path);
        free(file.label);
    }
    return st;
}

/* ---- over a pipe: u32 length and bytes of the key, then JSON to the end ---- */

/* NULL: out of memory. With a file less a version would have less than its batch. */
static json_t *files_json(const struct task_source *s)
{
    json_t *files = json_array();
    for (size_t i = 0; files && i < s->file_count; i++) {
        const struct task_file *f = &s->files[i];
        json_t *file = json_pack("{s:s, s:s, s:[I, I, I, I, I]}", "path", f->path, "label",
                                 f->label, "stamp", (json_int_t)f->stamp.device,
                                 (json_int_t)f->stamp.inode, (json_int_t)f->stamp.bytes,
                                 (json_int_t)f->stamp.mtime_ns, (json_int_t)f->stamp.ctime_ns);
        if (json_array_append_new(files, file) != 0) {
            json_decref(files);
            files = NULL;
        }
    }
    return files;
}

static json_t *sources_json(const struct task *t)
{
    json_t *sources = json_array();
    for (size_t i = 0; sources && i < t->definition->source_count; i++)
        if (json_array_append_new(sources, files_json(&t->sources[i])) != 0) {
            json_decref(sources);
            sources = NULL;
        }
    return sources;
}

static enum st write_json(struct buf *out, const struct task *t)
{
    if (!utf8_is_valid(t->directory, strlen(t->directory)))
        return st_fail(ST_INVALID, NULL, "%s: the path is not UTF-8", t->directory);
    json_t *sources = sources_json(t);
    if (!sources)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_t *task = json_pack("{s:O, s:o, s:s, s:s, s:s, s:I, s:i, s:i}", "definition", t->document,
                             "sources", sources, "tenant", t->tenant, "key_id", t->key_id,
                             "directory", t->directory, "memory_bytes", (json_int_t)t->memory_bytes,
                             "threads", (int)t->threads, "inflate_ratio", (int)t->inflate_ratio);
    if (!task)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    jx_write(out, task, false);
    json_decref(task);
    enum st st = buf_status(out);
    return st == ST_TOO_LARGE ? st_fail(st, NULL, "the task is too large") : st;
}

static enum st send_bytes(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EPIPE)
            return ST_END;
        if (n < 0 && errno != EINTR)
            return st_fail_errno(errno, "cannot hand over the task");
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return ST_OK;
}

enum st task_send(int fd, const struct task *t)
{
    uint32_t len = (uint32_t)t->hmac_key.len;
    struct buf text;
    buf_init(&text, TASK_MAX);
    enum st st = write_json(&text, t);
    if (!st)
        st = send_bytes(fd, &len, sizeof len);
    if (!st)
        st = send_bytes(fd, t->hmac_key.bytes, len);
    if (!st)
        st = send_bytes(fd, text.data, text.len);
    buf_release(&text);
    return st == ST_END ? ST_OK : st;
}

static enum st read_file(struct task *t, size_t source, const json_t *item)
{
    json_t *stamp = json_object_get(item, "stamp");
    const char *path = json_string_value(json_object_get(item, "path"));
    const char *label = json_string_value(json_object_get(item, "label"));
    if (!path || !label || json_array_size(stamp) != 5)
        return st_fail(ST_INVALID, NULL, "the task names a file without its stamp");
    json_int_t n[5];
    for (size_t i = 0; i < 5; i++)
        n[i] = json_integer_value(json_array_get(stamp, i));
    struct task_file file = {
        .path = strdup(path),
        .label = strdup(label),
        .stamp = {(uint64_t)n[0], (uint64_t)n[1], (uint64_t)n[2], n[3], n[4]},
    };
    enum st st = file.path && file.label ? append(t, source, &file)
                                         : st_fail(ST_NOMEM, NULL, "out of memory");
    if (st) {
        free(file.path);
        free(file.label);
    }
    return st;
}

static enum st read_json(struct task *t, const char *text, size_t len)
{
    json_t *task = NULL, *definition, *sources;
    const char *tenant, *key_id, *directory;
    int64_t memory, threads, ratio;
    enum st st = jx_parse_object(&task, text, len);
    if (st)
        return st_wrap(st, "the task");
    if ((st = jx_object(&definition, task, "", "definition")) ||
        (st = jx_array(&sources, task, "", "sources")) ||
        (st = jx_need_string(&tenant, task, "", "tenant")) ||
        (st = jx_need_string(&key_id, task, "", "key_id")) ||
        (st = jx_need_string(&directory, task, "", "directory")) ||
        (st = jx_integer(&memory, task, "", "memory_bytes", 0, 0, INT64_MAX)) ||
        (st = jx_integer(&threads, task, "", "threads", 1, 1, TASK_THREADS_MAX)) ||
        (st = jx_integer(&ratio, task, "", "inflate_ratio", 0, 0, INT32_MAX)))
        goto done;
    st = task_define(t, definition);
    if (st)
        goto done;
    if (json_array_size(sources) != t->definition->source_count) {
        st = st_fail(ST_INVALID, NULL, "the task's sources are not those of its definition");
        goto done;
    }
    snprintf(t->tenant, sizeof t->tenant, "%s", tenant);
    snprintf(t->key_id, sizeof t->key_id, "%s", key_id);
    snprintf(t->directory, sizeof t->directory, "%s", directory);
    t->memory_bytes = (uint64_t)memory;
    t->threads = (unsigned)threads;
    t->inflate_ratio = (unsigned)ratio;
    for (size_t i = 0; !st && i < t->definition->source_count; i++) {
        json_t *files = json_array_get(sources, i);
        for (size_t j = 0; !st && j < json_array_size(files); j++)
            st = read_file(t, i, json_array_get(files, j));
    }
done:
    json_decref(task);
    return st;
}

static enum st receive_bytes(void *out, int fd, size_t len)
{
    char *at = out;
    while (len) {
        ssize_t n = read(fd, at, len);
        if (n == 0 || (n < 0 && errno != EINTR))
            return st_fail(ST_IO, NULL, "cannot read the task");
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return ST_OK;
}

static enum st receive_key(struct task *t, int fd)
{
    unsigned char bytes[TASK_KEY_MAX];
    uint32_t len;
    enum st st = receive_bytes(&len, fd, sizeof len);
    if (!st && len > sizeof bytes)
        st = st_fail(ST_TOO_LARGE, NULL, "the HMAC key is too long");
    if (!st)
        st = receive_bytes(bytes, fd, len);
    if (!st && len)
        st = secret_copy(&t->hmac_key, bytes, len);
    secret_wipe(bytes, sizeof bytes);
    return st;
}

enum st task_receive(struct task *t, int fd)
{
    struct buf text;
    buf_init(&text, TASK_MAX);
    enum st st = receive_key(t, fd);
    while (!st) {
        char *room = buf_reserve(&text, 65536);
        ssize_t n = room ? read(fd, room, 65536) : -1;
        if (n == 0)
            break;
        if (n > 0)
            text.len += (size_t)n;
        else if (!room || errno != EINTR)
            st = st_fail(ST_IO, NULL, "cannot read the task");
    }
    if (!st)
        st = read_json(t, text.data, text.len);
    buf_release(&text);
    return st;
}

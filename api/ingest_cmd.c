#include "api/commands.h"
#include "api/remote.h"
#include "base/progress.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* everline ingest --url: the files are uploaded one after the other, then a job is made of them,
 * and followed. (On this machine it is the worker's command.) */

#define UPLOAD_NAME_MAX 100 /* bytes */
#define NAME_END 24         /* of a longer one: its extensions */

struct upload {
    struct progress_view view;
    uint64_t bytes; /* of the file */
};

static void show_sent(uint64_t bytes, void *ctx)
{
    struct upload *u = ctx;

    progress_view_tell("uploading", bytes, u->bytes, &u->view);
}

static enum st open_file(FILE **out, uint64_t *bytes, const char *path)
{
    struct stat about;

    *out = fopen(path, "re");
    if (!*out || fstat(fileno(*out), &about) != 0)
        return st_fail_errno(errno, "%s", path);
    *bytes = (uint64_t)about.st_size;
    return S_ISREG(about.st_mode)
               ? ST_OK
               : st_hint(st_fail(ST_INVALID, "BAD_SOURCE", "%s is no file", path),
                         "its size is to be known before it is sent: put it into a file");
}

/* The name that the server takes for it: letters, digits, dots, dashes and underscores, the first a
 * letter or digit. */
static void name_upload(char out[UPLOAD_NAME_MAX + 1], const char *name)
{
    const char *start = isalnum((unsigned char)*name) ? "" : "file";
    size_t len = strlen(start) + strlen(name);
    size_t head =
        len <= UPLOAD_NAME_MAX ? strlen(name) : UPLOAD_NAME_MAX - NAME_END - strlen(start);
    const char *end = len <= UPLOAD_NAME_MAX ? "" : name + strlen(name) - NAME_END;

    snprintf(out, UPLOAD_NAME_MAX + 1, "%s%.*s%s", start, (int)head, name, end);
    for (; *out; out++)
        if (!isalnum((unsigned char)*out) && !strchr("._-", *out))
            *out = '_';
}

/* Sends a file, and adds it to the job's sources. */
static enum st send_file(json_t *sources, const struct cmd_args *args, const char *source,
                         const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char target[REMOTE_PATH_MAX] = "/v1/uploads";
    char short_name[UPLOAD_NAME_MAX + 1], sent_name[UPLOAD_NAME_MAX + 1];
    struct upload u = {.bytes = 0};
    struct remote_call call = {.path = target,
                               .headers = {"Content-Type: application/octet-stream"},
                               .sent_fn = show_sent,
                               .ctx = &u};
    json_t *upload = NULL;
    enum st st = open_file(&call.file, &u.bytes, path);

    call.file_bytes = u.bytes;
    snprintf(short_name, sizeof short_name, "%.*s", utf8_cut(name, UPLOAD_NAME_MAX), name);
    name_upload(sent_name, name);
    if (!st)
        st = remote_query(target, (const struct remote_parameter[]){{"name", sent_name}, {0}});
    progress_view_init(&u.view, short_name);
    u.view.unit = "bytes";
    if (!st && (st = remote_call(&upload, &call, args)))
        st = st_wrap(st, "%s", short_name);
    progress_view_end(&u.view);
    if (call.file)
        fclose(call.file);
    if (!st) {
        json_t *item = json_pack(source ? "{s:O?, s:s}" : "{s:O?}", "upload",
                                 json_object_get(upload, "upload"), "source", source);
        if (json_array_append_new(sources, item) != 0)
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    }
    json_decref(upload);
    return st;
}

/* [NAME=]PATH, as the worker takes it; a file that has such a name is meant itself. */
static enum st send_source(json_t *sources, const struct cmd_args *args, const char *argument)
{
    const char *equals = strchr(argument, '='), *path = argument;
    char source[STORE_NAME_SIZE] = "";
    glob_t found = {0};
    enum st st = ST_OK;

    if (equals && (size_t)(equals - argument) < sizeof source && access(argument, F_OK) != 0) {
        snprintf(source, sizeof source, "%.*s", (int)(equals - argument), argument);
        path = equals + 1;
    }
    if (!*path)
        return st_fail(ST_INVALID, "MISSING_SOURCE", "--source %.60s names no file", argument);
    if (!utf8_is_valid(source, strlen(source)))
        return st_fail(ST_INVALID, "BAD_SOURCE", "--source %s: the name of a source is UTF-8",
                       source);
    if (!strpbrk(path, "*?[") || access(path, F_OK) == 0)
        return send_file(sources, args, *source ? source : NULL, path);
    if (glob(path, 0, NULL, &found) != 0)
        st = st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "no file matches %s", path);
    for (size_t i = 0; !st && i < found.gl_pathc; i++)
        st = send_file(sources, args, *source ? source : NULL, found.gl_pathv[i]);
    globfree(&found);
    return st;
}

/* Before anything is sent. Who may ingest need not be one who may read. */
static enum st check_dataset(const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX];
    json_t *dataset = NULL;
    enum st st = remote_path(path, "/v1/datasets/{}", cmd_operand(args, 0));

    if (!st)
        st = remote_get(&dataset, args, path);
    json_decref(dataset);
    return st == ST_DENIED ? ST_OK : st;
}

static enum st make_job(json_t **job, const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX];
    struct remote_call call = {.path = path};
    json_t *sources = json_array();
    json_t *body = json_pack(cmd_flag(args, "dry-run") ? "{s:O, s:b}" : "{s:O}", "sources", sources,
                             "dry_run", 1);
    const char *source;
    enum st st = check_dataset(args);

    for (unsigned i = 0; !st && (source = cmd_list(args, "source", i)); i++)
        st = send_source(sources, args, source);
    if (!st)
        st = remote_path(path, "/v1/datasets/{}/ingests", cmd_operand(args, 0));
    if (!st)
        st = remote_send(job, &call, args, json_incref(body));
    json_decref(body);
    json_decref(sources);
    return st;
}

/* What --output json promises: the version's row, or a dry run's report, whatever became of it. */
static enum st print_row(const struct cmd_args *args, const json_t *job)
{
    char path[REMOTE_PATH_MAX], scratch[64];
    json_t *row = NULL;
    json_t *report = json_object_get(job, "report");
    enum st st = ST_OK;

    if (json_is_object(report))
        return commands_print(json_incref(report));
    if (!json_is_integer(json_object_get(job, "version")))
        return ST_OK;
    st = remote_path(path, "/v1/datasets/{}/versions/{}", cmd_operand(args, 0),
                     commands_cell(job, "version", scratch));
    if (!st)
        st = remote_get(&row, args, path);
    return st ? st_wrap(st, "the version's row") : commands_print(row);
}

enum st ingest_cmd(const struct cmd_args *args)
{
    json_t *made = NULL, *job = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = make_job(&made, args);
    const char *id = json_string_value(json_object_get(made, "job"));
    if (!st && !id)
        st = remote_no_server(202);
    if (!st)
        st = commands_follow_job(&job, NULL, args, id, cmd_operand(args, 0));
    if (!st && json)
        st = print_row(args, job);
    if (!st)
        st = commands_job_end(job, json);
    json_decref(made);
    json_decref(job);
    return st;
}

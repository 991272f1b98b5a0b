#include "api/commands.h"
#include "api/remote.h"

#include <stdio.h>
#include <string.h>

/* everline health: for who starts and watches servers. */

#define BASE_SIZE 64
#define PORT_MAX 65535

/* A server of this machine, by the file that it writes when it is ready. */
static enum st base_of_port_file(char base[BASE_SIZE], const char *path)
{
    char room[16];
    unsigned port = 0;
    struct buf text;

    buf_init_fixed(&text, room, sizeof room);
    enum st st = fs_read(&text, path);
    if (st == ST_NOT_FOUND)
        return st_hint(st_fail(ST_UNREACHABLE, "NOT_READY", "there is no %s yet", path),
                       "the server writes it when it is ready: serve --port-file");
    if (!st && (sscanf(room, "%u", &port) != 1 || port == 0 || port > PORT_MAX))
        st = st_fail(ST_INVALID, NULL, "%s: a port expected", path);
    snprintf(base, BASE_SIZE, "http://127.0.0.1:%u", port);
    return st;
}

static bool is_state(const char *text)
{
    static const char *const STATES[] = {"ok", "not_ready", "stopping"};

    for (size_t i = 0; text && i < sizeof STATES / sizeof *STATES; i++)
        if (strcmp(text, STATES[i]) == 0)
            return true;
    return false;
}

enum st health_cmd(const struct cmd_args *args)
{
    char base[BASE_SIZE];
    struct remote_call call = {
        .path = "/readyz", .base = cmd_string(args, "url"), .any_status = true};
    json_t *body = NULL;
    enum st st = ST_OK;

    if (!call.base) {
        st = base_of_port_file(base, cmd_string(args, "port-file"));
        call.base = base;
    }
    if (!st)
        st = remote_call(&body, &call, args);
    if (st)
        return st;
    const char *state = json_string_value(json_object_get(body, "status"));
    bool known = is_state(state) && (call.status == 200 || call.status == 503);
    if (known)
        puts(state);
    else /* a problem: it stops, or it is somebody else */
        st = call.status == 503 && !state ? st_fail(ST_UNAVAILABLE, NULL, "the server is stopping")
                                          : remote_no_server(call.status);
    json_decref(body);
    return st || call.status == 200
               ? st
               : st_fail(ST_UNAVAILABLE, "NOT_READY", "the server is not ready");
}

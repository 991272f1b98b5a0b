#include "api/commands.h"

#include "auth/audit_file.h"
#include "auth/audit_verify.h"
#include "store/anchor.h"
#include "store/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERIFY_TRIES 10 /* of one tenant, while files are put away */

struct report {
    const char *tenant;
    json_t *faults;
    size_t count; /* of them, also where there was no memory to list them */
};

static void note_fault(const char *file, uint64_t line, const char *what, void *ctx)
{
    struct report *r = ctx;

    r->count++;
    json_array_append_new(r->faults, json_pack("{s:s, s:s, s:I, s:s}", "tenant", r->tenant, "file",
                                               file, "line", (json_int_t)line, "problem", what));
}

struct anchors {
    struct audit_anchor *list;
    size_t count;
};

static enum st read_anchors(struct anchors *out, struct store *s, const char *tenant)
{
    struct store_anchor *known = NULL;
    enum st st = store_anchor_list(&known, &out->count, s, tenant);

    out->list = NULL;
    if (!st)
        out->list = calloc(out->count + 1, sizeof *out->list);
    if (!st && !out->list)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && i < out->count; i++) {
        out->list[i] = (struct audit_anchor){
            .chain = known[i].chain, .first = known[i].first, .head.sequence = known[i].sequence};
        memcpy(out->list[i].head.hash, known[i].hash, sizeof out->list[i].head.hash);
    }
    free(known);
    return st;
}

/* The oldest line that is kept of a chain. */
static uint64_t kept_from(const struct anchors *a, unsigned chain)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->list[i].chain == chain)
            return a->list[i].first;
    return 1;
}

/* Were files put away between these two? The catalog hears of it before they go. */
static bool were_pruned(const struct anchors *before, const struct anchors *after)
{
    for (size_t i = 0; i < after->count; i++)
        if (after->list[i].first != kept_from(before, after->list[i].chain))
            return true;
    return false;
}

static void forget_faults(struct report *r, size_t listed, size_t count)
{
    while (json_array_size(r->faults) > listed)
        json_array_remove(r->faults, json_array_size(r->faults) - 1);
    r->count = count;
}

/* Anchors are read before the files: what a server adds meanwhile is more than they say. *pruned:
 * it put files away meanwhile, which seem to be missing. */
static enum st verify_once(struct report *r, uint64_t *lines, bool *pruned, struct store *s,
                           const char *directory)
{
    const size_t count = r->count;
    struct anchors known, now = {0};
    enum st st = read_anchors(&known, s, r->tenant);

    *pruned = false;
    if (!st)
        st = audit_verify(lines, directory, r->tenant, known.list, known.count, note_fault, r);
    if (st == ST_NOT_FOUND || (!st && r->count > count)) {
        struct st_report found;
        st_save(&found, st);
        *pruned = read_anchors(&now, s, r->tenant) == ST_OK && were_pruned(&known, &now);
        st = st_restore(&found);
    }
    free(known.list);
    free(now.list);
    return st;
}

static enum st verify_tenant(struct report *r, uint64_t *lines, struct store *s,
                             const char *directory)
{
    const size_t listed = json_array_size(r->faults), count = r->count;
    uint64_t read = 0;
    bool pruned = true;
    enum st st = ST_OK;

    for (unsigned tries = 0; pruned && tries < VERIFY_TRIES; tries++) {
        forget_faults(r, listed, count);
        read = 0;
        st = verify_once(r, &read, &pruned, s, directory);
    }
    *lines += read;
    return st;
}

/* Of all who have one: a tenant that was deleted has its audit still. */
static enum st find_tenants(json_t *names, struct store *s, const char *directory)
{
    struct fs_list list = {0};
    enum st st = store_anchor_tenants(names, s);

    if (!st)
        st = audit_tenants_list(&list, directory);
    for (size_t i = 0; !st && i < list.count; i++)
        if (store_name_check("tenant", list.names[i]) == ST_OK &&
            json_object_set_new(names, list.names[i], json_true()) != 0)
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    fs_list_free(&list);
    return st;
}

static enum st verify_all(struct report *r, uint64_t *lines, struct store *s, const char *only)
{
    char directory[FS_PATH_MAX];
    struct store_tenant tenant;
    json_t *names = json_object(), *value;
    const char *name;
    enum st st = fs_path(directory, "%s/audit", store_data_dir(s));

    if (!st)
        st = find_tenants(names, s, directory);
    if (!st && only && !json_object_get(names, only))
        st = store_tenant_get(&tenant, s, only); /* nothing was noted yet, or there is none */
    json_object_foreach(names, name, value)
    {
        r->tenant = name;
        if (!st && (!only || strcmp(only, name) == 0))
            st = verify_tenant(r, lines, s, directory);
    }
    json_decref(names);
    return st;
}

static void print_faults(const struct report *r, uint64_t lines)
{
    const json_t *fault;
    char scratch[64];
    size_t i;

    json_array_foreach(r->faults, i, fault) printf(
        "%s/%s, line %s: %s\n", json_string_value(json_object_get(fault, "tenant")),
        json_string_value(json_object_get(fault, "file")), commands_cell(fault, "line", scratch),
        json_string_value(json_object_get(fault, "problem")));
    printf("%llu lines read, %zu problems\n", (unsigned long long)lines, r->count);
}

enum st audit_verify_cmd(const struct cmd_args *args)
{
    const char *only = cmd_string(args, "tenant");
    struct report r = {.faults = json_array()};
    struct store *s = NULL;
    uint64_t lines = 0;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = verify_all(&r, &lines, s, only);
    store_close(s);
    if (!st && json)
        st = commands_print(json_pack("{s:b, s:I, s:O}", "ok", r.count == 0, "lines",
                                      (json_int_t)lines, "problems", r.faults));
    else if (!st)
        print_faults(&r, lines);
    json_decref(r.faults);
    if (!st && r.count)
        st = st_hint(st_fail(ST_CORRUPT, "AUDIT_DAMAGED", "the audit is not as it was written"),
                     "keep a copy of it as it is, and find out who could write to it");
    return st;
}

#include "api/commands.h"
#include "base/progress.h"
#include "store/backup.h"
#include "store/rebuild.h"

#include <stdio.h>
#include <string.h>

/* everline backup, restore and catalog rebuild. */

static void tell(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    progress_view_tell(phase, done >> 20, total >> 20, ctx);
}

static void start_progress(struct progress_view *view, const char *what)
{
    progress_view_init(view, what);
    view->unit = "MiB";
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static void print_saved(const json_t *report)
{
    char a[64], b[64], c[64], d[64];
    const json_t *key;
    size_t i;

    printf("%s: %s datasets, %s versions, %s segments (%s copied now)\n", text_of(report, "backup"),
           commands_cell(report, "datasets", a), commands_cell(report, "versions", b),
           commands_cell(report, "segments", c), commands_cell(report, "copied", d));
    puts("Keys are not in it. Who restores it needs the keys directory, with:");
    json_array_foreach(json_object_get(report, "keys"), i, key)
        printf("  %s/hmac/%s.key\n", text_of(key, "tenant"), text_of(key, "id"));
    puts("  TENANT/tokens/, unless tokens are to be signed with new keys");
}

enum st backup_cmd(const struct cmd_args *args)
{
    struct progress_view view;
    struct store_backup_options options = {
        .to = cmd_string(args, "to"), .tell_fn = tell, .ctx = &view};
    json_t *report = NULL;
    struct store *s = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st) {
        start_progress(&view, "backup");
        st = store_backup(&report, s, &options);
        progress_view_end(&view);
    }
    struct st_report failure;
    st_save(&failure, st);
    store_close(s);
    if (st)
        return st_restore(&failure);
    if (json)
        return commands_print(report);
    print_saved(report);
    json_decref(report);
    return ST_OK;
}

static void print_restored(const json_t *report)
{
    char a[64], b[64], c[64];
    const json_t *key;
    size_t i;

    printf("%s holds %s: %s datasets, %s versions, %s segments, every hash verified\n",
           text_of(report, "data"), text_of(report, "backup"), commands_cell(report, "datasets", a),
           commands_cell(report, "versions", b), commands_cell(report, "segments", c));
    if (json_integer_value(json_object_get(report, "failed")))
        printf("%s versions were being built then; they are FAILED, code RESTORED\n",
               commands_cell(report, "failed", a));
    json_array_foreach(json_object_get(report, "keys"), i,
                       key) if (strcmp(text_of(key, "state"), "present") != 0)
        printf("key %s/hmac/%s.key is %s: what it protects is unavailable until it is there\n",
               text_of(key, "tenant"), text_of(key, "id"), text_of(key, "state"));
}

enum st restore_cmd(const struct cmd_args *args)
{
    struct progress_view view;
    struct store_restore_options options = {
        .from = cmd_string(args, "from"),
        .data_dir = cmd_string(args, "data"),
        .keys_dir = cmd_string(args, "keys"),
        .actor = commands_actor(args, NULL).name,
        .tell_fn = tell,
        .ctx = &view,
    };
    json_t *report = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (st)
        return st;
    start_progress(&view, "restore");
    st = store_restore(&report, &options);
    progress_view_end(&view);
    if (st)
        return st;
    if (json)
        return commands_print(report);
    print_restored(report);
    json_decref(report);
    return ST_OK;
}

static void print_rebuilt(const json_t *report)
{
    char a[64], b[64], c[64], d[64];
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(report, "damaged"), i, item)
        printf("not restored: %s (%s)\n", text_of(item, "path"), text_of(item, "problem"));
    if (!json_is_true(json_object_get(report, "rebuilt")))
        return;
    printf(
        "rebuilt from heads/: %s tenants, %s datasets, %s versions (%s were being built: FAILED)\n",
        commands_cell(report, "tenants", a), commands_cell(report, "datasets", b),
        commands_cell(report, "versions", c), commands_cell(report, "failed", d));
    json_array_foreach(json_object_get(report, "not_restored"), i, item)
        printf("not restored: %s\n", json_string_value(item));
    json_array_foreach(json_object_get(report, "made"), i, item)
        printf("tenant %s: its settings are lost, so it is disabled; look at it, then: everline "
               "tenant put %s --enable\n",
               json_string_value(item), json_string_value(item));
    if (json_is_string(json_object_get(report, "aside")))
        printf("the old catalog is %s\n", text_of(report, "aside"));
    printf("now: everline verify --data %s --deep\n", text_of(report, "data"));
}

enum st catalog_rebuild_cmd(const struct cmd_args *args)
{
    struct store_rebuild_options options = {
        .data_dir = cmd_string(args, "data"),
        .keys_dir = cmd_string(args, "keys"),
        .actor = commands_actor(args, NULL).name,
        .skip_damaged = cmd_flag(args, "skip-damaged"),
    };
    struct st_report failure;
    json_t *report = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (st)
        return st;
    st = store_rebuild(&report, &options);
    if (!report)
        return st;
    st_save(&failure, st);
    if (json) {
        enum st printed = commands_print(report);
        return st ? st_restore(&failure) : printed;
    }
    print_rebuilt(report);
    json_decref(report);
    return st ? st_restore(&failure) : ST_OK;
}

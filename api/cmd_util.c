#include "api/cmd_util.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum st api_cmd_store_open(struct store **out, const struct cmd_args *args)
{
    return store_open(out, &(struct store_options){
                               .data_dir = cmd_string(args, "data"),
                               .keys_dir = cmd_string(args, "keys"),
                           });
}

const char *api_cmd_actor_name(void)
{
    static char name[128];
    const struct passwd *user = getpwuid(geteuid());

    if (user)
        snprintf(name, sizeof name, "cli:%s", user->pw_name);
    else
        snprintf(name, sizeof name, "cli:%u", (unsigned)geteuid());
    return name;
}

enum st api_cmd_print_json(const json_t *value)
{
    struct buf text;

    buf_init(&text, 256u << 20);
    jx_write_pretty(&text, value);
    enum st st = buf_status(&text);
    if (!st)
        fputs(text.data, stdout);
    else
        st = st_fail(st, NULL, "the answer cannot be written as JSON");
    buf_release(&text);
    return st;
}

const char *api_cmd_cell_text(char out[64], const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (json_is_string(value))
        snprintf(out, 64, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, 64, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(out, 64, "%s", json_is_true(value) ? "yes" : "no");
    else
        snprintf(out, 64, "-");
    return out;
}

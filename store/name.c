#include "store/name.h"

#include <string.h>

static bool has_shape(const char *name, const char *first, const char *rest)
{
    size_t len = strlen(name);

    return len > 0 && len < STORE_NAME_SIZE && strchr(first, name[0]) && strspn(name, rest) == len;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum st store_name_check(const char *what, const char *name)
{
    if (has_shape(name, LOWER, LOWER DIGITS "_-"))
        return ST_OK;
    return st_fail(
        ST_INVALID, "INVALID_NAME",
        "the %s's name must be 1 to %d lower-case letters, digits, - or _, and begin with "
        "a letter",
        what, STORE_NAME_SIZE - 1);
}

enum st store_field_name_check(const char *what, const char *name)
{
    if (has_shape(name, LOWER UPPER "_", LOWER UPPER DIGITS "_"))
        return ST_OK;
    return st_fail(ST_INVALID, "INVALID_NAME",
                   "the %s's name must be 1 to %d letters, digits or _, and not begin with a digit",
                   what, STORE_NAME_SIZE - 1);
}

bool store_field_name_reserved(const char *name)
{
    static const char *const RESERVED[] = {"version",  "as_of",   "limit",    "cursor",
                                           "group_by", "metrics", "order_by", "from",
                                           "to",       "fields",  "compare",  "explain"};

    for (size_t i = 0; i < sizeof RESERVED / sizeof RESERVED[0]; i++)
        if (strcmp(name, RESERVED[i]) == 0)
            return true;
    return false;
}

enum st store_inbox_path_check(const char *path)
{
    bool out = path[0] == '/' || path[0] == '\0';

    for (const char *part = path; part; part = strchr(part, '/')) {
        part += part[0] == '/';
        out |= strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0');
    }
    return out ? st_hint(st_fail(ST_INVALID, "INBOX_PATH",
                                 "a path is below the tenant's directory of the inbox"),
                         "name it without a leading / and without ..")
               : ST_OK;
}

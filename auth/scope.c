#include "auth/scope.h"

#include <string.h>

static const struct {
    const char *name;
    enum auth_scope scope;
} scope_table[] = {
    {"data:read", AUTH_DATA_READ},           {"analytics:read", AUTH_ANALYTICS_READ},
    {"ingest:write", AUTH_INGEST_WRITE},     {"versions:write", AUTH_VERSIONS_WRITE},
    {"audit:read", AUTH_AUDIT_READ},         {"tenant:admin", AUTH_TENANT_ADMIN},
    {"platform:admin", AUTH_PLATFORM_ADMIN},
};

#define SCOPE_COUNT (sizeof scope_table / sizeof scope_table[0])
#define KNOWN_SCOPES                                                                               \
    "data:read analytics:read ingest:write versions:write audit:read tenant:admin platform:admin"

static uint32_t scope_of(const char *word, size_t len)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (strlen(scope_table[i].name) == len && memcmp(scope_table[i].name, word, len) == 0)
            return (uint32_t)scope_table[i].scope;
    return 0;
}

/* The next word at or after *text, which moves behind it; 0 at the end. Only the space separates
 * (RFC 6749 section 3.3): a tab makes an unknown word, which grants nothing. */
static size_t next_word(const char **word, const char **text)
{
    *word = *text + strspn(*text, " ");
    size_t len = strcspn(*word, " ");
    *text = *word + len;
    return len;
}

uint32_t auth_scopes_parse(const char *text)
{
    const char *word;
    size_t len;
    uint32_t scopes = 0;

    while ((len = next_word(&word, &text)) > 0)
        scopes |= scope_of(word, len);
    return scopes;
}

enum st auth_scopes_parse_strict(uint32_t *out, const char *text)
{
    const char *word;
    size_t len;
    uint32_t scopes = 0;

    *out = 0;
    while ((len = next_word(&word, &text)) > 0) {
        uint32_t scope = scope_of(word, len);
        if (scope == 0)
            return st_hint(st_fail(ST_INVALID, "UNKNOWN_SCOPE", "no scope is called \"%.*s\"",
                                   (int)(len < 64 ? len : 64), word),
                           "separated by spaces: " KNOWN_SCOPES);
        scopes |= scope;
    }
    if (scopes == 0)
        return st_hint(st_fail(ST_INVALID, "UNKNOWN_SCOPE", "no scope is given"),
                       "separated by spaces: " KNOWN_SCOPES);
    *out = scopes;
    return ST_OK;
}

void auth_scopes_write(struct buf *out, uint32_t scopes)
{
    const char *separator = "";

    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if (!(scopes & (uint32_t)scope_table[i].scope))
            continue;
        buf_addstr(out, separator);
        buf_addstr(out, scope_table[i].name);
        separator = " ";
    }
}

const char *auth_scope_name(enum auth_scope scope)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (scope_table[i].scope == scope)
            return scope_table[i].name;
    return "unknown";
}

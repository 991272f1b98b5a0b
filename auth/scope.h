/* Scopes: what a token may do. A token's `scope` claim is a space-separated list (RFC 8693 4.2). */
#ifndef EVERLINE_AUTH_SCOPE_H
#define EVERLINE_AUTH_SCOPE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

enum auth_scope {
    AUTH_DATA_READ = 1 << 0,      /* data:read */
    AUTH_ANALYTICS_READ = 1 << 1, /* analytics:read */
    AUTH_INGEST_WRITE = 1 << 2,   /* ingest:write */
    AUTH_VERSIONS_WRITE = 1 << 3, /* versions:write */
    AUTH_AUDIT_READ = 1 << 4,     /* audit:read */
    AUTH_TENANT_ADMIN = 1 << 5,   /* tenant:admin */
    AUTH_PLATFORM_ADMIN = 1 << 6, /* platform:admin */
};

/* Unknown scopes are ignored by _parse (a token may be for other services too) and refused by
 * _parse_strict (what a person types): ST_INVALID names the word and the known ones. */
uint32_t auth_scopes_parse(const char *text);
enum st auth_scopes_parse_strict(uint32_t *out, const char *text) ST_MUST_USE;
void auth_scopes_write(struct buf *out, uint32_t scopes);
const char *auth_scope_name(enum auth_scope scope);

#endif

#include "api/internal.h"

#include "api/links.h"
#include "api/production.h"
#include "api/tls.h"

#include <stdlib.h>

static enum st make(struct api_settings **out, const struct api_options *o)
{
    struct api_settings *s = *out = calloc(1, sizeof *s);
    if (!s)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    s->body_limit_bytes = o->body_limit_bytes;
    s->upload_limit_bytes = o->upload_limit_bytes;
    s->gzip_min_bytes = o->gzip_min_bytes;
    s->max_wait_ms = o->max_wait_ms;
    s->cors_origins = o->cors_origins;
    return api_proxies_read(&s->proxies, o->trusted_proxies, o->forwarded);
}

static void release(struct api_settings *s)
{
    if (s)
        api_proxies_release(&s->proxies);
    free(s);
}

enum st api_settings_apply(struct api_server *server, const struct api_options *o)
{
    struct api_certificate *certificate = NULL;
    struct api_settings *s = NULL;
    enum st st = ST_OK;

    if (o->tls_cert)
        st = api_certificate_load(&certificate, o->tls_cert, o->tls_key);
    if (!st)
        st = make(&s, o);
    if (st) {
        api_certificate_free(certificate);
        release(s);
        return st;
    }
    if (certificate) {
        metric_set(server->counts.certificate_end, 0,
                   api_certificate_end_us(certificate) / 1000000);
        api_certificate_use(certificate);
    }
    log_configure(o->log_level, o->log_format);
    api_links_limit(server->links, &(struct api_links_limits){.timeout_ms = o->request_timeout_ms,
                                                              .per_address = o->per_address,
                                                              .proxies = &s->proxies});
    server->options.drain_timeout_ms = o->drain_timeout_ms;
    s->before = atomic_load(&server->settings);
    atomic_store(&server->settings, s);
    return ST_OK;
}

static enum st read_again(struct api_server *server)
{
    struct api_options next = server->options;
    enum st st = server->options.reload_fn(&next, server->options.ctx);

    if (!st && !next.tls_cert != !server->options.tls_cert)
        st = st_fail(ST_INVALID, NULL, "--tls-cert comes and goes with a restart only");
    if (!st && next.production)
        st = api_check_production(&next, &server->listeners);
    return st ? st : api_settings_apply(server, &next);
}

void api_settings_reload(struct api_server *server)
{
    enum st st = server->options.reload_fn ? read_again(server) : ST_OK;

    atomic_store(&server->settings_failed, st != ST_OK);
    if (st)
        log_failure(LOG_LEVEL_ERROR, "reload", "nothing of the configuration has changed");
    else
        log_event(LOG_LEVEL_INFO, "reload", "configuration and token keys are read again");
    auth_jwks_reload(server->jwks);
    api_keys_changed(server);
}

void api_settings_release(struct api_server *server)
{
    struct api_settings *s = atomic_load(&server->settings), *before;

    for (; s; s = before) {
        before = s->before;
        release(s);
    }
    api_certificates_end();
}

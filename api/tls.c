#include "api/tls.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/log.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PEM_MAX_BYTES (1u << 20)
#define CHAIN_MAX 16

/* A handshake uses what it was given until its end, and does not tell when that is: what was in use
 * once is kept until the process ends. They are few, one for each reload that found another. */
struct api_certificate {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned count;
    gnutls_privkey_t key;
    int64_t end_us;
    struct api_certificate *before;
};

static _Atomic(struct api_certificate *) current;

static enum st fail_tls(int rc, const char *what, const char *path)
{
    return rc == GNUTLS_E_MEMORY_ERROR
               ? st_fail(ST_NOMEM, NULL, "out of memory")
               : st_fail(ST_INVALID, "TLS_FILE", "%s %s: %s", what, path, gnutls_strerror(rc));
}

/* GnuTLS's own check that certificate and key belong together. */
static enum st check_pair(const gnutls_datum_t *cert, const gnutls_datum_t *key,
                          const char *cert_path, const char *key_path)
{
    gnutls_certificate_credentials_t both;
    int rc = gnutls_certificate_allocate_credentials(&both);

    if (rc < 0)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    rc = gnutls_certificate_set_x509_key_mem(both, cert, key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(both);
    if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return st_hint(
            st_fail(ST_INVALID, "TLS_PAIR", "%s is not the key of %s", key_path, cert_path),
            "give the key that the certificate was made with, and the server's own "
            "certificate first in its file");
    return rc < 0 ? fail_tls(rc, "certificate or key", cert_path) : ST_OK;
}

static enum st read_chain(struct api_certificate *c, const gnutls_datum_t *pem, const char *path)
{
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    int rc = gnutls_x509_crt_list_import2(&list, &count, pem, GNUTLS_X509_FMT_PEM, 0);

    if (rc < 0)
        return fail_tls(rc, "certificate", path);
    if (count > CHAIN_MAX)
        rc = GNUTLS_E_CERTIFICATE_LIST_UNSORTED;
    c->end_us = (int64_t)gnutls_x509_crt_get_expiration_time(list[0]) * 1000000;
    for (unsigned i = 0; i < count; i++) {
        if (rc >= 0) {
            rc = gnutls_pcert_import_x509(&c->chain[i], list[i], 0);
            c->count += rc >= 0;
        }
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
    return rc < 0 ? fail_tls(rc, "certificate", path) : ST_OK;
}

static enum st read_key(struct api_certificate *c, const gnutls_datum_t *pem, const char *path)
{
    int rc = gnutls_privkey_init(&c->key);

    if (rc >= 0)
        rc = gnutls_privkey_import_x509_raw(c->key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    return rc < 0 ? fail_tls(rc, "key", path) : ST_OK;
}

enum st api_certificate_load(struct api_certificate **out, const char *cert_path,
                             const char *key_path)
{
    struct api_certificate *c = calloc(1, sizeof *c);
    struct buf cert, key;

    *out = NULL;
    if (!c)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    buf_init(&cert, PEM_MAX_BYTES);
    buf_init(&key, PEM_MAX_BYTES);
    enum st st = fs_read(&cert, cert_path);
    if (!st)
        st = fs_read(&key, key_path);
    gnutls_datum_t cert_pem = {(unsigned char *)cert.data, (unsigned)cert.len};
    gnutls_datum_t key_pem = {(unsigned char *)key.data, (unsigned)key.len};
    if (!st)
        st = check_pair(&cert_pem, &key_pem, cert_path, key_path);
    if (!st)
        st = read_chain(c, &cert_pem, cert_path);
    if (!st)
        st = read_key(c, &key_pem, key_path);
    buf_release(&cert);
    buf_release_secret(&key);
    if (st) {
        api_certificate_free(c);
        return st;
    }
    if (c->end_us < clock_wall_us())
        log_event(LOG_LEVEL_WARN, "tls", "the certificate %s has expired", cert_path);
    *out = c;
    return ST_OK;
}

int64_t api_certificate_end_us(const struct api_certificate *c)
{
    return c->end_us;
}

void api_certificate_free(struct api_certificate *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < c->count; i++)
        gnutls_pcert_deinit(&c->chain[i]);
    if (c->key)
        gnutls_privkey_deinit(c->key);
    free(c);
}

void api_certificate_use(struct api_certificate *c)
{
    c->before = atomic_load(&current);
    atomic_store(&current, c);
}

void api_certificates_end(void)
{
    struct api_certificate *c = atomic_exchange(&current, NULL), *before;

    for (; c; c = before) {
        before = c->before;
        api_certificate_free(c);
    }
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int count,
                    const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                    gnutls_pcert_st **chain, unsigned *chain_length, gnutls_privkey_t *key)
{
    struct api_certificate *c = atomic_load(&current);

    (void)session;
    (void)authorities;
    (void)count;
    (void)algorithms;
    (void)algorithm_count;
    *chain = c->chain;
    *chain_length = c->count;
    *key = c->key;
    return 0;
}

void api_tls_options(struct MHD_OptionItem out[API_TLS_OPTIONS])
{
    static const char VERSIONS[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

    out[0] =
        (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)retrieve};
    out[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)VERSIONS};
}

/* The certificate of the listeners that speak TLS. libmicrohttpd asks for it at each handshake, so
 * that another one can take its place while connections go on with the one they have. */
#ifndef EVERLINE_API_TLS_H
#define EVERLINE_API_TLS_H

#include "base/status.h"

#include <microhttpd.h>

#include <stdint.h>

struct api_certificate;

/* Reads a certificate with what it is signed by (PEM, the server's first) and its private key.
 * ST_INVALID when they are not a pair; a certificate that has expired is only told in the log. */
enum st api_certificate_load(struct api_certificate **out, const char *cert_path,
                             const char *key_path) ST_MUST_USE;
/* Microseconds since 1970 at which its time is over. */
int64_t api_certificate_end_us(const struct api_certificate *c);
/* For the handshakes that begin from now on; takes it over. One for all of the process, because
 * libmicrohttpd's callback is told nothing of ours. */
void api_certificate_use(struct api_certificate *c);
void api_certificate_free(struct api_certificate *c); /* that is not in use; accepts NULL */
void api_certificates_end(void);                      /* when no handshake can be under way */

/* What makes a daemon speak TLS 1.2 and 1.3, beside MHD_USE_TLS. */
#define API_TLS_OPTIONS 2
void api_tls_options(struct MHD_OptionItem out[API_TLS_OPTIONS]);

#endif

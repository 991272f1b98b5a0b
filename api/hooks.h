/* The sender of webhooks (store/hook.h), signed as Standard Webhooks 1.0 says: webhook-id,
 * webhook-timestamp, and webhook-signature, v1, of "id.timestamp.body". */
#ifndef EVERLINE_API_HOOKS_H
#define EVERLINE_API_HOOKS_H

#include "base/digest.h"
#include "base/network.h"
#include "store/keeper.h"

struct api_hooks;

/* `outgoing`: where they may go (auth/http.h); borrowed. */
enum st api_hooks_start(struct api_hooks **out, struct store_keeper *keeper,
                        const struct network_list *outgoing) ST_MUST_USE;
/* "v1," and the HMAC-SHA-256 of what is sent, in base64. */
#define API_HOOKS_SIGNATURE_SIZE 64
enum st api_hooks_sign(char out[API_HOOKS_SIGNATURE_SIZE], const struct secret *key, const char *id,
                       const char *timestamp, const char *body) ST_MUST_USE;

void api_hooks_stop(struct api_hooks *h); /* accepts NULL; breaks off what is being sent */

#endif

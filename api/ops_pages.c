#include "api/internal.h"

#include "api_docs.h"

/* The page that shows the contract, with everything it needs: it asks no other host for anything,
 * and no script runs but the one below. RapiDoc writes its theme as inline styles. */
#define DOCS_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; "            \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void give(struct api_reply *reply, const struct api_request *request, const char *type,
                 const struct api_fixed *fixed)
{
    reply->content_type = type;
    api_reply_text(reply, "X-Content-Type-Options", "nosniff");
    if (!api_tag(reply, request, fixed->tag))
        reply->fixed = fixed;
}

enum st api_op_get_docs(struct api_reply *reply, struct api_request *request)
{
    api_reply_text(reply, "Content-Security-Policy", DOCS_POLICY);
    api_reply_text(reply, "Referrer-Policy", "no-referrer");
    give(reply, request, "text/html; charset=utf-8", &DOCS_PAGE);
    return ST_OK;
}

enum st api_op_get_docs_script(struct api_reply *reply, struct api_request *request)
{
    give(reply, request, "text/javascript; charset=utf-8", &DOCS_SCRIPT);
    return ST_OK;
}

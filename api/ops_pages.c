#include "api/internal.h"

#include "api_pages.h"

/* The pages that people read, whole: they ask no other host for anything, and no script runs but
 * their own. RapiDoc writes its theme as inline styles; the console writes no markup at all. */
#define OWN_POLICY                                                                                 \
    "default-src 'none'; script-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "  \
    "form-action 'none'; frame-ancestors 'none'; "
#define DOCS_POLICY OWN_POLICY "style-src 'unsafe-inline'"
#define CONSOLE_POLICY                                                                             \
    OWN_POLICY "style-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"

#define HTML "text/html; charset=utf-8"
#define JAVASCRIPT "text/javascript; charset=utf-8"
#define CSS "text/css; charset=utf-8"

static enum st give(struct api_reply *reply, const struct api_request *request, const char *type,
                    const struct api_fixed *fixed)
{
    reply->content_type = type;
    api_reply_text(reply, "X-Content-Type-Options", "nosniff");
    if (!api_tag(reply, request, fixed->tag))
        reply->fixed = fixed;
    return ST_OK;
}

static enum st give_page(struct api_reply *reply, const struct api_request *request,
                         const char *policy, const struct api_fixed *fixed)
{
    api_reply_text(reply, "Content-Security-Policy", policy);
    api_reply_text(reply, "Referrer-Policy", "no-referrer");
    return give(reply, request, HTML, fixed);
}

enum st api_op_get_docs(struct api_reply *reply, struct api_request *request)
{
    return give_page(reply, request, DOCS_POLICY, &DOCS_PAGE);
}

enum st api_op_get_docs_script(struct api_reply *reply, struct api_request *request)
{
    return give(reply, request, JAVASCRIPT, &DOCS_SCRIPT);
}

enum st api_op_get_console(struct api_reply *reply, struct api_request *request)
{
    return give_page(reply, request, CONSOLE_POLICY, &CONSOLE_PAGE);
}

enum st api_op_get_console_script(struct api_reply *reply, struct api_request *request)
{
    return give(reply, request, JAVASCRIPT, &CONSOLE_SCRIPT);
}

enum st api_op_get_console_style(struct api_reply *reply, struct api_request *request)
{
    return give(reply, request, CSS, &CONSOLE_STYLE);
}

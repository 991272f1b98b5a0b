/* For schema.test.mjs: a line of input is a definition; a line of output is "ok", or what the
 * parser says against it. One process for thousands of them. */
#include "store/definition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum st judge(const char *line, size_t len)
{
    struct store_definition *definition = NULL;
    json_t *document = NULL;
    enum st st = jx_parse_object(&document, line, len);

    if (!st)
        st = store_definition_parse(&definition, document);
    store_definition_free(definition);
    json_decref(document);
    return st;
}

/* In one line: names of a definition are in it. */
static void print_failure(void)
{
    for (const char *p = st_message(); *p; p++)
        putchar(*p == '\n' ? ' ' : *p);
    putchar('\n');
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    while ((len = getline(&line, &room, stdin)) > 0) {
        if (judge(line, (size_t)len - (line[len - 1] == '\n')))
            print_failure();
        else
            puts("ok");
    }
    free(line);
    return 0;
}

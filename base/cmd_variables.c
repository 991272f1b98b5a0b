#include "base/cmd_internal.h"

#include <string.h>
#include <unistd.h>

/* Variables that nobody reads. Most are somebody else's (an orchestrator's EVERLINE_SERVICE_HOST);
 * one that is nearly the name of an option is meant to be it. */

#define PREFIX "EVERLINE_"
#define NAME_MAX_BYTES 40 /* of what follows the prefix; no option has a longer one */
#define SLIPS_MAX 2

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters that were added, left out, replaced or swapped with the next one. */
static size_t count_slips(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t d[NAME_MAX_BYTES + 1][NAME_MAX_BYTES + 1];

    for (size_t i = 0; i <= a_len; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= b_len; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a_len; i++)
        for (size_t j = 1; j <= b_len; j++) {
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
                            d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[a_len][b_len];
}

size_t cmd_distance(const char *name, size_t len, const char *known)
{
    size_t known_len = strlen(known);

    if (len > NAME_MAX_BYTES || known_len > NAME_MAX_BYTES)
        return SIZE_MAX;
    size_t slips = count_slips(name, len, known, known_len);
    return slips <= SLIPS_MAX && slips * 3 < known_len ? slips : SIZE_MAX;
}

/* The nearest name of a variable that something reads, into `out`. */
static size_t find_nearest(char out[64], const struct cmd_program *program, const char *name,
                           size_t len)
{
    char known[64];
    size_t best = cmd_distance(name, len, "CONFIG");

    strcpy(out, PREFIX "CONFIG");
    for (const struct cmd *c = program->commands; c->name; c++)
        for (const struct cmd_option *o = c->options; o && o->name; o++) {
            cmd_variable(known, o->name);
            size_t d = cmd_distance(name, len, known + strlen(PREFIX));
            if (d < best) {
                best = d;
                strcpy(out, known);
            }
        }
    return best;
}

void cmd_warn_of_variables(const struct cmd_program *program)
{
    char nearest[64];

    for (char **variable = environ; !program->partial && *variable; variable++) {
        const char *name = *variable + strlen(PREFIX), *end = strchr(*variable, '=');
        if (strncmp(*variable, PREFIX, strlen(PREFIX)) != 0 || !end)
            continue;
        size_t slips = find_nearest(nearest, program, name, (size_t)(end - name));
        if (slips > 0 && slips != SIZE_MAX)
            fprintf(stderr, "%s: warning: nothing reads %.*s; is %s meant?\n", program->name,
                    (int)(end - *variable), *variable, nearest);
    }
}

#include "base/number.h"

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static locale_t plain;

static void make_plain(void)
{
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static void need_plain(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_plain);
}

const char *number_text(char out[NUMBER_SIZE], double value)
{
    need_plain();
    locale_t before = uselocale(plain);
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, NUMBER_SIZE, "%.*g", precision, value);
        if (strtod(out, NULL) == value)
            break;
    }
    uselocale(before);
    return out;
}

double number_read(const char *text, char **end)
{
    need_plain();
    return strtod_l(text, end, plain);
}

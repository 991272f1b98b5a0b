#include "base/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_NS 200000000u
#define LINE_NS 3000000000u
#define BAR_WIDTH 24
#define BAR_LEAST 8        /* columns: a shorter one says nothing */
#define RATE_NS 500000000u /* before that a rate, and the time that is left by it, is a guess */
#define PHASE_WIDTH 10
#define TIME_SIZE 32
#define NUMBERS_SIZE 128

/* Of so many parts, the last one only when it is over. */
static size_t parts(uint64_t done, uint64_t total, size_t all)
{
    return done < total ? (size_t)((double)done / (double)total * (double)all) : all - 1;
}

unsigned progress_percent(uint64_t done, uint64_t total)
{
    return (unsigned)parts(done, total, 100);
}

uint64_t progress_total(double *share, uint64_t done, uint64_t total)
{
    double now = done < total ? (double)done / (double)total : 1;

    if (!total)
        return 0;
    if (now < *share)
        return (uint64_t)((double)done / *share);
    *share = now;
    return total;
}

void progress_view_init(struct progress_view *v, const char *what)
{
    *v = (struct progress_view){
        .what = what,
        .unit = "rows",
        .terminal = isatty(STDERR_FILENO) == 1,
        .start_ns = clock_steady_ns(),
    };
    v->shown_ns = v->start_ns;
}

/* "9s", "2m05s", "3h07m". */
static void time_text(char out[TIME_SIZE], double seconds)
{
    unsigned long long s = (unsigned long long)seconds;

    if (s < 60)
        snprintf(out, TIME_SIZE, "%llus", s);
    else if (s < 3600)
        snprintf(out, TIME_SIZE, "%llum%02llus", s / 60, s % 60);
    else
        snprintf(out, TIME_SIZE, "%lluh%02llum", s / 3600, s / 60 % 60);
}

/* How much is done and how fast (not when `brief`), and how long the rest takes; of a phase that
 * does not count, how long it has taken. */
static void numbers_text(char out[NUMBERS_SIZE], const struct progress_view *v, uint64_t done,
                         uint64_t total, uint64_t ns, bool brief)
{
    double seconds = (double)ns / 1e9, rate = ns >= RATE_NS ? (double)done / seconds : 0;
    char time[TIME_SIZE];
    int len;

    if (!done) {
        time_text(out, seconds);
        return;
    }
    len = snprintf(out, NUMBERS_SIZE, "%llu %s", (unsigned long long)done, v->unit);
    if (rate > 0 && !brief)
        len += snprintf(out + len, NUMBERS_SIZE - (size_t)len, ", %.0f %s/s", rate, v->unit);
    if (rate > 0 && done < total) {
        time_text(time, (double)(total - done) / rate + 1);
        snprintf(out + len, NUMBERS_SIZE - (size_t)len, ", %s left", time);
    }
}

void progress_view_line(char *out, size_t size, const struct progress_view *v, uint64_t done,
                        uint64_t total, uint64_t ns, size_t columns)
{
    char numbers[NUMBERS_SIZE], bar[BAR_WIDTH + sizeof "[] "] = "";
    size_t taken, room = columns ? columns - 1 : size - 1; /* in the last one a line breaks */

    numbers_text(numbers, v, done, total, ns, false);
    if (room < strlen(v->what) + PHASE_WIDTH + 2 + strlen(numbers))
        numbers_text(numbers, v, done, total, ns, true);
    taken = strlen(v->what) + PHASE_WIDTH + 2 + strlen(numbers) + strlen("[] ");
    if (columns && total && room >= taken + BAR_LEAST) {
        size_t width = room - taken < BAR_WIDTH ? room - taken : BAR_WIDTH;
        size_t filled = parts(done, total, width);
        bar[0] = '[';
        memset(bar + 1, '#', filled);
        memset(bar + 1 + filled, ' ', width - filled);
        memcpy(bar + 1 + width, "] ", 3);
    }
    snprintf(out, size, columns ? "%s %-*s %s%s" : "%s: %*s, %s%s", v->what,
             columns ? PHASE_WIDTH : 0, v->phase, bar, numbers);
    if (room < strlen(out))
        out[room] = '\0';
}

/* Asked each time: a window changes its size. */
static size_t terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

void progress_view_tell(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    struct progress_view *v = ctx;
    uint64_t now_ns = clock_steady_ns();
    bool new_phase = phase != v->phase;
    char line[512];

    if (new_phase) {
        v->phase = phase;
        v->start_ns = now_ns;
    }
    if (now_ns - v->shown_ns < (v->terminal ? BAR_NS : LINE_NS) && !(v->terminal && new_phase))
        return;
    v->shown_ns = now_ns;
    progress_view_line(line, sizeof line, v, done, total, now_ns - v->start_ns,
                       v->terminal ? terminal_columns() : 0);
    fprintf(stderr, v->terminal ? "\r\033[K%s" : "%s\n", line);
}

void progress_view_end(struct progress_view *v)
{
    if (v->terminal && v->phase)
        fputs("\r\033[K", stderr);
}

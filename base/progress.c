#include "base/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_NS 200000000u
#define LINE_NS 3000000000u
#define BAR_WIDTH 24

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

static void show_bar(const struct progress_view *v, uint64_t done, uint64_t total, double seconds)
{
    int filled = total ? (int)((double)done / (double)total * BAR_WIDTH) : 0;

    if (filled > BAR_WIDTH)
        filled = BAR_WIDTH;
    fprintf(stderr, "\r\033[K%s %-10s ", v->what, v->phase);
    if (total)
        fprintf(stderr, "[%.*s%*s] ", filled, "########################", BAR_WIDTH - filled, "");
    fprintf(stderr, "%llu %s, %.0f %s/s", (unsigned long long)done, v->unit,
            seconds > 0 ? (double)done / seconds : 0, v->unit);
}

void progress_view_tell(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    struct progress_view *v = ctx;
    uint64_t now_ns = clock_steady_ns();
    bool new_phase = phase != v->phase;

    if (new_phase) {
        v->phase = phase;
        v->start_ns = now_ns;
    }
    double seconds = (double)(now_ns - v->start_ns) / 1e9;
    if (v->terminal && (new_phase || now_ns - v->shown_ns >= BAR_NS)) {
        show_bar(v, done, total, seconds);
        v->shown_ns = now_ns;
    } else if (!v->terminal && now_ns - v->shown_ns >= LINE_NS) {
        fprintf(stderr, "%s: %s, %llu %s\n", v->what, phase, (unsigned long long)done, v->unit);
        v->shown_ns = now_ns;
    }
}

void progress_view_end(struct progress_view *v)
{
    if (v->terminal && v->phase)
        fputs("\r\033[K", stderr);
}

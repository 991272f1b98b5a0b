#include "store/scrub.h"

enum st scrub_metrics_register(struct scrub_metrics *out, struct metrics *m)
{
    const struct {
        struct metric **metric;
        struct metric_info info;
    } rows[] = {
        {&out->bytes,
         {.name = "everline_scrub_bytes_total",
          .help = "Bytes of segments that this process has read again from the disk.",
          .kind = METRIC_COUNTER}},
        {&out->segments,
         {.name = "everline_scrub_segments_total",
          .help = "Segments that this process has read again.",
          .kind = METRIC_COUNTER}},
        {&out->failures,
         {.name = "everline_scrub_failures_total",
          .help = "Segments that were bad when this process read them again.",
          .kind = METRIC_COUNTER}},
        {&out->complete,
         {.name = "everline_scrub_complete_timestamp_seconds",
          .help = "Every kept segment has been read since this time; 0: not known yet.",
          .kind = METRIC_GAUGE}},
        {&out->damaged,
         {.name = "everline_scrub_damaged_segments",
          .help = "Segments of kept versions that are known to be bad.",
          .kind = METRIC_GAUGE}},
    };
    enum st st = ST_OK;

    for (size_t i = 0; !st && m && i < sizeof rows / sizeof rows[0]; i++)
        st = metrics_register(rows[i].metric, m, &rows[i].info);
    return st;
}

/* A Parquet file with the rows of the benchmarks' CSV file, and with its types. usage:
 * bench_parquet FROM.csv TO.parquet */
#include "ingest/duck.h"

#include <stdio.h>

static enum st convert(struct duck *d, const char *from, const char *to)
{
    struct buf sql;
    buf_init(&sql, 1u << 20);
    buf_addstr(&sql, "COPY (SELECT * REPLACE (eligible::BOOLEAN AS eligible) FROM read_csv(");
    duck_add_literal(&sql, from);
    buf_addstr(&sql, ", all_varchar=true)) TO ");
    duck_add_literal(&sql, to);
    buf_addstr(&sql, " (FORMAT parquet, USE_TMP_FILE false)");
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_run(d, "writing a Parquet file", sql.data);
    buf_release(&sql);
    return st;
}

int main(int argc, char **argv)
{
    struct duck *d = NULL;
    if (argc != 3) {
        fputs("usage: bench_parquet FROM.csv TO.parquet\n", stderr);
        return 2;
    }
    enum st st = duck_open(&d, &(struct duck_options){2ull << 30, 2, argv + 1, 2});
    if (!st)
        st = convert(d, argv[1], argv[2]);
    duck_close(d);
    if (st)
        fprintf(stderr, "bench_parquet: %s\n", st_message());
    return st ? 1 : 0;
}

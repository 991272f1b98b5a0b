/* What the formats of sources share. */
#ifndef EVERLINE_INGEST_SOURCE_INTERNAL_H
#define EVERLINE_INGEST_SOURCE_INTERNAL_H

#include "ingest/source.h"

#define SOURCE_LEDGER_HINT "write or transfer the files again; if it stays, it is Everline's fault"

/* As the source declares it, whatever its case; NULL when it does not. */
const struct store_column *source_declared(const struct store_source *s, const char *name);
/* Of a CSV column: what is declared, or VARCHAR. */
const char *source_type(const struct store_source *s, const char *name);

/* CREATE TABLE of a source, up to its ")". */
void source_begin_table(struct buf *sql, const struct store_source *s);
void source_add_column(struct buf *sql, size_t index, const char *name, const char *type);

/* Our own SQL about a source. */
enum st source_run(struct duck *d, const struct store_source *s, struct buf *sql) ST_MUST_USE;

/* Adds {"file","bytes","sha256"} of a file that was read. */
enum st source_note_file(struct source_ledger *ledger, const struct task_file *f,
                         const unsigned char sum[DIGEST_BYTES]) ST_MUST_USE;

enum st source_csv_bind(struct duck *d, const struct store_source *s,
                        const struct task_source *files) ST_MUST_USE;
enum st source_ndjson_bind(struct duck *d, const struct store_source *s,
                           const struct task_source *files) ST_MUST_USE;
/* CSV and NDJSON: the relation, once it is bound. `number`: of the source. */
struct source_text;
enum st source_text_open(struct source_text **out, struct duck *d, const struct store_source *s,
                         const struct task_source *files, size_t number,
                         const struct ingest_progress *progress) ST_MUST_USE;
enum st source_text_finish(struct source_ledger *ledger, struct source_text *t, struct duck *d,
                           bool failed) ST_MUST_USE;
void source_text_close(struct source_text *t); /* before the database */
/* SELECT ... of the relation's rows, with their places as `place` (NULL: without). */
void source_text_add_select(struct buf *sql, const struct source_text *t, const char *place);

enum st source_parquet_bind(struct duck *d, const struct store_source *s,
                            const struct task_source *files) ST_MUST_USE;
/* ST_INVALID, code PARQUET: a file is damaged; with `unread`, also one with values that cannot be
 * read. */
enum st source_parquet_blame(struct duck *d, const struct task_source *files,
                             bool unread) ST_MUST_USE;
/* As of text. ST_NOT_FOUND without a report: the files' own columns are in the way. */
enum st source_parquet_add_placed(struct buf *sql, struct duck *d, const struct task_source *files,
                                  const char *column) ST_MUST_USE;
enum st source_parquet_load(struct source_ledger *ledger, struct duck *d,
                            const struct store_source *s, const struct task_source *files,
                            const struct ingest_progress *progress) ST_MUST_USE;

#endif

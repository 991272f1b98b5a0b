/* Backups: a whole copy of what a data directory serves, made while it serves and ingests. Keys are
 * not in it: who has only the backup cannot read or forge anything by them (DESIGN section 4). The
 * layout is in store/backup_internal.h. */
#ifndef EVERLINE_STORE_BACKUP_H
#define EVERLINE_STORE_BACKUP_H

#include "store/store.h"

/* Bytes of segments, done and in all. `phase` is a literal. */
typedef void (*store_tell_fn)(const char *phase, uint64_t done, uint64_t total, void *ctx);

struct store_backup_options {
    const char *to;        /* directory of backups; made when it is missing */
    store_tell_fn tell_fn; /* or NULL */
    void *ctx;
};

/* One backup more. Segments that the directory has already, whole, are not copied again. Versions
 * that are being built are not in it. *report: {"backup","created_at","datasets","versions",
 * "segments","copied","bytes","copied_bytes","keys":[{"tenant","id"}]}. ST_CONFLICT, code LOCKED:
 * another backup is being made there; ST_CORRUPT: a file that the backup needs is damaged. */
enum st store_backup(json_t **report, struct store *s,
                     const struct store_backup_options *options) ST_MUST_USE;

struct store_restore_options {
    const char *from;     /* a directory of backups (the newest whole one), or one of them */
    const char *data_dir; /* missing, or empty but for keys */
    const char *keys_dir; /* NULL: data_dir/keys */
    const char *actor;    /* "cli:user"; goes into the events */
    store_tell_fn tell_fn;
    void *ctx;
};

/* A new data directory from a backup: serves the same answers, once the keys are there. What was
 * being built is FAILED, code RESTORED, and so are the jobs that had not ended; each head has an
 * event "restored". Nobody can open the directory before it is whole; after a failure it is as it
 * was. *report: {"backup","data","datasets","versions","failed","segments","bytes",
 * "keys":[{"tenant","id","state"}]}, state "present", "missing" or "wrong".
 * ST_CORRUPT, code BACKUP_INCOMPLETE or BACKUP_DAMAGED; ST_CONFLICT, code NOT_EMPTY. */
enum st store_restore(json_t **report, const struct store_restore_options *options) ST_MUST_USE;

#endif

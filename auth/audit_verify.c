#include "auth/audit_verify.h"

#include "auth/audit_file.h"

#include <stdio.h>
#include <string.h>

/* Every line is held against the one before it, every chain against its anchor. Where the oldest
 * files were removed when their time was over, the first line that is left begins the chain: its
 * hash is the one that it says. After a fault the walk goes on with what the bad line says of
 * itself, so that one change is one fault. */

struct walk {
    const char *directory;
    audit_fault_fn fault_fn;
    void *ctx;
    uint64_t *lines;
    char file[64];
    unsigned chain;
    struct audit_head last;
    bool starts;                       /* the hash before the next line is not known */
    const struct audit_anchor *anchor; /* of this chain, or NULL */
    bool met;                          /* its head was there */
};

static void tell(struct walk *w, uint64_t line, const char *what)
{
    w->fault_fn(w->file, line, what, w->ctx);
}

static void look(struct walk *w, const struct audit_text *line)
{
    uint64_t sequence = audit_line_sequence(line->bytes, line->len);
    unsigned char said[DIGEST_BYTES];

    ++*w->lines;
    if (audit_line_hash(said, line->bytes, line->len)) {
        tell(w, w->last.sequence + 1, "this is no line of the audit");
        return;
    }
    if (sequence != w->last.sequence + 1) {
        tell(w, w->last.sequence + 1,
             sequence > w->last.sequence ? "lines from here on are missing"
                                         : "lines are disordered");
    } else if (!w->starts && audit_line_check(w->last.hash, sequence, line->bytes, line->len)) {
        tell(w, sequence, "it was changed, or does not follow the line before it");
    }
    w->starts = false;
    w->last.sequence = sequence;
    memcpy(w->last.hash, said, sizeof said);
    if (w->anchor && sequence == w->anchor->head.sequence) {
        w->met = true;
        if (memcmp(said, w->anchor->head.hash, sizeof said) != 0)
            tell(w, sequence, "it is not the line that the catalog has the hash of");
    }
}

static void end_chain(struct walk *w)
{
    if (w->anchor && w->anchor->head.sequence >= w->anchor->first && !w->met)
        tell(w, w->last.sequence + 1, "lines are missing at the end");
}

static const struct audit_anchor *find(const struct audit_anchor *anchors, size_t count,
                                       unsigned chain)
{
    for (size_t i = 0; i < count; i++)
        if (anchors[i].chain == chain)
            return &anchors[i];
    return NULL;
}

static void begin_chain(struct walk *w, const char *tenant, unsigned chain, uint64_t first)
{
    uint64_t kept = w->anchor ? w->anchor->first : 1;

    w->chain = chain;
    w->met = false;
    w->last.sequence = (first < kept ? first : kept) - 1;
    w->starts = kept > 1 && first > 0 && first <= kept;
    audit_line_origin(w->last.hash, tenant, chain);
}

static enum st read_file(struct walk *w, uint64_t first)
{
    struct audit_file file = {0};
    struct audit_text line;
    enum st st = audit_file_read(&file, w->directory, w->chain, first);

    snprintf(w->file, sizeof w->file, AUDIT_FILE_FORMAT, w->chain, (unsigned long long)first);
    while (!st && audit_file_next(&line, &file))
        look(w, &line);
    audit_file_release(&file);
    return st;
}

enum st audit_verify(uint64_t *lines, const char *directory, const char *tenant,
                     const struct audit_anchor *anchors, size_t anchor_count,
                     audit_fault_fn fault_fn, void *ctx)
{
    char path[FS_PATH_MAX];
    struct audit_names names = {0};
    struct walk w = {.directory = path, .fault_fn = fault_fn, .ctx = ctx, .lines = lines};
    enum st st = fs_path(path, "%s/%s", directory, tenant);

    if (!st)
        st = audit_names_list(&names, path, 0);
    for (size_t i = 0; !st && i < names.count; i++) {
        const struct audit_name *n = &names.list[i];
        if (n->chain != w.chain) {
            if (w.chain)
                end_chain(&w);
            w.anchor = find(anchors, anchor_count, n->chain);
            begin_chain(&w, tenant, n->chain, n->first);
        }
        st = read_file(&w, n->first);
    }
    if (!st && w.chain)
        end_chain(&w);
    for (size_t i = 0; !st && i < anchor_count; i++) { /* a chain of which nothing is left */
        size_t j = 0;
        while (j < names.count && names.list[j].chain != anchors[i].chain)
            j++;
        w.last.sequence = 0;
        snprintf(w.file, sizeof w.file, "%u", anchors[i].chain);
        if (j == names.count && anchors[i].head.sequence >= anchors[i].first)
            tell(&w, 0, "the files of this chain are missing");
    }
    audit_names_release(&names);
    return st;
}

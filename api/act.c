#include "api/act.h"

#include "base/clock.h"
#include "store/anchor.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum st act_begin(struct act *a, struct store *s, const char *tenant)
{
    char directory[FS_PATH_MAX];
    struct store_tenant known;
    struct store_anchor anchor;
    struct audit_head head = {0};

    *a = (struct act){.store = s, .lock = -1};
    enum st st = store_tenant_get(&known, s, tenant);
    if (st)
        return st;
    st = fs_path(directory, "%s/audit", store_data_dir(s));
    if (!st)
        st = audit_chain_take(&a->lock, &a->number, directory);
    if (!st)
        st = store_anchor_get(&anchor, s, tenant, a->number);
    if (!st) {
        head.sequence = anchor.sequence;
        memcpy(head.hash, anchor.hash, sizeof head.hash);
        st = audit_chain_open(&a->chain, directory, tenant, a->number, &head, AUDIT_ROTATE_BYTES);
    }
    return st ? st_wrap(st, "the audit cannot be written, and nothing was done") : ST_OK;
}

static enum st note(const struct act *a, const struct audit_record *record)
{
    struct store_anchor anchor = {.chain = a->number, .first = 1};
    enum st st = audit_chain_add(a->chain, record, NULL);

    if (!st)
        st = audit_chain_commit(a->chain);
    if (st)
        return st_wrap(st, "what was done cannot be noted in the audit");
    const struct audit_head *head = audit_chain_head(a->chain);
    snprintf(anchor.tenant, sizeof anchor.tenant, "%s", audit_chain_tenant(a->chain));
    anchor.sequence = head->sequence;
    memcpy(anchor.hash, head->hash, sizeof anchor.hash);
    return store_anchor_put(a->store, &anchor, 1);
}

enum st act_end(struct act *a, struct audit_record *record, enum st st)
{
    const struct passwd *user = getpwuid(geteuid());
    char actor[128];
    struct st_report report;

    if (!a->chain) {
        fs_close(&a->lock);
        return st;
    }
    st_save(&report, st);
    snprintf(actor, sizeof actor, "cli:%s", user ? user->pw_name : "unknown");
    record->at_us = clock_wall_us();
    record->actor = actor;
    record->outcome = st ? "refused" : "done";
    enum st noted = note(a, record);
    audit_chain_close(a->chain);
    fs_close(&a->lock);
    return st ? st_restore(&report) : noted;
}

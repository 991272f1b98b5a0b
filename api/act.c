#include "api/act.h"

#include "base/clock.h"
#include "store/anchor.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum st open_chain(struct act *a, const char *tenant)
{
    char directory[FS_PATH_MAX];
    struct store_anchor anchor;
    struct audit_head head = {0};
    enum st st = fs_path(directory, "%s/audit", store_data_dir(a->store));

    if (!st)
        st = audit_chain_take(&a->lock, &a->number, directory);
    if (!st)
        st = store_anchor_get(&anchor, a->store, tenant, a->number);
    if (st)
        return st;
    head.sequence = anchor.sequence;
    memcpy(head.hash, anchor.hash, sizeof head.hash);
    return audit_chain_open(&a->chain, directory, tenant, a->number, &head, AUDIT_ROTATE_BYTES);
}

static enum st note(struct act *a, const char *outcome)
{
    const struct passwd *user = getpwuid(geteuid());
    struct audit_record line = *a->record;
    char actor[128];

    snprintf(actor, sizeof actor, "cli:%s", user ? user->pw_name : "unknown");
    line.at_us = clock_wall_us();
    line.actor = actor;
    line.outcome = outcome;
    enum st st = audit_chain_add(a->chain, &line, NULL);
    return st ? st : audit_chain_commit(a->chain);
}

enum st act_begin(struct act *a, struct store *s, const char *tenant,
                  const struct audit_record *record)
{
    struct store_tenant known;
    enum st st = store_tenant_get(&known, s, tenant);

    if (!st)
        return act_begin_tenant(a, s, tenant, record);
    *a = (struct act){.lock = -1};
    return st;
}

enum st act_begin_tenant(struct act *a, struct store *s, const char *tenant,
                         const struct audit_record *record)
{
    *a = (struct act){.store = s, .record = record, .lock = -1};
    enum st st = open_chain(a, tenant);

    if (!st)
        st = note(a, "begun");
    if (!st)
        return ST_OK;
    audit_chain_close(a->chain);
    a->chain = NULL;
    return st_wrap(st, "the audit cannot be written, and nothing was done");
}

static enum st put_anchor(const struct act *a)
{
    struct store_anchor anchor = {.chain = a->number, .first = 1};
    const struct audit_head *head = audit_chain_head(a->chain);

    snprintf(anchor.tenant, sizeof anchor.tenant, "%s", audit_chain_tenant(a->chain));
    anchor.sequence = head->sequence;
    memcpy(anchor.hash, head->hash, sizeof anchor.hash);
    return store_anchor_put(a->store, &anchor, 1);
}

static const char *outcome_of(enum st st)
{
    return st == ST_UNKNOWN_OUTCOME ? "unknown" : st ? "refused" : "done";
}

enum st act_end(struct act *a, enum st st)
{
    struct st_report report;

    if (a->chain) {
        st_save(&report, st);
        enum st noted = note(a, outcome_of(st));
        if (!noted)
            noted = put_anchor(a);
        if (noted)
            fprintf(stderr, "everline: the audit has this as begun, its end cannot be noted: %s\n",
                    st_message());
        st = st ? st_restore(&report) : ST_OK;
        audit_chain_close(a->chain);
    }
    fs_close(&a->lock);
    return st;
}

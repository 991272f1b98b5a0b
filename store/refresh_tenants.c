#include "store/refresh.h"

#include "base/log.h"
#include "store/name.h"

#include <stdlib.h>
#include <string.h>

/* What is wrong with the row of one tenant is that tenant's alone: nobody knows then whether it is
 * enabled, so that it is not served, and the others are. What the previous view has of it stays
 * there for its keys, so that its tokens are known and can be told. */

static void take_damaged(struct store_tenant *tenant, const struct refresh *r, const char *name)
{
    const struct store_tenant *before = r->previous ? store_view_tenant(r->previous, name) : NULL;

    if (!before || !before->damaged)
        log_failure(LOG_LEVEL_ERROR, "tenant_damaged",
                    "tenant %s is not served until the catalog is rebuilt", name);
    store_tenant_init(tenant, name);
    tenant->enabled = false;
    if (before)
        memcpy(tenant, before, sizeof *tenant); /* padding too, as it is compared */
    tenant->damaged = true;
}

static void add_tenant(struct refresh *r, struct catalog_txn *t, const char *name,
                       const json_t *row)
{
    struct store_view *v = r->view;
    struct store_tenant *grown = reallocarray(v->tenants, v->tenant_count + 1, sizeof *grown);
    struct store_tenant *tenant = grown ? &grown[v->tenant_count] : NULL;

    if (!grown) {
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
        return;
    }
    v->tenants = grown;
    v->tenant_count++;
    memset(tenant, 0, sizeof *tenant); /* compared bytewise below */
    if (!row || store_tenant_from_json(tenant, row))
        take_damaged(tenant, r, name);
}

void refresh_tenants(struct refresh *r, struct catalog_txn *t)
{
    char key[CATALOG_KEY_SIZE] = "";
    const struct store_view *p = r->previous;
    struct store_view *v = r->view;
    json_t *row;

    while (catalog_after_any(&row, t, CATALOG_TENANTS, "", key)) {
        if (store_name_check("tenant", key) == ST_OK)
            add_tenant(r, t, key, row);
        else
            v->nameless++;
        json_decref(row);
    }
    if (v->nameless > (p ? p->nameless : 0))
        log_event(LOG_LEVEL_ERROR, "tenant_damaged",
                  "the names of %u tenants are damaged: they are not served until the catalog is "
                  "rebuilt",
                  v->nameless);
    bool same = p && p->tenant_count == v->tenant_count &&
                (v->tenant_count == 0 ||
                 memcmp(p->tenants, v->tenants, v->tenant_count * sizeof *v->tenants) == 0);
    v->tenants_epoch = p ? p->tenants_epoch + !same : 1;
    r->changed |= !same;
}

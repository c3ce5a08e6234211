/* SPDX-License-Identifier: Apache-2.0 */
/* What a node's predecessor left behind when it died: tasks that were
 * acknowledged and ran are told as lost; those that come again are counted, so
 * that a task that kills its worker is not run for ever; claims of tasks that
 * only waited are released.  All of that before its messages are taken: until
 * then the records say that they run. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "worker/node.h"

struct lost_task {
    unsigned deaths;
    enum shm_use use;
    int64_t attempt;
    char id[TASK_ID_MAX + 1];
};

static const char lost_text[] = "The worker was lost while the task ran.";

static void
add(struct node *n, const struct shm_slot *s)
{
    struct lost_task *t = map_find(&n->lost, node_slice(s->id));

    if (!t) {
        t = calloc(1, sizeof(*t));
        if (!t)
            return;
        memcpy(t->id, s->id, sizeof(t->id));
        t->id[TASK_ID_MAX] = '\0';
        if (map_put(&n->lost, node_slice(t->id), t) != ST_OK) {
            free(t);
            return;
        }
    }
    if (s->deaths > t->deaths)
        t->deaths = s->deaths;
    t->use = (enum shm_use)s->use;
    t->attempt = s->attempt;
}

void
lost_init(struct node *n)
{
    map_init(&n->lost);
    for (uint32_t i = 0; i < n->page->lost_count && i < SHM_SLOTS; i++)
        add(n, &n->page->lost[i]);
}

void
lost_fini(struct node *n)
{
    size_t pos = 0;
    struct lost_task *t;

    while ((t = map_next(&n->lost, &pos)))
        free(t);
    map_fini(&n->lost);
}

void
lost_report(struct node *n)
{
    size_t pos = 0;
    const struct lost_task *t;

    while ((t = map_next(&n->lost, &pos)))
        if (t->use == SHM_EARLY)
            node_store_lost(n, node_slice(t->id), lost_text);
    n->page->lost_count = 0;
}

unsigned
lost_deaths(const struct node *n, struct slice id, bool *early)
{
    const struct lost_task *t;

    if (!n->lost.count)
        return 0;
    t = map_find(&n->lost, id);
    if (t)
        *early = t->use == SHM_EARLY;
    return t ? t->deaths : 0;
}

static void
buried(void *arg, enum status st, const struct slice *ids, size_t k)
{
    struct node *n = arg;

    for (size_t i = 0; st == ST_OK && i < k; i++) {
        const struct lost_task *t = map_find(&n->lost, ids[i]);

        /* Those in the page are told when the node is ready. */
        if (!t || t->use != SHM_EARLY)
            node_store_lost(n, ids[i], lost_text);
    }
}

void
lost_bury(struct node *n)
{
    struct slice all = {NULL, 0};

    records_bury(n->records, all, buried, n);
}

/* ---- before the dead node's messages are taken ---- */

static void
recovered(void *arg, enum status st, const struct slice *ids, size_t k)
{
    struct node *n = arg;

    if (st != ST_OK)
        log_warning("the claims of the dead node wait for their end",
                    "reason=%s", status_text(st));
    buried(arg, st, ids, k);
    n->recovered(n);
}

static void
bury_dead(struct node *n)
{
    if (--n->releases == 0)
        records_bury(n->records, node_slice(n->page->dead), recovered, n);
}

static void
released(void *arg, enum status st)
{
    (void)st; /* its lease will end */
    bury_dead(arg);
}

void
lost_recover(struct node *n, void (*then)(struct node *n))
{
    size_t pos = 0;
    const struct lost_task *t;

    n->recovered = then;
    n->releases = 1;
    while ((t = map_next(&n->lost, &pos))) {
        if (t->use != SHM_CLAIMED || !t->attempt)
            continue;
        n->releases++;
        records_release(n->records, node_slice(n->page->dead),
                        node_slice(t->id), t->attempt, released, n);
    }
    bury_dead(n);
}

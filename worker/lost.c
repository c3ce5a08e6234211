/* SPDX-License-Identifier: Apache-2.0 */
/* What a node's predecessor left behind when it died: tasks that were
 * acknowledged and ran are told as lost; those that come again are counted, so
 * that a task that kills its worker is not run for ever.
 *
 * With records it is they who know what had begun and what was acknowledged.
 * The dead node's claims are buried before its messages are taken: until then
 * they say that somebody has them.  What it had recorded and maybe not told is
 * told from there: no message comes again to ask for it. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "worker/node.h"

struct lost_task {
    struct node *n;
    unsigned deaths;
    enum shm_use use;
    char id[TASK_ID_MAX + 1], reply_to[SHM_REPLY_MAX + 1];
};

static const char lost_text[] = "The worker was lost while the task ran.";

static void
add(struct node *n, const struct shm_slot *s)
{
    struct lost_task *t = map_find(&n->lost, slice_of(s->id));

    if (!t) {
        t = calloc(1, sizeof(*t));
        if (!t)
            return;
        t->n = n;
        memcpy(t->id, s->id, sizeof(t->id));
        t->id[TASK_ID_MAX] = '\0';
        memcpy(t->reply_to, s->reply_to, sizeof(t->reply_to));
        t->reply_to[SHM_REPLY_MAX] = '\0';
        if (map_put(&n->lost, slice_of(t->id), t) != ST_OK) {
            free(t);
            return;
        }
    }
    if (s->deaths > t->deaths)
        t->deaths = s->deaths;
    t->use = (enum shm_use)s->use;
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

/* ---- telling ---- */

static void
tell_outcome(const struct lost_task *t, const struct records_row *row)
{
    struct node *n = t->n;
    struct outcome o;
    struct task_state ts = {.id = row->id,
                            .status = row->status,
                            .reply_to = slice_of(t->reply_to)};

    outcome_init(&o);
    if (n->result && resume_read(row, &o)) {
        ts.result = o.exc;
        ts.result_text = (struct slice){o.text, o.text_len};
        ts.traceback = slice_of(o.traceback);
        ts.done_us = row->finished_us;
        n->result->ops->put(n->result, &ts, NULL, NULL);
    }
    outcome_fini(&o);
}

static void found(void *arg, enum status st, const struct records_row *rows,
                  size_t k, int64_t total);

static void
ask(struct lost_task *t)
{
    t->n->lost_asked++;
    records_get(t->n->records, (struct records_key){slice_of(t->id), 0}, found,
                t);
}

static void
found(void *arg, enum status st, const struct records_row *rows, size_t k,
      int64_t total)
{
    struct lost_task *t = arg;
    struct node *n = t->n;

    (void)total;
    n->lost_asked--;
    if (n->phase == NODE_CLOSING)
        return; /* left to the next */
    if (st == ST_OK && k > 0)
        tell_outcome(t, &rows[0]); /* one that waits again has none */
    else if (st == ST_TIMEOUT)
        ask(t);
    if (!n->lost_asked)
        n->page->lost_count = 0;
}

void
lost_report(struct node *n)
{
    size_t pos = 0;
    struct lost_task *t;

    while ((t = map_next(&n->lost, &pos))) {
        if (t->use != SHM_EARLY)
            continue;
        if (n->records)
            ask(t);
        else
            node_store_lost(n, slice_of(t->id), slice_of(t->reply_to),
                            lost_text);
    }
    if (!n->lost_asked)
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

/* ---- burying ---- */

static void
buried(void *arg, enum status st, const struct slice *ids, size_t k)
{
    struct node *n = arg;

    for (size_t i = 0; st == ST_OK && i < k; i++) {
        const struct lost_task *t = map_find(&n->lost, ids[i]);

        node_store_lost(n, ids[i], slice_of(t ? t->reply_to : ""), lost_text);
    }
}

void
lost_bury(struct node *n)
{
    struct slice all = {NULL, 0};

    records_bury(n->records, all, buried, n);
}

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

void
lost_recover(struct node *n, void (*then)(struct node *n))
{
    n->recovered = then;
    records_bury(n->records, slice_of(n->page->dead), recovered, n);
}

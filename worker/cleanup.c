/* SPDX-License-Identifier: Apache-2.0 */
/* Results that have expired, where the service that has them does not delete
 * them by itself. */
#include "worker/cleanup.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "base/log.h"
#include "worker/node.h"

enum { HOUR_MS = 3600 * 1000 };

struct cleanup {
    lovage_task *task; /* NULL: it was cancelled */
    struct node *n;
};

static void
cleaned(void *arg, enum status st, const struct task_state *ts)
{
    struct cleanup *c = arg;
    lovage_task *t = c->task;

    (void)ts;
    if (t && c->n->phase != NODE_CLOSING)
        lovage_finish(t, st == ST_OK
                             ? lovage_return(t, lovage_null())
                             : lovage_raisef(t, "RuntimeError", "cleanup: %s",
                                             status_text(st)));
    free(c);
}

static void
cancelled(lovage_task *t, void *arg)
{
    struct cleanup *c = arg;

    (void)t;
    c->task = NULL;
}

lovage_status
cleanup_run(lovage_task *t)
{
    struct request *rq = t->host_arg; /* async: it is on a node's loop */
    struct result *r = rq->n->result;
    struct cleanup *c;

    if (!r || !r->ops->cleanup)
        return lovage_return(t, lovage_null());
    c = calloc(1, sizeof(*c));
    if (!c)
        return lovage_raise(t, "MemoryError", "builtins", NULL);
    *c = (struct cleanup){.task = t, .n = rq->n};
    r->ops->cleanup(r, cleaned, c);
    lovage_on_cancel(t, cancelled, c);
    return LOVAGE_PENDING;
}

static void
tidied(void *arg, enum status st, const struct task_state *ts)
{
    (void)arg;
    (void)ts;
    if (st != ST_OK)
        log_warning("expired results were not deleted", "reason=%s",
                    status_text(st));
}

/* The nodes of a fleet do not do it all at once. */
void
cleanup_tick(struct node *n, uint64_t now_us)
{
    uint64_t wait_ms = backoff_jitter(HOUR_MS / 2, HOUR_MS);

    if (!n->result || !n->result->ops->cleanup || now_us < n->cleanup_us)
        return;
    if (n->cleanup_us)
        n->result->ops->cleanup(n->result, tidied, n);
    else
        wait_ms = backoff_jitter(60 * 1000, HOUR_MS / 4);
    n->cleanup_us = now_us + wait_ms * 1000;
}

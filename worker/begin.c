/* SPDX-License-Identifier: Apache-2.0 */
/* A task begins: that is counted, shown and recorded, and only when it is on
 * record a message that is acknowledged early is acknowledged.  So one that a
 * dead node had claimed comes again, or is recorded as lost; never both, never
 * neither.  The task itself waits for none of that. */
#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"

static void
answered(struct request *rq, enum status st)
{
    if (st != ST_OK && rq->n->phase != NODE_CLOSING)
        log_warning("a task runs that is not recorded as begun",
                    "id=%.*s attempt=%lld reason=%s", (int)rq->tm.id.len,
                    rq->tm.id.ptr, (long long)rq->attempt, status_text(st));
    if (st == ST_OK && !rq->late)
        consumer_settle(rq, VERDICT_ACK);
}

static void
recorded(void *arg, enum status st)
{
    struct request *rq = arg;
    struct node *n = rq->n;

    rq->tells--;
    /* In any other state it is handed back already. */
    if (rq->state == RQ_RUNNING || rq->state == RQ_SETTLING)
        answered(rq, st);
    request_answered(rq);
    flow_changed(n);
}

/* An inline task was claimed as begun, and is acknowledged when it has run. */
static void
tell(struct request *rq)
{
    struct node *n = rq->n;

    if (rq->kind == LOVAGE_INLINE)
        return;
    if (rq->claimed) {
        rq->tells++;
        records_begun(n->records, node_who(n), rq->tm.id, rq->attempt,
                      !rq->late, recorded, rq);
    } else if (!rq->late) {
        consumer_settle(rq, VERDICT_ACK);
    }
}

void
begin_run(struct request *rq, pid_t pid)
{
    struct node *n = rq->n;

    flow_left(rq);
    request_move(rq, RQ_RUNNING);
    rq->time_start = (double)clock_unix_us() / 1e6;
    rq->started_us = clock_mono_us();
    rq->pid = pid;
    rq->slot = shm_enter(&n->slots, rq->tm.id, rq->tm.reply_to,
                         rq->late ? SHM_LATE : SHM_EARLY, rq->deaths);
    registry_entry(rq->def)->accepted++;
    if (rq->def->track_started || n->config->task_track_started)
        node_store_started(rq);
    tell(rq);
}

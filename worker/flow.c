/* SPDX-License-Identifier: Apache-2.0 */
/* How much is taken from the broker.
 *
 * Blocking tasks: as many wait here as Celery would prefetch (executors times
 * worker_prefetch_multiplier).  Inline tasks are done as soon as they are here
 * and never wait, and very short blocking ones hardly, so while only such come,
 * more and more are taken at a time.  A longer one among them ends that; what
 * of them is too much goes back to its queue.  When what we write to cannot
 * keep up, nothing is taken. */
#include "worker/node.h"

enum {
    BURST_FIRST = 16,
    BURST_MAX = 128,
    AHEAD_SHARE = 8,    /* async tasks that wait here: of those that may run */
    BACKLOG_MAX = 4096, /* answers that results or records owe us */
    OUTGOING_MAX = 10000, /* messages not confirmed */
    UNLIMITED = 10000     /* worker_prefetch_multiplier 0 */
};

static size_t
blocking_bound(const struct node *n)
{
    int64_t m = n->config->worker_prefetch_multiplier;

    return m > 0 ? pool_size(n->pool) * (size_t)m : UNLIMITED;
}

/* Async tasks: a few wait here, so that the next starts when one ends and not
 * a round trip to the broker later. */
static size_t
async_bound(const struct node *n)
{
    size_t max = (size_t)n->config->worker_async_concurrency;
    size_t ahead = max / AHEAD_SHARE;

    if (n->config->worker_prefetch_multiplier == 1)
        return max; /* who sets it wants nothing to wait here */
    return max + (ahead < BURST_MAX ? ahead : BURST_MAX);
}

static bool
congested(const struct node *n)
{
    if (n->result && (n->result->ops->backlog(n->result) > BACKLOG_MAX ||
                      store_is_refused(n)))
        return true;
    if (n->records && records_backlog(n->records) > BACKLOG_MAX)
        return true;
    return n->outgoing_count > OUTGOING_MAX;
}

static void
adapt_burst(struct node *n)
{
    if (n->took_blocking)
        n->burst = 0;
    else if (n->took_other && n->burst < BURST_MAX)
        n->burst = n->burst ? n->burst * 2 : BURST_FIRST;
    n->took_blocking = n->took_other = false;
}

static size_t
room(const struct node *n)
{
    size_t bound = blocking_bound(n) + n->burst, r;
    size_t async_max = async_bound(n);
    size_t async = n->async_running + n->async_waiting;

    if (n->phase != NODE_RUNNING || congested(n) ||
        n->blocking_waiting >= bound || async >= async_max)
        return 0;
    r = bound - n->blocking_waiting;
    return r < async_max - async ? r : async_max - async;
}

static void
look(void *arg)
{
    struct node *n = arg;
    size_t r;
    unsigned want;

    if (n->phase == NODE_CLOSING || !n->broker)
        return;
    dispatch_more(n);
    adapt_burst(n);
    r = room(n);
    want = r ? (unsigned)(n->unsettled + r) : 0;
    if (want != n->prefetch) {
        n->prefetch = want;
        n->broker->ops->prefetch(n->broker, want);
    }
    if (n->phase == NODE_DRAINING)
        shutdown_check(n);
}

void
flow_init(struct node *n)
{
    turn_init(&n->flow, &n->loop, look, n);
}

void
flow_changed(struct node *n)
{
    if (n->phase != NODE_CLOSING)
        turn_ask(&n->flow);
}

void
flow_took(struct request *rq)
{
    struct node *n = rq->n;

    if (rq->counted)
        return;
    rq->counted = true;
    if (rq->kind == LOVAGE_BLOCKING) {
        n->blocking_waiting++;
        if (run_pool_is_short(rq))
            n->took_other = true;
        else
            n->took_blocking = true;
    } else {
        n->async_waiting += rq->kind == LOVAGE_ASYNC;
        n->took_other = true;
    }
    flow_changed(n);
}

void
flow_left(struct request *rq)
{
    struct node *n = rq->n;

    if (!rq->counted)
        return;
    rq->counted = false;
    n->blocking_waiting -= rq->kind == LOVAGE_BLOCKING;
    n->async_waiting -= rq->kind == LOVAGE_ASYNC;
    flow_changed(n);
}

bool
flow_surplus(struct request *rq)
{
    struct node *n = rq->n;

    size_t bound = blocking_bound(n);

    if (rq->kind != LOVAGE_BLOCKING)
        return false;
    if (run_pool_is_short(rq))
        bound += BURST_MAX;
    if (n->blocking_waiting < bound)
        return false;
    n->took_blocking = true;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Ending a node: warm (what runs may finish) and cold (it may not).  Nothing is
 * lost by either: what has not begun, and what is acknowledged late, goes back
 * to the broker; what was acknowledged and interrupted is recorded as lost. */
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"

enum { COLD_S = 5 };

static const uint64_t second_us = 1000000;

/* Those in a list may go while it is walked. */
static void
each_in(struct node *n, enum request_state s, void (*fn)(struct request *rq))
{
    list_for_each_safe (l, &n->states[s])
        fn(list_entry(l, struct request, link));
}

static void
give_back(struct request *rq)
{
    /* In an executor's batch it cannot be stopped from running. */
    if (!rq->job.executor)
        consumer_hand_back(rq, VERDICT_REQUEUE);
}

/* Late acknowledged tasks go back; what was acknowledged is told as lost. */
static void
cut_off(struct request *rq)
{
    /* An executor's death comes as an event: run_pool.c. */
    if (rq->kind == LOVAGE_ASYNC)
        dispatch_interrupt(rq);
}

/* ---- closing ---- */

static void
part_closed(void *arg)
{
    struct node *n = arg;

    n->closing--;
}

static void
close_handles(struct node *n)
{
    for (size_t i = 0; i < sizeof(n->signals) / sizeof(n->signals[0]); i++)
        uv_close((uv_handle_t *)&n->signals[i], NULL);
    uv_close((uv_handle_t *)&n->tick, NULL);
    turn_close(&n->flow, NULL);
    timers_close(&n->timers, NULL);
    stalls_close(&n->stalls);
}

/* After a cold shutdown that was not answered in time: what is not settled is
 * the broker's again. */
static void
leave(struct request *rq)
{
    consumer_settle(rq, VERDICT_REQUEUE);
}

static void
close_all(struct node *n)
{
    const uint32_t flush_ms = 3000;
    struct relay *relay = n->relay;

    log_info("closing", "node=%s", n->name);
    each_in(n, RQ_PARKED, give_back);
    for (int s = 0; s < RQ_SETTLED; s++)
        each_in(n, (enum request_state)s, leave);
    n->relay = NULL;
    n->phase = NODE_CLOSING;
    node_publish_end(n);
    n->closing = 1;
    pool_close(n->pool, part_closed, n);
    if (relay) {
        n->closing++;
        relay_close(relay, part_closed, n);
    }
    if (n->broker) {
        n->closing++;
        n->broker->ops->close(n->broker, flush_ms, part_closed, n);
    }
    if (n->result) {
        n->closing++;
        n->result->ops->close(n->result, flush_ms, part_closed, n);
    }
    if (n->records) {
        n->closing++;
        records_close(n->records, flush_ms, part_closed, n);
    }
    if (n->http) {
        n->closing++;
        http_close(n->http, part_closed, n);
    }
    if (n->cache)
        cache_close(n->cache);
    close_handles(n);
}

/* ---- draining ---- */

static bool
is_idle(const struct node *n)
{
    return !n->counts[RQ_RECEIVED] && !n->counts[RQ_CLAIMING] &&
           !n->counts[RQ_READY] && !n->counts[RQ_RUNNING] &&
           !n->counts[RQ_SETTLING] && !n->counts[RQ_SETTLED] &&
           list_empty(&n->outgoing);
}

/* Called at the end of turns and once a second. */
void
shutdown_check(struct node *n)
{
    uint64_t now = clock_mono_us();

    if (n->phase != NODE_DRAINING)
        return;
    if (is_idle(n) || (n->cold && now >= n->drain_end_us))
        close_all(n);
    else if (n->drain_end_us && now >= n->drain_end_us)
        shutdown_cold(n);
}

void
shutdown_warm(struct node *n)
{
    double timeout = n->config->worker_shutdown_timeout;

    if (n->phase >= NODE_DRAINING)
        return;
    log_info("warm shutdown", "node=%s running=%zu", n->name,
             n->counts[RQ_RUNNING]);
    n->phase = NODE_DRAINING;
    if (timeout > 0)
        n->drain_end_us =
            clock_mono_us() + (uint64_t)(timeout * (double)second_us);
    if (n->broker)
        n->broker->ops->prefetch(n->broker, 0);
    n->prefetch = 0;
    each_in(n, RQ_READY, give_back);
    each_in(n, RQ_PARKED, give_back);
    flow_changed(n);
    if (!n->broker)
        shutdown_check(n);
}

void
shutdown_cold(struct node *n)
{
    if (n->phase == NODE_CLOSING || n->cold)
        return;
    shutdown_warm(n);
    log_warning("cold shutdown", "node=%s interrupted=%zu", n->name,
                n->counts[RQ_RUNNING]);
    n->cold = true;
    pool_kill(n->pool); /* died() settles what ran there */
    each_in(n, RQ_RUNNING, cut_off);
    /* What must be told is told, but nobody waits for long. */
    n->drain_end_us = clock_mono_us() + COLD_S * second_us;
    flow_changed(n);
}

/* ---- signals ---- */

static void
signalled(uv_signal_t *s, int signum)
{
    struct node *n = s->data;

    if (signum == SIGQUIT || (signum == SIGINT && n->phase == NODE_DRAINING))
        shutdown_cold(n);
    else if (signum != SIGHUP) /* the supervisor's */
        shutdown_warm(n);
}

void
shutdown_signals(struct node *n)
{
    static const int wanted[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        uv_signal_init(&n->loop, &n->signals[i]);
        n->signals[i].data = n;
        uv_signal_start(&n->signals[i], signalled, wanted[i]);
    }
}

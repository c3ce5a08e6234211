/* SPDX-License-Identifier: Apache-2.0 */
/* What a node does once a second: it shows that it lives, renews its leases,
 * looks for what others lost, and watches itself. */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/cleanup.h"
#include "worker/node.h"

enum {
    TICK_MS = 1000,
    WATCHDOG_S = 30, /* without an answer to a fetch: exit rather than hang */
    BURY_S = 5,
    EXIT_HANGS = 70
};

static const uint64_t second_us = 1000000;

static void
renewed(void *arg, enum status st)
{
    (void)arg;
    if (st != ST_OK)
        log_warning("leases were not renewed", "reason=%s", status_text(st));
}

static void
tend_records(struct node *n, uint64_t now)
{
    uint64_t every = (uint64_t)(n->config->worker_lease / 3 * 1e6);

    if (now - n->renew_us >= every &&
        n->counts[RQ_READY] + n->counts[RQ_RUNNING] + n->counts[RQ_SETTLING]) {
        n->renew_us = now;
        records_renew(n->records, node_who(n), renewed, n);
    }
    if (now - n->bury_us >= BURY_S * second_us) {
        n->bury_us = now;
        lost_bury(n);
    }
}

/* A connection that is down is the broker's to mend, for ever.  One that is up
 * and gives no answer to what was asked is not believed for long, and neither
 * are several of them, one after the other.  Counted in ticks: time in which we
 * were stopped ourselves says nothing of the broker. */
static void
watch(struct node *n)
{
    uint64_t answer;

    if (!n->broker_up)
        return;
    answer = n->broker->ops->last_answer(n->broker);
    if (n->prefetch <= n->unsettled || answer != n->answer_us)
        n->unanswered = 0;
    n->answer_us = answer;
    if (++n->unanswered <= WATCHDOG_S)
        return;
    log_critical("no fetch was answered: the node ends", "seconds=%d",
                 WATCHDOG_S);
    _exit(EXIT_HANGS);
}

static void
show(struct node *n, uint64_t now)
{
    double lag =
        now > n->tick_due_us ? (double)(now - n->tick_due_us) / 1e6 : 0;

    metric_observe(n->m_lag, NULL, lag);
    for (int s = 0; s < RQ_SETTLED; s++)
        metric_set(n->m_in_hand, request_state_name((enum request_state)s),
                   (double)n->counts[s]);
}

static void
tick(uv_timer_t *t)
{
    struct node *n = t->data;
    uint64_t now = clock_mono_us();

    atomic_store(&n->page->heartbeat_us, now);
    show(n, now);
    n->tick_due_us = now + TICK_MS * 1000;
    revoked_expire(&n->revoked, now);
    if (n->records)
        tend_records(n, now);
    store_check(n);
    cleanup_tick(n, now);
    watch(n);
    flow_changed(n);
}

void
tick_start(struct node *n)
{
    uint64_t now = clock_mono_us();

    n->tick_due_us = now + TICK_MS * 1000;
    n->renew_us = n->bury_us = now;
    atomic_store(&n->page->heartbeat_us, now);
    uv_timer_init(&n->loop, &n->tick);
    n->tick.data = n;
    uv_timer_start(&n->tick, tick, TICK_MS, TICK_MS);
}

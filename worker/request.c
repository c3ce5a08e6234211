/* SPDX-License-Identifier: Apache-2.0 */
/* A request: its states, its options, and what task code sees of it. */
#include "worker/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "worker/node.h"

static const char *const names[RQ_STATES] = {
#define X(name, text) [RQ_##name] = text,
    REQUEST_STATES(X)
#undef X
};

#define TO(state) (1u << RQ_##state)

static const unsigned moves[RQ_STATES] = {
    [RQ_RECEIVED] =
        TO(PARKED) | TO(CLAIMING) | TO(READY) | TO(SETTLING) | TO(SETTLED),
    /* To CLAIMING also for a far eta, which moves to the outbox. */
    [RQ_PARKED] = TO(CLAIMING) | TO(READY) | TO(SETTLING) | TO(SETTLED),
    [RQ_CLAIMING] = TO(READY) | TO(PARKED) | TO(SETTLING) | TO(SETTLED),
    /* To CLAIMING: its claim is released, or its executor died and it is to
     * be claimed once more. */
    [RQ_READY] = TO(RUNNING) | TO(CLAIMING) | TO(SETTLING) | TO(SETTLED),
    [RQ_RUNNING] = TO(CLAIMING) | TO(SETTLING) | TO(SETTLED),
    [RQ_SETTLING] = TO(SETTLED),
};

const char *
request_state_name(enum request_state s)
{
    return names[s];
}

bool
request_may_move(enum request_state from, enum request_state to)
{
    return moves[from] & 1u << to;
}

struct request *
request_of_timer(struct timer *t)
{
    return (struct request *)(void *)((char *)t -
                                      offsetof(struct request, timer));
}

void
request_move(struct request *rq, enum request_state to)
{
    struct node *n = rq->n;

    if (!request_may_move(rq->state, to)) {
        log_critical("illegal move of a request", "from=%s to=%s",
                     names[rq->state], names[to]);
        abort();
    }
    list_del(&rq->link);
    n->counts[rq->state]--;
    rq->state = to;
    n->counts[to]++;
    list_add_tail(&n->states[to], &rq->link);
}

struct request *
request_new(struct node *n)
{
    struct request *rq = calloc(1, sizeof(*rq));

    if (!rq)
        return NULL;
    rq->n = n;
    rq->slot = -1;
    list_init(&rq->link);
    list_init(&rq->queue);
    list_init(&rq->job.link);
    outcome_init(&rq->out);
    n->counts[RQ_RECEIVED]++;
    list_add_tail(&n->states[RQ_RECEIVED], &rq->link);
    return rq;
}

/* A copy that comes from now on is not in hand, and another may take its place
 * in the page. */
static void
leave(struct request *rq)
{
    struct node *n = rq->n;

    if (rq->tm.id.ptr && map_find(&n->by_id, rq->tm.id) == rq)
        map_del(&n->by_id, rq->tm.id);
    shm_leave(&n->slots, rq->slot);
    rq->slot = -1;
}

void
request_free(struct request *rq)
{
    struct node *n = rq->n;

    timer_unset(&n->timers, &rq->timer);
    n->counts[rq->state]--;
    list_del(&rq->link);
    list_del(&rq->queue);
    leave(rq);
    if (rq->in_task)
        task_clear(&rq->task);
    outcome_fini(&rq->out);
    json_object_put(rq->children);
    free(rq->queue_name);
    task_fini(&rq->tm);
    free(rq);
}

void
request_end(struct request *rq)
{
    request_move(rq, RQ_SETTLED);
    leave(rq);
    request_answered(rq);
}

void
request_answered(struct request *rq)
{
    if (rq->state == RQ_SETTLED && !rq->waits && !rq->tells)
        request_free(rq);
}

double
request_soft_limit(const struct request *rq)
{
    if (rq->tm.soft_limit > 0)
        return rq->tm.soft_limit;
    if (registry_entry(rq->def)->soft_s > 0)
        return registry_entry(rq->def)->soft_s;
    return rq->n->config->task_soft_time_limit;
}

double
request_hard_limit(const struct request *rq)
{
    if (rq->tm.hard_limit > 0)
        return rq->tm.hard_limit;
    if (registry_entry(rq->def)->hard_s > 0)
        return registry_entry(rq->def)->hard_s;
    return rq->n->config->task_time_limit;
}

bool
request_raw_call(const struct request *rq, struct slice *args,
                 struct slice *kwargs)
{
    const struct task_message *tm = &rq->tm;
    struct slice body = {tm->msg->body, tm->msg->body_len};

    if (tm->protocol != 2 || json_get(tm->msg->headers, "compression"))
        return false;
    *args = json_raw_element(body, 0);
    *kwargs = json_raw_element(body, 1);
    return args->len && *args->ptr == '[' && kwargs->len && *kwargs->ptr == '{';
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Results on their way to the backend, and how long they are waited for.
 *
 * While the backend is away they wait in it, within its bounds.  What it
 * refuses is tried again, and nothing is taken from the broker meanwhile.  By
 * default that has no end; with a limit (Celery's settings of retries) a task
 * ends after it without its result.  What the backend has accepted may still be
 * stored later. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"

enum { CONGESTED_US = 1000000 };

struct store {
    struct list link; /* in node->stores */
    struct node *n;
    struct request *rq; /* NULL: it waits no longer */
    store_fn *fn;
};

/* ---- the limit ---- */

/* Of Celery's exponential backoff, without its jitter. */
static double
doubling(const struct config *c)
{
    double ms = (double)c->result_backend_base_sleep_between_retries_ms;
    double max = (double)c->result_backend_max_sleep_between_retries_ms;
    int64_t left = c->result_backend_max_retries;
    double sum = 0;

    while (left > 0 && ms < max) {
        ms *= 2;
        sum += ms < max ? ms : max;
        left--;
    }
    return sum + (double)left * max;
}

/* Of kombu's retry policy. */
static double
stepping(struct json_object *policy)
{
    int64_t left = json_get_int(policy, "max_retries", 20);
    double s = json_get_double(policy, "interval_start", 0);
    double step = json_get_double(policy, "interval_step", 1);
    double max = json_get_double(policy, "interval_max", 1);
    double sum = 0;

    for (; left > 0 && s < max && step > 0; left--) {
        sum += s;
        s += step;
    }
    return 1e3 * (sum + (left > 0 ? (double)left * (s < max ? s : max) : 0));
}

uint64_t
store_patience_us(const struct config *c)
{
    struct slice text = node_slice(c->result_backend_transport_options);
    struct json_object *options = NULL;
    double ms = 0;

    if (c->result_backend_always_retry) {
        ms = doubling(c);
    } else if (json_parse(text, JSON_DEPTH, &options, NULL) == ST_OK) {
        ms = stepping(json_get(options, "retry_policy"));
        json_object_put(options);
    }
    return ms < 1e15 ? (uint64_t)(ms * 1e3) : 0;
}

static bool
too_long(const struct request *rq)
{
    const struct node *n = rq->n;

    return n->store_patience_us && rq->store_since_us &&
           clock_mono_us() - rq->store_since_us > n->store_patience_us;
}

/* ---- storing ---- */

static void
give_up(struct request *rq)
{
    log_error("a result is not stored: the backend stays away",
              "task=%.*s id=%.*s", (int)rq->tm.name.len, rq->tm.name.ptr,
              (int)rq->tm.id.len, rq->tm.id.ptr);
    settle_answer(rq, ST_OK);
}

static void
answered(void *arg, enum status st, const struct task_state *ts)
{
    struct store *s = arg;
    struct request *rq = s->rq;
    store_fn *fn = s->fn;
    struct node *n = s->n;

    (void)ts;
    list_del(&s->link);
    free(s);
    if (st != ST_OK && status_is_transient(st))
        n->store_refused_us = clock_mono_us();
    if (!rq)
        return;
    if (st != ST_OK && status_is_transient(st) && too_long(rq)) {
        give_up(rq);
        return;
    }
    if (st == ST_OK)
        rq->store_since_us = 0;
    fn(rq, st);
}

void
node_store(struct request *rq, const struct task_state *ts, store_fn *fn)
{
    struct node *n = rq->n;
    struct store *s = malloc(sizeof(*s));

    rq->waits++;
    if (!s) {
        fn(rq, ST_NOMEM);
        return;
    }
    *s = (struct store){.n = n, .rq = rq, .fn = fn};
    if (!rq->store_since_us)
        rq->store_since_us = clock_mono_us();
    list_add_tail(&n->stores, &s->link);
    n->result->ops->put(n->result, ts, answered, s);
}

bool
store_is_refused(const struct node *n)
{
    return n->store_refused_us &&
           clock_mono_us() - n->store_refused_us < CONGESTED_US;
}

/* Once a second.  Those that are given up may start other stores. */
void
store_check(struct node *n)
{
    if (!n->store_patience_us)
        return;
    list_for_each_safe (l, &n->stores) {
        struct store *s = list_entry(l, struct store, link);
        struct request *rq = s->rq;

        if (!rq || !too_long(rq))
            continue;
        s->rq = NULL;
        give_up(rq);
    }
}

void
store_fini(struct node *n)
{
    while (!list_empty(&n->stores))
        free(list_entry(list_pop(&n->stores), struct store, link));
}

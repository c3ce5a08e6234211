/* SPDX-License-Identifier: Apache-2.0 */
/* The executors of a node: jobs in, outcomes out.  Their processes are started
 * and buried in worker/pool_process.c. */
#include "worker/pool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/frame.h"
#include "worker/pool_process.h"
#include "worker/recall.h"

enum {
    TEXT_MAX = 2 * FRAME_BUF_MAX,
    LONG_MS = 20 /* an executor that says nothing for that long is busy */
};

static struct job *
first_job(const struct executor *x)
{
    if (list_empty(&x->jobs))
        return NULL;
    return list_entry(x->jobs.next, struct job, link);
}

static void
take_out(struct job *j)
{
    list_del(&j->link);
    j->executor = NULL;
}

/* ---- batches ---- */

/* The one that has begun takes long: those behind it need not wait for it. */
static void
take_back(struct executor *x)
{
    struct pool *p = x->pool;
    uint32_t begun = recall_begun(x->page);
    struct job *j = NULL;

    list_for_each (l, &x->jobs) {
        j = list_entry(l, struct job, link);
        if (j->number == begun)
            break;
        j = NULL;
    }
    /* Nothing of it has begun, or it has just ended: looked at again. */
    if (!j || !recall_close(x->page, x->batch, begun))
        return;
    /* Backwards: what is returned goes to the front of the line again. */
    while (x->jobs.prev != &j->link) {
        struct job *last = list_entry(x->jobs.prev, struct job, link);

        take_out(last);
        p->ev->returned(p->arg, last);
    }
    if (pool_free(p))
        p->ev->room(p->arg);
}

/* ---- time limits ---- */

static void limit_passed(uv_timer_t *uv);

static bool
has_more(const struct executor *x)
{
    return x->jobs.next != x->jobs.prev;
}

static void
set_limit(struct executor *x, const struct job *j)
{
    uint64_t next = j->hard_ms;

    if (x->exited)
        return;
    /* The jobs of a batch have no limits: it is another time that passes. */
    if (has_more(x)) {
        uv_timer_start(&x->limit, limit_passed, LONG_MS, 0);
        return;
    }
    if (j->soft_ms && !x->soft_sent && (!next || j->soft_ms < next))
        next = j->soft_ms;
    if (next) {
        uint64_t ran = (clock_mono_us() - j->started_us) / 1000;

        uv_timer_start(&x->limit, limit_passed, next > ran ? next - ran : 0, 0);
    } else {
        uv_timer_stop(&x->limit);
    }
}

static void
limit_passed(uv_timer_t *uv)
{
    struct executor *x = uv->data;
    const struct job *j = first_job(x);
    uint64_t ran;

    if (!j)
        return;
    if (has_more(x)) {
        take_back(x);
        set_limit(x, j);
        return;
    }
    ran = (clock_mono_us() - j->started_us) / 1000 + 1;
    if (j->hard_ms && ran >= j->hard_ms) {
        executor_kill(x, POOL_HARD_LIMIT, SIGKILL);
        return;
    }
    x->soft_sent = true;
    uv_process_kill(&x->process, SIGUSR1);
    set_limit(x, j);
}

/* ---- jobs ---- */

static void
begin_first(struct executor *x)
{
    struct job *j = first_job(x);

    x->soft_sent = false;
    if (!j)
        return;
    j->started_us = clock_mono_us();
    set_limit(x, j);
    x->pool->ev->started(x->pool->arg, j, x->process.pid);
}

static void
job_lost(struct executor *x, struct job *j)
{
    struct pool *p = x->pool;

    take_out(j);
    if (j->started_us)
        p->ev->died(p->arg, j, x->death, x->how);
    else
        p->ev->returned(p->arg, j);
}

void
executor_bury_jobs(struct executor *x)
{
    /* Backwards: what is returned goes to the front of the line again. */
    while (!x->pool->closed && !list_empty(&x->jobs))
        job_lost(x, list_entry(x->jobs.prev, struct job, link));
}

static bool
worn_out(const struct executor *x, struct json_object *head)
{
    const struct config *c = x->pool->config;
    int64_t rss = json_get_int(head, "rss", 0);

    return (c->worker_max_tasks_per_child > 0 &&
            x->done >= (uint64_t)c->worker_max_tasks_per_child) ||
           (c->worker_max_memory_per_child > 0 &&
            rss > c->worker_max_memory_per_child);
}

static void
job_ended(struct executor *x, const struct frame *f, struct json_object *head)
{
    struct pool *p = x->pool;
    struct job *j = first_job(x);
    struct outcome o;
    struct error err;

    if (!j || j->number != f->job) {
        executor_broken(x, "an outcome of another job");
        return;
    }
    if (outcome_decode(head, f->body, &o, &err) != ST_OK) {
        executor_broken(x, err.text);
        return;
    }
    x->done++;
    if (!x->exited)
        uv_timer_stop(&x->limit);
    take_out(j);
    if (!x->exited && worn_out(x, head))
        executor_retire(x);
    else
        begin_first(x);
    p->ev->ended(p->arg, j, &o);
    outcome_fini(&o);
    if (list_empty(&x->jobs) && x->state == EXECUTOR_READY)
        p->ev->room(p->arg);
}

static void
job_says(struct executor *x, const struct frame *f, struct json_object *head)
{
    struct pool *p = x->pool;
    struct job *j = first_job(x);
    struct json_object *body = NULL;

    if (!j || j->number != f->job ||
        json_parse(f->body, JSON_DEPTH, &body, NULL) != ST_OK) {
        executor_broken(x, "a message of another job, or no JSON");
        return;
    }
    if (f->type == FRAME_STATE)
        p->ev->state(p->arg, j, json_get_str(head, "state"), body);
    else
        p->ev->send(p->arg, j, body);
    json_object_put(body);
}

static void
tell_fields(struct executor *x, const struct frame *f)
{
    struct pool *p = x->pool;
    struct job *j = first_job(x);
    struct frame answer = {.type = FRAME_FIELDS, .job = f->job};
    struct json_object *fields;
    struct buf text, b;

    if (!j || j->number != f->job) {
        executor_broken(x, "a question of another job");
        return;
    }
    buf_init(&text, FRAME_TEXT_MAX);
    buf_init(&b, FRAME_BUF_MAX);
    fields = p->ev->fields(p->arg, j);
    json_add(&text, fields);
    json_object_put(fields);
    answer.body.ptr = text.data;
    answer.body.len = text.failed ? 0 : text.len;
    frame_add(&b, &answer);
    /* It waits for the answer: without one it could not go on. */
    if (executor_write(x, &b) != ST_OK)
        executor_broken(x, "its question cannot be answered");
    buf_fini(&text);
    buf_fini(&b);
}

void
executor_frame(struct executor *x, const struct frame *f)
{
    struct json_object *head = NULL;

    if (f->head.len && json_parse(f->head, JSON_DEPTH, &head, NULL) != ST_OK) {
        executor_broken(x, "a frame without a JSON head");
        return;
    }
    switch (f->type) {
    case FRAME_READY:
        executor_ready(x);
        x->pool->ev->room(x->pool->arg);
        break;
    case FRAME_END:
        job_ended(x, f, head);
        break;
    case FRAME_STATE:
    case FRAME_SEND:
        job_says(x, f, head);
        break;
    case FRAME_ASK:
        tell_fields(x, f);
        break;
    case FRAME_HELLO:
    case FRAME_RUN:
    case FRAME_FIELDS:
        executor_broken(x, "a frame that only a node sends");
        break;
    }
    json_object_put(head);
}

/* ---- for the node ---- */

static bool
is_free(const struct executor *x)
{
    return x->state == EXECUTOR_READY && list_empty(&x->jobs);
}

size_t
pool_free(const struct pool *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->size; i++)
        n += p->executors[i] && is_free(p->executors[i]);
    return n;
}

size_t
pool_size(const struct pool *p)
{
    return p->size;
}

static struct executor *
find_free(struct pool *p)
{
    for (size_t i = 0; i < p->size; i++)
        if (p->executors[i] && is_free(p->executors[i]))
            return p->executors[i];
    return NULL;
}

/* Of 32 bits: they begin anew after some days. */
static uint32_t
next_number(const struct executor *x)
{
    struct pool *p = x->pool;

    do
        p->job_number++;
    while (recall_is_closed(x->page, p->job_number));
    return p->job_number;
}

enum status
pool_run(struct pool *p, const struct pool_call *calls, size_t n)
{
    struct executor *x = find_free(p);
    uint32_t batch = 0;
    struct buf b;
    enum status st;

    if (!x)
        return ST_AGAIN;
    buf_init(&b, TEXT_MAX);
    for (size_t i = 0; i < n; i++) {
        struct frame_run run = calls[i].run;

        calls[i].job->number = next_number(x);
        if (i == 0)
            batch = calls[i].job->number;
        run.batch = batch;
        frame_add_run(&b, calls[i].job->number, &run);
    }
    st = b.failed ? ST_TOOBIG : executor_write(x, &b);
    buf_fini(&b);
    if (st != ST_OK)
        return st;
    x->batch = batch;
    for (size_t i = 0; i < n; i++) {
        calls[i].job->executor = x;
        calls[i].job->started_us = 0;
        list_add_tail(&x->jobs, &calls[i].job->link);
    }
    begin_first(x);
    return ST_OK;
}

bool
pool_terminate(struct pool *p, struct job *j, int signum)
{
    struct executor *x = j->executor;

    (void)p;
    if (!x || first_job(x) != j)
        return false;
    /* An executor ignores the signals of service managers. */
    if (signum == SIGTERM || signum == SIGINT || signum == SIGQUIT ||
        signum == SIGHUP)
        signum = SIGKILL;
    executor_kill(x, POOL_TERMINATED, signum);
    return true;
}

void
pool_kill(struct pool *p)
{
    for (size_t i = 0; i < p->size; i++)
        if (p->executors[i])
            executor_kill(p->executors[i], POOL_TERMINATED, SIGKILL);
}

size_t
pool_pids(const struct pool *p, pid_t *out, size_t n)
{
    size_t k = 0;

    for (size_t i = 0; i < p->size && k < n; i++)
        if (p->executors[i] && p->executors[i]->state != EXECUTOR_GONE)
            out[k++] = p->executors[i]->process.pid;
    return k;
}

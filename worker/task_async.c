/* SPDX-License-Identifier: Apache-2.0 */
/* The task API: async tasks on the node's loop. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/task.h"
#include "worker/task_wait.h"
#include "worker/timers.h"

/* One thing that a task waits for. */
struct task_wait {
    struct timer timer; /* first: fn gets its address */
    struct list link;   /* in task->waits */
    lovage_task *task;
    lovage_timer_fn *on_timer;
    lovage_http_fn *on_http;
    void *arg;
    struct http_call *call;
};

static struct task_wait *
wait_new(lovage_task *t, void *arg)
{
    struct task_wait *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->task = t;
    w->arg = arg;
    list_add_tail(&t->waits, &w->link);
    return w;
}

static void
wait_free(struct task_wait *w)
{
    list_del(&w->link);
    free(w);
}

void
task_waits_end(lovage_task *t)
{
    list_for_each_safe (n, &t->waits) {
        struct task_wait *w = list_entry(n, struct task_wait, link);

        if (w->call)
            http_cancel(w->call);
        else
            timer_unset(t->host->timers(t), &w->timer);
        wait_free(w);
    }
}

void
lovage_finish(lovage_task *t, lovage_status st)
{
    if (t->in_run) {
        t->finished = true;
        t->finish_status = st;
    }
    if (!t->pending)
        return;
    task_ended(t, st);
    t->host->finish(t);
}

void
lovage_on_cancel(lovage_task *t, lovage_timer_fn *fn, void *arg)
{
    t->cancel = fn;
    t->cancel_arg = arg;
}

static void
timer_fired(struct timer *timer)
{
    struct task_wait *w = (struct task_wait *)(void *)timer;
    lovage_timer_fn *fn = w->on_timer;
    lovage_task *t = w->task;
    void *arg = w->arg;

    wait_free(w);
    fn(t, arg);
}

static lovage_status
not_async(lovage_task *t, const char *what)
{
    return lovage_raisef(t, "RuntimeError", "%s is for async tasks only", what);
}

lovage_status
lovage_timer(lovage_task *t, double seconds, lovage_timer_fn *fn, void *arg)
{
    struct task_wait *w;
    double ms = seconds > 0 ? fmin(seconds, TASK_SECONDS_MAX) * 1000 : 0;

    if (!t->host->timers || t->def->kind != LOVAGE_ASYNC)
        return not_async(t, "lovage_timer");
    w = wait_new(t, arg);
    if (!w)
        return lovage_raise(t, "MemoryError", "builtins", NULL);
    w->on_timer = fn;
    if (timer_set(t->host->timers(t), &w->timer, (uint64_t)ms, timer_fired) ==
        ST_OK)
        return LOVAGE_OK;
    wait_free(w);
    return lovage_raise(t, "MemoryError", "builtins", NULL);
}

static void
http_answered(void *arg, const struct http_response *r)
{
    struct task_wait *w = arg;
    lovage_http_fn *fn = w->on_http;
    lovage_task *t = w->task;
    void *fn_arg = w->arg;
    struct lovage_http_response out = {
        .status = r->error == HTTP_ERR_NONE ? r->status : 0,
        .error = r->error == HTTP_ERR_NONE ? NULL : r->error_text,
        .body = r->body.ptr,
        .body_len = r->body.len,
    };
    char type[256] = "";

    if (r->content_type.ptr && r->content_type.len < sizeof(type)) {
        memcpy(type, r->content_type.ptr, r->content_type.len);
        out.content_type = type;
    }
    w->call = NULL;
    wait_free(w);
    fn(t, &out, fn_arg);
}

lovage_status
lovage_http(lovage_task *t, const lovage_http_request *given,
            lovage_http_fn *fn, void *arg)
{
    const double dflt_timeout = 60, max_timeout = 1e6;
    lovage_http_request q = {.size = sizeof(q)};
    struct http_request rq = {.max_response = 1024 * 1024};
    struct task_wait *w;
    enum status st;

    if (!t->host->services || t->def->kind != LOVAGE_ASYNC)
        return not_async(t, "lovage_http");
    memcpy(&q, given, given->size < sizeof(q) ? given->size : sizeof(q));
    rq.method = q.method ? q.method : "GET";
    rq.url = q.url;
    rq.headers = q.headers;
    rq.body.ptr = q.body;
    rq.body.len = q.body_len;
    if (q.max_response)
        rq.max_response = q.max_response;
    rq.total_timeout_ms =
        (uint32_t)(fmin(q.timeout > 0 ? q.timeout : dflt_timeout, max_timeout) *
                   1000);
    rq.connect_timeout_ms = rq.first_byte_timeout_ms = rq.total_timeout_ms;
    w = wait_new(t, arg);
    if (!w)
        return lovage_raise(t, "MemoryError", "builtins", NULL);
    w->on_http = fn;
    st = http_call(t->host->services(t)->http, &rq, http_answered, w, &w->call);
    if (st == ST_OK)
        return LOVAGE_OK;
    w->call = NULL;
    wait_free(w);
    return lovage_raisef(t, "RuntimeError", "lovage_http: %s", status_text(st));
}

const struct services *
task_services(lovage_task *t)
{
    return t->host->services ? t->host->services(t) : NULL;
}

void
task_usage(lovage_task *t, const char *model, int64_t prompt_tokens,
           int64_t completion_tokens, int64_t total_tokens)
{
    free(t->out.model);
    t->out.model = model ? strdup(model) : NULL;
    t->out.prompt_tokens = prompt_tokens;
    t->out.completion_tokens = completion_tokens;
    t->out.total_tokens = total_tokens;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A tour of the task API: one small task for each thing that a task can do.  It
 * sends the tutorial's tasks, so load both:
 *
 *     lovage worker --include ./tutorial.so,./tour.so
 */
#include <lovage/task.h>

#include <signal.h>
#include <unistd.h>

static lovage_status
two_ints(lovage_task *t, int64_t *x, int64_t *y)
{
    if (lovage_arg_int(t, 0, "x", x) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_arg_int(t, 1, "y", y);
}

/* ---- ends ---- */

static lovage_status
noop(lovage_task *t)
{
    return lovage_return(t, lovage_null());
}

/* {"args": [...], "kwargs": {...}} */
static lovage_status
echo(lovage_task *t)
{
    lovage_value *v = lovage_object();

    lovage_put(v, "args", lovage_copy(lovage_args(t)));
    lovage_put(v, "kwargs", lovage_copy(lovage_kwargs(t)));
    return lovage_return(t, v);
}

/* ValueError('boom', 42) */
static lovage_status
boom(lovage_task *t)
{
    lovage_value *args = lovage_array();

    lovage_push(args, lovage_string("boom"));
    lovage_push(args, lovage_int(42));
    lovage_raise(t, "ValueError", "builtins", args);
    lovage_traceback(t, "tour.c: in boom\nValueError: ('boom', 42)\n");
    return LOVAGE_FAILED;
}

/* flaky(times, countdown=0): retries so often, then gives the count. */
static lovage_status
flaky(lovage_task *t)
{
    lovage_retry_opts again = {
        .size = sizeof(again),
        .exc_type = "ValueError",
        .exc_text = "not yet",
    };
    int64_t times, countdown;

    if (lovage_arg_int(t, 0, "times", &times) != LOVAGE_OK ||
        lovage_arg_int_or(t, 1, "countdown", 0, &countdown) != LOVAGE_OK)
        return LOVAGE_FAILED;
    again.countdown = (double)countdown;
    if (lovage_retries(t) < times)
        return lovage_retry(t, &again);
    return lovage_return(t, lovage_int(lovage_retries(t)));
}

/* Raises a ConnectionError, which its options say is worth a retry. */
static lovage_status
unreachable(lovage_task *t)
{
    return lovage_raisef(t, "ConnectionError", "attempt %lld",
                         (long long)lovage_retries(t));
}

static lovage_status
reject(lovage_task *t)
{
    return lovage_reject(t, false);
}

static lovage_status
ignore(lovage_task *t)
{
    return lovage_ignore(t);
}

/* ---- time and signals ---- */

/* nap(seconds): ends early, with an error, at the soft time limit. */
static lovage_status
nap(lovage_task *t)
{
    double seconds;

    if (lovage_arg_double(t, 0, "seconds", &seconds) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (!lovage_sleep(t, seconds))
        return lovage_raise_soft_limit(t);
    return lovage_return(t, lovage_double(seconds));
}

/* crash(signal=11): what a bug does. */
static lovage_status
crash(lovage_task *t)
{
    int64_t signum;

    if (lovage_arg_int_or(t, 0, "signal", SIGSEGV, &signum) != LOVAGE_OK)
        return LOVAGE_FAILED;
    signal((int)signum, SIG_DFL);
    raise((int)signum);
    return lovage_return(t, lovage_string("survived"));
}

/* leave(code): ends its process. */
static lovage_status
leave(lovage_task *t)
{
    int64_t code;

    if (lovage_arg_int_or(t, 0, "code", 1, &code) != LOVAGE_OK)
        return LOVAGE_FAILED;
    _exit((int)code);
}

/* pid(): the process that runs it. */
static lovage_status
pid(lovage_task *t)
{
    return lovage_return(t, lovage_int(getpid()));
}

static lovage_status
spin(lovage_task *t)
{
    volatile uint64_t turns = 0;

    while (lovage_id(t))
        turns = turns + 1;
    return lovage_return(t, lovage_null());
}

/* progress(steps): tells how far it is. */
static lovage_status
progress(lovage_task *t)
{
    int64_t steps;

    if (lovage_arg_int(t, 0, "steps", &steps) != LOVAGE_OK)
        return LOVAGE_FAILED;
    for (int64_t i = 1; i <= steps; i++) {
        lovage_value *meta = lovage_object();

        lovage_put(meta, "current", lovage_int(i));
        lovage_put(meta, "total", lovage_int(steps));
        if (lovage_update_state(t, "PROGRESS", meta) != LOVAGE_OK)
            return LOVAGE_FAILED;
        lovage_sleep(t, 0.05);
    }
    return lovage_return(t, lovage_int(steps));
}

/* ---- the request, and other tasks ---- */

/* request(*fields): what the task knows of its request. */
static lovage_status
request(lovage_task *t)
{
    const lovage_value *fields = lovage_args(t);
    lovage_value *all = lovage_object();

    for (size_t i = 0; i < lovage_length(fields); i++) {
        const char *name = lovage_as_string(lovage_at(fields, i), NULL);
        const lovage_value *v = name ? lovage_request(t, name) : NULL;

        if (name)
            lovage_put(all, name, v ? lovage_copy(v) : lovage_null());
    }
    return lovage_return(t, all);
}

static lovage_signature *
add_signature(int64_t x, int64_t y)
{
    lovage_value *args = lovage_array();

    lovage_push(args, lovage_int(x));
    lovage_push(args, lovage_int(y));
    return lovage_sig("proj.tasks.add", args, NULL);
}

/* become_add(x, y): puts add(x, y) in its own place. */
static lovage_status
become_add(lovage_task *t)
{
    int64_t x, y;

    if (two_ints(t, &x, &y) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_replace(t, add_signature(x, y));
}

/* send_add(x, y): sends add(x, y) and gives its id. */
static lovage_status
send_add(lovage_task *t)
{
    const char *id;
    int64_t x, y;

    if (two_ints(t, &x, &y) != LOVAGE_OK ||
        lovage_send(t, add_signature(x, y), &id) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_return(t, lovage_string(id));
}

/* ---- on the node's loop ---- */

static void
rested(lovage_task *t, void *arg)
{
    (void)arg;
    lovage_finish(t, lovage_return(t, lovage_string("rested")));
}

/* async_nap(seconds): costs no executor; thousands may nap at once. */
static lovage_status
async_nap(lovage_task *t)
{
    double seconds;

    if (lovage_arg_double(t, 0, "seconds", &seconds) != LOVAGE_OK ||
        lovage_timer(t, seconds, rested, NULL) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return LOVAGE_PENDING;
}

static void
done_at_once(lovage_task *t, void *arg)
{
    (void)arg;
    lovage_finish(t, lovage_return(t, lovage_null()));
}

static lovage_status
async_noop(lovage_task *t)
{
    return lovage_timer(t, 0, done_at_once, NULL) == LOVAGE_OK ? LOVAGE_PENDING
                                                               : LOVAGE_FAILED;
}

static void
fetched(lovage_task *t, const lovage_http_response *r, void *arg)
{
    lovage_value *v;

    (void)arg;
    if (!r->status) {
        lovage_finish(t, lovage_raisef(t, "ConnectionError", "%s", r->error));
        return;
    }
    v = lovage_object();
    lovage_put(v, "status", lovage_int(r->status));
    lovage_put(v, "length", lovage_int((int64_t)r->body_len));
    lovage_finish(t, lovage_return(t, v));
}

/* fetch(url): the status and the length of what is there. */
static lovage_status
fetch(lovage_task *t)
{
    lovage_http_request rq = {.size = sizeof(rq), .timeout = 10};

    if (lovage_arg_string(t, 0, "url", &rq.url) != LOVAGE_OK ||
        lovage_http(t, &rq, fetched, NULL) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return LOVAGE_PENDING;
}

#define TASK(task, fn, ...)                                                   \
    {                                                                         \
        .size = sizeof(lovage_task_def), .name = task, .run = fn, __VA_ARGS__ \
    }

LOVAGE_PLUGIN int
lovage_plugin_init(lovage_registry *r)
{
    static const char *const connection[] = {"ConnectionError", NULL};
    const lovage_task_def defs[] = {
        TASK("tour.noop", noop, .params = -1),
        TASK("tour.inline_noop", noop, .params = -1, .kind = LOVAGE_INLINE),
        TASK("tour.async_noop", async_noop, .params = -1, .kind = LOVAGE_ASYNC),
        TASK("tour.echo", echo, .params = -1),
        TASK("tour.boom", boom, .params = -1),
        TASK("tour.flaky", flaky, .params = 2, .max_retries = -1),
        TASK("tour.unreachable", unreachable, .params = 0,
             .autoretry_for = connection, .max_retries = 2,
             .retry_backoff = true, .retry_backoff_base = 0.1,
             .retry_no_jitter = true),
        TASK("tour.reject", reject, .params = -1, .acks_late = 1),
        TASK("tour.ignore", ignore, .params = -1),
        TASK("tour.nap", nap, .params = 1),
        TASK("tour.late_nap", nap, .params = 1, .acks_late = 1),
        TASK("tour.crash", crash, .params = 1),
        TASK("tour.late_crash", crash, .params = 1, .acks_late = 1),
        TASK("tour.leave", leave, .params = 1),
        TASK("tour.pid", pid, .params = 0),
        TASK("tour.spin", spin, .params = 0),
        TASK("tour.progress", progress, .params = 1),
        TASK("tour.request", request, .params = -1),
        TASK("tour.become_add", become_add, .params = 2),
        TASK("tour.send_add", send_add, .params = 2),
        TASK("tour.async_nap", async_nap, .params = 1, .kind = LOVAGE_ASYNC),
        TASK("tour.fetch", fetch, .params = 1, .kind = LOVAGE_ASYNC),
    };

    for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++)
        if (lovage_register(r, &defs[i]) != 0)
            return -1;
    return 0;
}

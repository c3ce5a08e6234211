/* SPDX-License-Identifier: Apache-2.0
 *
 * The plugin of the interop tests: one task for each thing that task code can
 * do.  celery_app.py has some of them under the same names, for queues that
 * Python and Lovage workers share. */
#include <lovage/task.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lovage_status
two_ints(lovage_task *t, int64_t *x, int64_t *y)
{
    lovage_status st = lovage_arg_int(t, 0, "x", x);

    return st == LOVAGE_OK ? lovage_arg_int(t, 1, "y", y) : st;
}

static lovage_status
add(lovage_task *t)
{
    int64_t x, y;

    if (two_ints(t, &x, &y) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_return(t, lovage_int(x + y));
}

/* sum(numbers): the body of chords. */
static lovage_status
sum(lovage_task *t)
{
    const lovage_value *numbers = lovage_arg(t, 0, "numbers");
    int64_t total = 0;

    for (size_t i = 0; numbers && i < lovage_length(numbers); i++)
        total += lovage_as_int(lovage_at(numbers, i));
    return lovage_return(t, lovage_int(total));
}

static lovage_status
echo(lovage_task *t)
{
    lovage_value *v = lovage_object();

    lovage_put(v, "args", lovage_copy(lovage_args(t)));
    lovage_put(v, "kwargs", lovage_copy(lovage_kwargs(t)));
    return lovage_return(t, v);
}

/* fail(type, module, *args) */
static lovage_status
fail(lovage_task *t)
{
    lovage_value *args = lovage_array();
    const char *type, *module;

    if (lovage_arg_string(t, 0, "type", &type) != LOVAGE_OK ||
        lovage_arg_string(t, 1, "module", &module) != LOVAGE_OK) {
        lovage_free(args);
        return LOVAGE_FAILED;
    }
    for (size_t i = 2; i < lovage_length(lovage_args(t)); i++)
        lovage_push(args, lovage_copy(lovage_at(lovage_args(t), i)));
    lovage_raise(t, type, module, args);
    lovage_traceback(t, "  in the interop plugin\n");
    return LOVAGE_FAILED;
}

/* retry_until(n): fails and retries until it has been retried n times. */
static lovage_status
retry_until(lovage_task *t)
{
    const lovage_retry_opts again = {
        .size = sizeof(again),
        .countdown = 0.05,
        .exc_type = "ConnectionError",
        .exc_module = "builtins",
        .exc_text = "not yet",
    };
    int64_t n;

    if (lovage_arg_int(t, 0, "n", &n) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (lovage_retries(t) < n)
        return lovage_retry(t, &again);
    return lovage_return(t, lovage_int(lovage_retries(t)));
}

static lovage_status
retry_plain(lovage_task *t)
{
    const lovage_retry_opts again = {.size = sizeof(again), .countdown = 0.05};

    return lovage_retry(t, &again);
}

/* retry_in(seconds, times): retries so late; the routing key it comes with in
 * the end. */
static lovage_status
retry_in(lovage_task *t)
{
    lovage_retry_opts again = {
        .size = sizeof(again),
        .countdown = lovage_as_double(lovage_at(lovage_args(t), 0)),
        .max_retries = 9,
    };
    int64_t times;

    if (lovage_arg_int(t, 1, "times", &times) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (lovage_retries(t) < times)
        return lovage_retry(t, &again);
    return lovage_return(
        t, lovage_copy(lovage_member(lovage_request(t, "delivery_info"),
                                     "routing_key")));
}

static lovage_status
auto_retry(lovage_task *t)
{
    int64_t n;

    if (lovage_arg_int(t, 0, "n", &n) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (lovage_retries(t) < n)
        return lovage_raisef(t, "ValueError", "attempt %d",
                             (int)lovage_retries(t));
    return lovage_return(t, lovage_int(lovage_retries(t)));
}

/* request(field): what the task sees of its request. */
static lovage_status
request(lovage_task *t)
{
    const char *field;
    const lovage_value *v;

    if (lovage_arg_string(t, 0, "field", &field) != LOVAGE_OK)
        return LOVAGE_FAILED;
    v = lovage_request(t, field);
    return lovage_return(t, v ? lovage_copy(v) : lovage_null());
}

/* nap(seconds): respects the soft time limit. */
static lovage_status
nap(lovage_task *t)
{
    double seconds;

    if (lovage_arg_double(t, 0, "seconds", &seconds) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (!lovage_sleep(t, seconds) && lovage_soft_limit(t))
        return lovage_raise_soft_limit(t);
    return lovage_return(t, lovage_string("rested"));
}

/* Never ends, whatever it is told. */
static lovage_status
hang(lovage_task *t)
{
    while (lovage_retries(t) >= 0)
        sleep(1);
    return LOVAGE_FAILED;
}

static lovage_status
crash(lovage_task *t)
{
    (void)t;
    abort();
}

/* progress(seconds): tells that it is half done, and ends later. */
static lovage_status
progress(lovage_task *t)
{
    lovage_value *meta = lovage_object();
    double seconds;

    if (lovage_arg_double(t, 0, "seconds", &seconds) != LOVAGE_OK) {
        lovage_free(meta);
        return LOVAGE_FAILED;
    }
    lovage_put(meta, "done", lovage_int(50));
    lovage_update_state(t, "PROGRESS", meta);
    lovage_sleep(t, seconds);
    return lovage_return(t, lovage_int(100));
}

static lovage_status
reject(lovage_task *t)
{
    return lovage_reject(t, false);
}

/* reject_once(path): goes back to its queue, and ends when it comes again; a
 * path that cannot be made goes back each time. */
static lovage_status
reject_once(lovage_task *t)
{
    const char *path;
    FILE *f;

    if (lovage_arg_string(t, 0, "path", &path) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (access(path, F_OK) == 0)
        return lovage_return(t, lovage_string("again"));
    f = fopen(path, "w");
    if (f != NULL)
        fclose(f);
    return lovage_reject(t, true);
}

static lovage_status
ignore(lovage_task *t)
{
    return lovage_ignore(t);
}

static lovage_signature *
add_signature(int64_t x, int64_t y)
{
    lovage_value *args = lovage_array();

    lovage_push(args, lovage_int(x));
    lovage_push(args, lovage_int(y));
    return lovage_sig("interop.add", args, NULL);
}

/* replace(x, queue): becomes add(x, 1000) on that queue. */
static lovage_status
replace(lovage_task *t)
{
    lovage_signature *s;
    const char *queue;
    int64_t x;

    if (lovage_arg_int(t, 0, "x", &x) != LOVAGE_OK ||
        lovage_arg_string(t, 1, "queue", &queue) != LOVAGE_OK)
        return LOVAGE_FAILED;
    s = add_signature(x, 1000);
    lovage_sig_set(s, "queue", lovage_string(queue));
    return lovage_replace(t, s);
}

/* child(x, queue): sends add(x, 1) there and returns its id. */
static lovage_status
child(lovage_task *t)
{
    const char *queue, *id = NULL;
    lovage_signature *s;
    int64_t x;

    if (lovage_arg_int(t, 0, "x", &x) != LOVAGE_OK ||
        lovage_arg_string(t, 1, "queue", &queue) != LOVAGE_OK)
        return LOVAGE_FAILED;
    s = add_signature(x, 1);
    lovage_sig_set(s, "queue", lovage_string(queue));
    if (lovage_send(t, s, &id) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_return(t, lovage_string(id));
}

static lovage_signature *
one_of(int64_t x, bool complete, const char *queue)
{
    lovage_value *args = lovage_array();
    lovage_signature *s;

    lovage_push(args, lovage_int(x));
    if (complete)
        lovage_push(args, lovage_int(x));
    s = lovage_sig("interop.add", args, NULL);
    lovage_sig_set(s, "queue", lovage_string(queue));
    return s;
}

/* canvas(kind, queue): sends a chain or a chord of three, and gives its id. */
static lovage_status
canvas(lovage_task *t)
{
    const char *kind, *queue, *id = NULL;
    lovage_signature *parts[3], *s, *body;

    if (lovage_arg_string(t, 0, "kind", &kind) != LOVAGE_OK ||
        lovage_arg_string(t, 1, "queue", &queue) != LOVAGE_OK)
        return LOVAGE_FAILED;
    for (int i = 0; i < 3; i++)
        parts[i] = one_of(i + 1, !strcmp(kind, "chord") || i == 0, queue);
    body = lovage_sig("interop.sum", NULL, NULL);
    lovage_sig_set(body, "queue", lovage_string(queue));
    if (!strcmp(kind, "chord")) {
        s = lovage_chord(parts, 3, body);
    } else {
        s = lovage_chain(parts, 3);
        lovage_sig_free(body);
    }
    if (lovage_send(t, s, &id) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_return(t, lovage_string(id));
}

/* note(path, text): appends a line; what the tests see of the order. */
static lovage_status
note(lovage_task *t)
{
    const char *path, *text;
    FILE *f;

    if (lovage_arg_string(t, 0, "path", &path) != LOVAGE_OK ||
        lovage_arg_string(t, 1, "text", &text) != LOVAGE_OK)
        return LOVAGE_FAILED;
    f = fopen(path, "a");
    if (f == NULL)
        return lovage_raisef(t, "OSError", "cannot open %s", path);
    fprintf(f, "%s\n", text);
    fclose(f);
    return lovage_return(t, lovage_null());
}

/* errback(id, path=...): has one positional parameter, so that it is called
 * with the id of the failed task. */
static lovage_status
errback(lovage_task *t)
{
    const char *path, *id;
    FILE *f;

    if (lovage_arg_string(t, 0, "id", &id) != LOVAGE_OK ||
        lovage_arg_string(t, 1, "path", &path) != LOVAGE_OK)
        return LOVAGE_FAILED;
    f = fopen(path, "a");
    if (f == NULL)
        return lovage_raisef(t, "OSError", "cannot open %s", path);
    fprintf(f, "failed %s\n", id);
    fclose(f);
    return lovage_return(t, lovage_null());
}

static void
later(lovage_task *t, void *arg)
{
    (void)arg;
    lovage_finish(t, add(t));
}

/* async_add(x, y): on the node's loop, after a tenth of a second. */
static lovage_status
async_add(lovage_task *t)
{
    return lovage_timer(t, 0.1, later, NULL) == LOVAGE_OK ? LOVAGE_PENDING
                                                          : LOVAGE_FAILED;
}

#define TASK(task, fn, ...)                                                  \
    {                                                                        \
        .size = sizeof(lovage_task_def), .name = "interop." task, .run = fn, \
        __VA_ARGS__                                                          \
    }

LOVAGE_PLUGIN int
lovage_plugin_init(lovage_registry *r)
{
    static const char *const xy[] = {"x", "y", NULL};
    static const char *const value_errors[] = {"ValueError", NULL};
    const lovage_task_def defs[] = {
        TASK("add", add, .params = 2, .param_names = xy, .required = 2),
        TASK("inline_add", add, .params = 2, .kind = LOVAGE_INLINE),
        TASK("async_add", async_add, .params = 2, .kind = LOVAGE_ASYNC),
        TASK("late_add", add, .params = 2, .acks_late = 1),
        TASK("quiet", add, .params = 2, .ignore_result = true),
        TASK("sum", sum, .params = 1),
        TASK("echo", echo, .params = -1),
        TASK("inline_echo", echo, .params = -1, .kind = LOVAGE_INLINE),
        TASK("fail", fail, .params = -1),
        TASK("retry_until", retry_until, .params = 1, .max_retries = 5),
        TASK("retry_plain", retry_plain, .params = -1, .max_retries = 2),
        TASK("retry_in", retry_in, .params = 2, .max_retries = 9),
        TASK("auto_retry", auto_retry, .params = 1, .max_retries = 3,
             .autoretry_for = value_errors, .retry_backoff = true,
             .retry_backoff_base = 0.05, .default_retry_delay = 0.05),
        TASK("request", request, .params = -1),
        TASK("nap", nap, .params = 1),
        TASK("late_nap", nap, .params = 1, .acks_late = 1,
             .reject_on_worker_lost = 1),
        TASK("tracked_nap", nap, .params = 1, .track_started = true),
        TASK("short_nap", nap, .params = 1, .soft_time_limit = 0.5),
        TASK("hang", hang, .params = 0),
        TASK("short_hang", hang, .params = 0, .time_limit = 0.5),
        TASK("crash", crash, .params = 0),
        TASK("progress", progress, .params = 1),
        TASK("reject", reject, .params = 0),
        TASK("reject_once", reject_once, .params = 1, .acks_late = 1),
        TASK("ignore", ignore, .params = 0),
        TASK("replace", replace, .params = 2),
        TASK("child", child, .params = 2),
        TASK("canvas", canvas, .params = 2),
        TASK("note", note, .params = -1),
        TASK("errback", errback, .params = 1),
        TASK("expiring_add", add, .params = 2, .expires = 0.2),
    };

    for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++)
        if (lovage_register(r, &defs[i]) != 0)
            return -1;
    return 0;
}

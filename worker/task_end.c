/* SPDX-License-Identifier: Apache-2.0 */
/* The task API: ending a task, and what it may do while it runs. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/state.h"
#include "worker/retry.h"
#include "worker/task.h"
#include "worker/value.h"

static lovage_status
no_memory(lovage_task *t)
{
    outcome_raise_args(&t->out, "MemoryError", "builtins", NULL);
    return LOVAGE_FAILED;
}

lovage_status
lovage_return(lovage_task *t, lovage_value *result)
{
    struct json_object *json;

    if (value_take(result, &json) != ST_OK)
        return no_memory(t);
    json_object_put(t->out.result);
    t->out.result = json;
    outcome_set(&t->out, OUTCOME_RETURN);
    return LOVAGE_OK;
}

lovage_status
lovage_raise(lovage_task *t, const char *type, const char *module,
             lovage_value *args)
{
    struct json_object *json = value_json(args);

    if (json && json_object_get_type(json) != json_type_array) {
        json_object_put(json);
        return lovage_raisef(t, "TypeError",
                             "the arguments of an exception must be an array");
    }
    outcome_raise_args(&t->out, type, module, json);
    return LOVAGE_FAILED;
}

lovage_status
lovage_raisef(lovage_task *t, const char *type, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    if (!text)
        return no_memory(t);
    outcome_raise(&t->out, type, "builtins", text);
    free(text);
    return LOVAGE_FAILED;
}

void
lovage_traceback(lovage_task *t, const char *text)
{
    if (t->out.kind != OUTCOME_RAISE)
        return;
    free(t->out.traceback);
    t->out.traceback = strdup(text);
}

static struct json_object *
retry_reason(const lovage_retry_opts *o)
{
    struct json_object *args, *exc;
    struct slice text = {o->exc_text, o->exc_text ? strlen(o->exc_text) : 0};

    if (!o->exc_type)
        return NULL;
    args = json_object_new_array();
    if (args && text.ptr && json_append(args, json_new_str(text)) != ST_OK) {
        json_object_put(args);
        args = NULL;
    }
    exc = state_exception(o->exc_type,
                          o->exc_module ? o->exc_module : "builtins", args);
    json_object_put(args);
    return exc;
}

lovage_status
lovage_retry(lovage_task *t, const lovage_retry_opts *given)
{
    lovage_retry_opts o = {.size = sizeof(o), .countdown = -1};
    int max;

    if (given)
        memcpy(&o, given, given->size < sizeof(o) ? given->size : sizeof(o));
    max = o.max_retries ? o.max_retries : retry_max(t->def);
    return retry_start(
        t, retry_reason(&o),
        o.countdown < 0 ? retry_default_delay(t->def) : o.countdown, max);
}

lovage_status
lovage_reject(lovage_task *t, bool requeue)
{
    outcome_set(&t->out, OUTCOME_REJECT);
    t->out.requeue = requeue;
    return LOVAGE_ENDED;
}

lovage_status
lovage_ignore(lovage_task *t)
{
    outcome_set(&t->out, OUTCOME_IGNORE);
    return LOVAGE_ENDED;
}

lovage_status
lovage_update_state(lovage_task *t, const char *state, lovage_value *meta)
{
    struct json_object *json;
    enum status st = value_take(meta, &json);

    if (st == ST_OK) {
        st = t->host->state(t, state, json);
        json_object_put(json);
    }
    return st == ST_OK
               ? LOVAGE_OK
               : lovage_raisef(t, "RuntimeError", "update_state(%s): %s", state,
                               status_text(st));
}

bool
lovage_soft_limit(lovage_task *t)
{
    return t->host->soft_limit(t);
}

lovage_status
lovage_raise_soft_limit(lovage_task *t)
{
    outcome_raise_args(&t->out, "SoftTimeLimitExceeded", "billiard.exceptions",
                       json_object_new_array());
    return LOVAGE_FAILED;
}

bool
lovage_sleep(lovage_task *t, double seconds)
{
    uint64_t now, end;

    seconds = seconds > 0 ? fmin(seconds, TASK_SECONDS_MAX) : 0;
    end = clock_mono_us() + (uint64_t)(seconds * 1e6);
    while (!lovage_soft_limit(t) && (now = clock_mono_us()) < end) {
        uint64_t left = end - now;
        struct timespec ts = {.tv_sec = (time_t)(left / 1000000),
                              .tv_nsec = (long)(left % 1000000) * 1000};

        /* The signal that tells of the soft limit ends it early.  One that
         * comes just before it does not; so it naps a second at most. */
        if (ts.tv_sec > 0) {
            ts.tv_sec = 1;
            ts.tv_nsec = 0;
        }
        if (nanosleep(&ts, NULL) != 0 && errno != EINTR)
            break;
    }
    return !lovage_soft_limit(t);
}

void
lovage_log(lovage_task *t, lovage_log_level level, const char *fmt, ...)
{
    static const enum log_level levels[] = {
        [LOVAGE_LOG_DEBUG] = LOG_DEBUG,
        [LOVAGE_LOG_INFO] = LOG_INFO,
        [LOVAGE_LOG_WARNING] = LOG_WARNING,
        [LOVAGE_LOG_ERROR] = LOG_ERROR,
    };
    enum log_level l = LOG_INFO;
    char text[1024];
    va_list ap;
    int n;

    if ((unsigned)level <= LOVAGE_LOG_ERROR)
        l = levels[level];
    if (!log_enabled(l))
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0)
        log_line(l, "task says", "task=%s id=%s text=%s", t->def->name, t->id,
                 text);
}

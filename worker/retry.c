/* SPDX-License-Identifier: Apache-2.0 */
/* When a task is tried again, and when no more. */
#include "worker/retry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "protocol/saferepr.h"
#include "worker/task.h"

enum { MAX_RETRIES = 3, TEXT_MAX = 64 * 1024 };

static const double default_delay = 180, backoff_base = 1, backoff_max = 600;

int
retry_max(const struct lovage_task_def *def)
{
    return def->max_retries ? def->max_retries : MAX_RETRIES;
}

double
retry_default_delay(const struct lovage_task_def *def)
{
    return def->default_retry_delay > 0 ? def->default_retry_delay
                                        : default_delay;
}

double
retry_backoff(const struct lovage_task_def *def, int64_t retries)
{
    double base = def->retry_backoff_base, max = def->retry_backoff_max, wait;

    if (base <= 0)
        base = backoff_base;
    if (max <= 0)
        max = backoff_max;
    wait = fmin(max, base * pow(2, fmin((double)retries, 64)));
    if (!def->retry_no_jitter && wait < UINT32_MAX)
        wait = backoff_jitter(0, (uint32_t)wait);
    return wait;
}

bool
retry_is_auto(const struct lovage_task_def *def, const char *exc_type)
{
    const char *const *p = def->autoretry_for;

    for (; p && *p; p++)
        if (!strcmp(*p, exc_type) || !strcmp(*p, "Exception"))
            return true;
    return false;
}

static void
max_retries_exceeded(lovage_task *t)
{
    struct buf b;
    char *text = NULL;
    size_t len;

    buf_init(&b, TEXT_MAX);
    buf_addf(&b, "Can't retry %s[%s] args:", t->def->name, t->id);
    saferepr_add_tuple(&b, t->args, TEXT_MAX / 4);
    buf_addf(&b, " kwargs:");
    saferepr_add(&b, t->kwargs, TEXT_MAX / 4);
    if (buf_take(&b, &text, &len) != ST_OK)
        text = NULL;
    outcome_raise(&t->out, "MaxRetriesExceededError", "celery.exceptions",
                  text ? text : "Can't retry");
    free(text);
    buf_fini(&b);
}

lovage_status
retry_start(lovage_task *t, struct json_object *exc, double countdown, int max)
{
    if (max != RETRY_FOR_EVER && t->retries + 1 > max) {
        if (!exc) {
            max_retries_exceeded(t);
            return LOVAGE_FAILED;
        }
        t->out.kind = OUTCOME_RAISE;
    } else {
        t->out.kind = OUTCOME_RETRY;
        t->out.countdown = countdown;
    }
    json_object_put(t->out.exc);
    t->out.exc = exc;
    return t->out.kind == OUTCOME_RETRY ? LOVAGE_ENDED : LOVAGE_FAILED;
}

void
retry_auto(lovage_task *t)
{
    const struct lovage_task_def *def = t->def;
    struct slice type = json_get_str(t->out.exc, "exc_type");
    double wait;

    if (!type.ptr || !retry_is_auto(def, type.ptr))
        return;
    wait = def->retry_backoff ? retry_backoff(def, t->retries)
                              : retry_default_delay(def);
    retry_start(t, json_object_get(t->out.exc), wait, retry_max(def));
}

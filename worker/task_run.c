/* SPDX-License-Identifier: Apache-2.0 */
/* Running one task: the call is checked, made, and what came of it read. */
#include <string.h>

#include "worker/retry.h"
#include "worker/task.h"
#include "worker/task_wait.h"

void
task_init(lovage_task *t, const struct lovage_task_def *def,
          const struct task_host *host, void *host_arg)
{
    memset(t, 0, sizeof(*t));
    t->def = def;
    t->host = host;
    t->host_arg = host_arg;
    outcome_init(&t->out);
    list_init(&t->waits);
}

void
task_clear(lovage_task *t)
{
    task_waits_end(t);
    json_object_put(t->fields);
    json_object_put(t->sent);
    t->fields = t->sent = NULL;
    outcome_fini(&t->out);
}

const char *
task_short_name(const struct lovage_task_def *def)
{
    const char *dot = strrchr(def->name, '.');

    return dot ? dot + 1 : def->name;
}

static void
contract_broken(lovage_task *t, const char *what)
{
    outcome_raise(&t->out, "RuntimeError", "builtins", what);
}

void
task_ended(lovage_task *t, lovage_status st)
{
    enum outcome_kind k = t->out.kind;

    t->pending = false;
    task_waits_end(t);
    switch (st) {
    case LOVAGE_OK:
        if (k == OUTCOME_NONE)
            t->out.kind = OUTCOME_RETURN; /* returned nothing: null */
        else if (k != OUTCOME_RETURN)
            contract_broken(t, "the task returned LOVAGE_OK after an error");
        break;
    case LOVAGE_FAILED:
        if (k != OUTCOME_RAISE)
            contract_broken(t, "the task failed without an exception");
        break;
    case LOVAGE_ENDED:
        if (k == OUTCOME_NONE || k == OUTCOME_RETURN || k == OUTCOME_RAISE)
            contract_broken(t, "the task returned LOVAGE_ENDED for nothing");
        break;
    case LOVAGE_PENDING:
    default:
        contract_broken(t, "the task returned a status that its kind has not");
    }
    if (t->out.kind == OUTCOME_RAISE)
        retry_auto(t);
}

bool
task_run(lovage_task *t)
{
    lovage_status st;

    if (!task_check_call(t)) {
        task_ended(t, LOVAGE_FAILED);
        return true;
    }
    t->in_run = true;
    st = t->def->run(t);
    t->in_run = false;
    if (st == LOVAGE_PENDING && t->finished) {
        st = t->finish_status;
    } else if (st == LOVAGE_PENDING && t->def->kind == LOVAGE_ASYNC) {
        t->pending = true;
        return false;
    }
    task_ended(t, st);
    return true;
}

void
task_cancel(lovage_task *t)
{
    lovage_timer_fn *fn = t->cancel;

    task_waits_end(t);
    t->cancel = NULL;
    t->pending = false;
    if (fn)
        fn(t, t->cancel_arg);
}

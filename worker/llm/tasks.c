/* SPDX-License-Identifier: Apache-2.0 */
/* The tasks llm.query and tasks.process_llm_query, and the registration. */
#include "worker/llm/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "worker/llm/answer.h"
#include "worker/llm/ask.h"
#include "worker/llm/llm.h"
#include "worker/task.h"

enum {
    COUNTDOWN_MAX_MS = 3600000, /* of a hint: it may be a lie */
    RETRIES_MAX = 20            /* of a task that is put back */
};

/* One run of llm.query. */
struct query {
    lovage_task *task;
    struct ask *ask;
    char model[LLM_MODEL_MAX + 1];
};

/* ---- what both tasks need ---- */

/* Seconds that a time limit of the request leaves, or dflt. */
static double
limit_of(const lovage_task *t, double dflt)
{
    if (t->hard_limit > 0 && t->hard_limit < dflt)
        dflt = t->hard_limit;
    if (t->soft_limit > 0 && t->soft_limit < dflt)
        dflt = t->soft_limit;
    return dflt;
}

uint64_t
llm_deadline(lovage_task *t, const struct config *config)
{
    return clock_mono_us() + (uint64_t)(limit_of(t, config->llm_timeout) * 1e6);
}

lovage_status
llm_read_name(lovage_task *t, const char *param, const lovage_value *v,
              char out[LLM_MODEL_MAX + 1])
{
    const char *name;
    size_t len = 0;

    if (v == NULL || lovage_typeof(v) != LOVAGE_STRING)
        return llm_wrong_type(t, param, "str", v == NULL ? lovage_null() : v);
    name = lovage_as_string(v, &len);
    if (len == 0 || len > LLM_MODEL_MAX || strlen(name) != len)
        return llm_wrong_value(
            t, param, "must be a model's name of 1 to %d bytes", LLM_MODEL_MAX);
    memcpy(out, name, len + 1);
    return LOVAGE_OK;
}

void
llm_unroutable(struct llm_outcome *out, enum status st, const char *why)
{
    *out = (struct llm_outcome){.retry_in_ms = -1};
    out->result.error.cls =
        st == ST_NOTFOUND ? LLM_E_MODEL_NOT_FOUND : LLM_E_SERVER;
    out->result.error.retry_after_ms = -1;
    snprintf(out->result.error.message, sizeof(out->result.error.message), "%s",
             why);
}

/* ---- llm.query ---- */

/* The provider wants us to come back much later: the task goes back to the
 * broker, where it costs nothing and survives us. */
static lovage_status
put_back(lovage_task *t, const struct llm_outcome *o)
{
    char text[640];
    uint32_t ms = o->retry_in_ms < COUNTDOWN_MAX_MS ? (uint32_t)o->retry_in_ms
                                                    : COUNTDOWN_MAX_MS;
    lovage_retry_opts opts = {.size = sizeof(opts),
                              .max_retries = RETRIES_MAX,
                              .exc_module = "lovage.llm"};

    llm_error_text(o, text, sizeof(text));
    opts.exc_type = llm_exception_name(o->result.error.cls);
    opts.exc_text = text;
    /* Spread, or all that were turned away come back in one instant. */
    opts.countdown = (double)backoff_jitter(ms, ms + ms / 10) / 1000;
    return lovage_retry(t, &opts);
}

static void
on_answer(void *arg, const struct llm_outcome *o)
{
    struct query *q = arg;
    const struct llm_usage *u = &o->result.usage;
    lovage_task *t = q->task;
    lovage_status st;

    if (o->result.error.cls == LLM_E_NONE) {
        /* A hit has cost nothing. */
        if (o->cached)
            task_usage(t, o->result.model_used, 0, 0, 0);
        else
            task_usage(t, o->result.model_used, u->prompt_tokens,
                       u->completion_tokens, u->total_tokens);
        st = lovage_return(t, llm_answer_value(q->model, o));
    } else if (o->retry_in_ms >= 0) {
        st = put_back(t, o);
    } else {
        st = llm_raise(t, o);
    }
    free(q);
    lovage_finish(t, st);
}

static void
on_cancel(lovage_task *t, void *arg)
{
    struct query *q = arg;

    (void)t;
    ask_cancel(q->ask);
    free(q);
}

static lovage_status
start_query(lovage_task *t, struct query *q, struct llm_spec *spec)
{
    struct llm_node *node = lovage_data(t);
    const struct services *services = task_services(t);
    struct llm_route route;
    struct llm_outcome o;
    struct error err = {0};
    struct slice name = {q->model, strlen(q->model)};
    const struct flight_plan plan = {.node = node,
                                     .services = services,
                                     .route = &route,
                                     .spec = spec,
                                     .id = lovage_id(t),
                                     .deadline_us =
                                         llm_deadline(t, services->config)};
    enum status st = llm_models_route(node->models, name, &route, &err);

    if (st != ST_OK) {
        llm_unroutable(&o, st, err.text);
        return llm_raise(t, &o);
    }
    if (ask_start(&plan, on_answer, q, &q->ask) != ST_OK)
        return lovage_raise(t, "MemoryError", "builtins", NULL);
    lovage_on_cancel(t, on_cancel, q);
    return LOVAGE_PENDING;
}

static lovage_status
run_query(lovage_task *t)
{
    struct llm_spec *spec = NULL;
    struct query *q = calloc(1, sizeof(*q));
    lovage_status st;

    if (q == NULL)
        return lovage_raise(t, "MemoryError", "builtins", NULL);
    q->task = t;
    st = llm_read_name(t, "model", lovage_arg(t, 0, "model"), q->model);
    if (st == LOVAGE_OK)
        st = llm_spec_read(t, task_services(t)->config, &spec);
    if (st == LOVAGE_OK)
        st = start_query(t, q, spec);
    llm_spec_free(spec);
    if (st != LOVAGE_PENDING)
        free(q);
    return st;
}

/* ---- registration ---- */

enum status
llm_tasks_register(struct lovage_registry *r, const struct config *config,
                   struct error *err)
{
    static const char *const queries[] = {"llm.query",
                                          "tasks.process_llm_query"};
    lovage_task_def def = {.size = sizeof(def),
                           .kind = LOVAGE_ASYNC,
                           .run = run_query,
                           .params = LLM_PARAMS,
                           .param_names = llm_query_params,
                           .required = 1};
    struct llm_node *node = NULL;
    enum status st = llm_node_new(config, &node, err);

    if (st != ST_OK)
        return st;
    def.data = node;
    for (size_t i = 0; i < 2; i++) {
        def.name = queries[i];
        if (lovage_register(r, &def) != 0)
            return error_set(err, ST_INVALID, "cannot register %s", def.name);
    }
    def.name = "llm.fan_out";
    def.run = llm_fan_out;
    def.param_names = llm_fan_out_params;
    if (lovage_register(r, &def) != 0)
        return error_set(err, ST_INVALID, "cannot register %s", def.name);
    return ST_OK;
}

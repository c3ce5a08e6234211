/* SPDX-License-Identifier: Apache-2.0 */
/* The task llm.fan_out: one question to many models at once.  Every model has
 * its own deadline and its own failure; the task itself fails only for its own
 * arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "worker/llm/answer.h"
#include "worker/llm/ask.h"
#include "worker/llm/tasks.h"

struct fan;

struct member {
    struct fan *fan;
    struct ask *ask;      /* NULL: not asked, or answered */
    lovage_value *answer; /* owned; NULL: not yet */
    char model[LLM_MODEL_MAX + 1];
};

struct fan {
    lovage_task *task;
    uint64_t started_us;
    struct llm_usage usage, billed; /* billed: without what the cache gave */
    bool no_memory;
    size_t waiting, count;
    struct member member[];
};

static void
fan_free(struct fan *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->member[i].ask != NULL)
            ask_cancel(f->member[i].ask);
        lovage_free(f->member[i].answer);
    }
    free(f);
}

/* ---- answers ---- */

static lovage_status
make_result(struct fan *f)
{
    lovage_value *v = lovage_object(), *list = lovage_array();
    bool good = v != NULL && list != NULL && !f->no_memory;

    for (size_t i = 0; i < f->count && good; i++) {
        good = lovage_push(list, f->member[i].answer) == LOVAGE_OK;
        f->member[i].answer = NULL;
    }
    if (!good) {
        lovage_free(list);
        lovage_free(v);
        return lovage_raise(f->task, "MemoryError", "builtins", NULL);
    }
    good = lovage_put(v, "answers", list) == LOVAGE_OK;
    good &= lovage_put(v, "usage", llm_usage_value(&f->usage)) == LOVAGE_OK;
    good &= lovage_put(v, "latency_ms",
                       lovage_int((int64_t)((clock_mono_us() - f->started_us) /
                                            1000))) == LOVAGE_OK;
    if (good)
        return lovage_return(f->task, v);
    lovage_free(v);
    return lovage_raise(f->task, "MemoryError", "builtins", NULL);
}

/* All models' names, for the record. */
static void
join_names(const struct fan *f, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < f->count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? "," : "",
                                f->member[i].model);
}

static void
finish(struct fan *f)
{
    lovage_task *t = f->task;
    const struct llm_usage *u = &f->billed;
    char names[256] = "";
    lovage_status st;

    join_names(f, names, sizeof(names));
    task_usage(t, names, u->prompt_tokens, u->completion_tokens,
               u->total_tokens);
    st = make_result(f);
    fan_free(f);
    lovage_finish(t, st);
}

static void
record(struct member *m, const struct llm_outcome *o)
{
    struct fan *f = m->fan;

    if (o->result.error.cls == LLM_E_NONE) {
        m->answer = llm_answer_value(m->model, o);
        llm_usage_add(&f->usage, &o->result.usage);
        if (!o->cached)
            llm_usage_add(&f->billed, &o->result.usage);
    } else {
        m->answer = llm_error_value(m->model, o);
    }
    if (m->answer == NULL)
        f->no_memory = true;
    f->waiting--;
}

static void
on_answer(void *arg, const struct llm_outcome *o)
{
    struct member *m = arg;
    struct fan *f = m->fan;

    m->ask = NULL;
    record(m, o);
    if (f->waiting == 0)
        finish(f);
}

static void
on_cancel(lovage_task *t, void *arg)
{
    (void)t;
    fan_free(arg);
}

/* ---- starting ---- */

static lovage_status
read_models(lovage_task *t, const struct config *config, struct fan **out)
{
    const lovage_value *v = lovage_arg(t, 0, "models");
    size_t n;
    struct fan *f;

    if (v == NULL || lovage_typeof(v) != LOVAGE_ARRAY)
        return llm_wrong_type(t, "models", "list",
                              v == NULL ? lovage_null() : v);
    n = lovage_length(v);
    if (n == 0 || n > (size_t)config->llm_max_fan_out)
        return llm_wrong_value(t, "models",
                               "must name 1 to %lld models, not %zu",
                               (long long)config->llm_max_fan_out, n);
    f = calloc(1, sizeof(*f) + n * sizeof(f->member[0]));
    if (f == NULL)
        return lovage_raise(t, "MemoryError", "builtins", NULL);
    for (size_t i = 0; i < n; i++) {
        if (llm_read_name(t, "models", lovage_at(v, i), f->member[i].model) !=
            LOVAGE_OK) {
            free(f);
            return LOVAGE_FAILED;
        }
        f->member[i].fan = f;
    }
    f->count = f->waiting = n;
    f->usage = (struct llm_usage){0, 0, 0, -1, -1, false};
    f->billed = f->usage;
    *out = f;
    return LOVAGE_OK;
}

/* A model that cannot even be asked is an answer too. */
static void
ask_member(struct member *m, struct llm_spec *spec)
{
    lovage_task *t = m->fan->task;
    struct llm_node *node = lovage_data(t);
    const struct services *services = task_services(t);
    struct slice name = {m->model, strlen(m->model)};
    struct llm_route route;
    struct llm_outcome o;
    struct error err = {0};
    const struct flight_plan plan = {.node = node,
                                     .services = services,
                                     .route = &route,
                                     .spec = spec,
                                     .id = lovage_id(t),
                                     .deadline_us =
                                         llm_deadline(t, services->config)};
    enum status st = llm_models_route(node->models, name, &route, &err);

    if (st == ST_OK) {
        st = ask_start(&plan, on_answer, m, &m->ask);
        if (st == ST_OK)
            return;
        error_set(&err, st, "%s", status_text(st));
    }
    llm_unroutable(&o, st, err.text);
    record(m, &o);
}

lovage_status
llm_fan_out(lovage_task *t)
{
    const struct config *config = task_services(t)->config;
    struct llm_spec *spec = NULL;
    struct fan *f = NULL;
    lovage_status st = read_models(t, config, &f);

    if (st != LOVAGE_OK)
        return st;
    st = llm_spec_read(t, config, &spec);
    if (st != LOVAGE_OK) {
        free(f);
        return st;
    }
    f->task = t;
    f->started_us = clock_mono_us();
    for (size_t i = 0; i < f->count; i++)
        ask_member(&f->member[i], spec);
    llm_spec_free(spec);
    if (f->waiting > 0) {
        lovage_on_cancel(t, on_cancel, f);
        return LOVAGE_PENDING;
    }
    st = make_result(f); /* none could be asked */
    fan_free(f);
    return st;
}

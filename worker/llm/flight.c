/* SPDX-License-Identifier: Apache-2.0 */
/* One query to one model.
 *
 * A flight is a timer, a deadline and at most one HTTP call.  The timer starts
 * every attempt, the first one too, so that no callback is made before
 * flight_start() has returned.  It ends once: by an answer, by an error that is
 * not to be tried again, by its deadline, or by flight_cancel(). */
#include "worker/llm/flight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/llm_echo.h"

enum {
    WAIT_HERE_MAX_MS = 60000, /* a longer hint puts the task back */
    ID_MAX = 64,
    KEY_MIN = 8 /* bytes */
};

struct flight {
    uv_timer_t timer, deadline;
    unsigned handles;
    struct llm_node *node;
    const struct services *services;
    struct llm_spec *spec;
    struct llm_route route;
    struct llm_query query; /* the spec's, for this model, adapted */
    struct llm_deployment at;
    struct llm_echo echo;
    struct http_call *call; /* NULL: none runs */
    unsigned attempts, failures, adapted;
    uint64_t started_us, deadline_us;
    char id[ID_MAX];
    flight_fn *fn;
    void *arg;
};

static uint32_t
ms_of(double seconds)
{
    return seconds > 1000000 ? 1000000000 : (uint32_t)(seconds * 1000);
}

static const char *
provider_name(const struct flight *f)
{
    return f->route.provider == NULL ? "echo" : f->at.provider;
}

static uint64_t
left_ms(const struct flight *f)
{
    uint64_t now = clock_mono_us();

    return now < f->deadline_us ? (f->deadline_us - now) / 1000 : 0;
}

/* ---- the end ---- */

static void
on_closed(uv_handle_t *h)
{
    struct flight *f = h->data;

    if (--f->handles > 0)
        return;
    llm_spec_free(f->spec);
    free(f);
}

static void
end(struct flight *f)
{
    if (f->call != NULL)
        http_cancel(f->call);
    f->call = NULL;
    uv_close((uv_handle_t *)&f->timer, on_closed);
    uv_close((uv_handle_t *)&f->deadline, on_closed);
}

static void
count(const struct flight *f, const struct llm_outcome *o)
{
    const struct llm_usage *u = &o->result.usage;

    metric_observe(f->node->seconds, provider_name(f),
                   (double)o->latency_ms / 1000);
    if (o->result.error.cls != LLM_E_NONE)
        return;
    metric_add(f->node->tokens, "prompt", (double)u->prompt_tokens);
    metric_add(f->node->tokens, "completion", (double)u->completion_tokens);
}

/* Takes *r. */
static void
deliver(struct flight *f, struct llm_result *r, int64_t retry_in_ms)
{
    struct llm_outcome o = {
        .result = *r, .attempts = f->attempts, .retry_in_ms = retry_in_ms};
    flight_fn *fn = f->fn;
    void *arg = f->arg;

    o.latency_ms = (clock_mono_us() - f->started_us) / 1000;
    snprintf(o.provider, sizeof(o.provider), "%s", provider_name(f));
    if (o.result.model_used[0] == '\0')
        snprintf(o.result.model_used, sizeof(o.result.model_used), "%s",
                 f->route.model);
    count(f, &o);
    end(f);
    fn(arg, &o);
    llm_result_fini(&o.result);
}

/* ---- trying again ---- */

static unsigned
retries_allowed(const struct flight *f, enum llm_error_class c)
{
    int64_t max = f->services->config->llm_max_retries;

    if (!llm_error_retryable(c))
        return 0;
    if (c == LLM_E_BAD_RESPONSE) /* it would be bad again */
        return max < 1 ? (unsigned)max : 1;
    if (c == LLM_E_SERVER)
        return max < 2 ? (unsigned)max : 2;
    return (unsigned)max;
}

/* A hint is a lower bound; spread a little, so that a thousand parked queries
 * do not come back in one instant. */
static uint32_t
delay_ms(const struct flight *f, const struct llm_error *e)
{
    struct backoff b = {.attempt = f->failures - 1};
    uint32_t hint;

    if (e->retry_after_ms < 0) {
        llm_error_backoff(e->cls, &b.base_ms, &b.cap_ms);
        return backoff_next_ms(&b);
    }
    hint = (uint32_t)e->retry_after_ms; /* at most a day */
    return backoff_jitter(hint, hint + hint / 10);
}

static void on_timer(uv_timer_t *timer);

static void
fail_or_retry(struct flight *f, struct llm_result *r)
{
    const struct llm_error *e = &r->error;
    uint32_t delay;
    bool retryable;

    f->failures++;
    retryable = llm_error_retryable(e->cls);
    log_info("llm call failed",
             "id=%s provider=%s model=%s class=%s http_status=%d attempt=%u",
             f->id, provider_name(f), f->route.model, llm_error_name(e->cls),
             e->http_status, f->attempts);
    if (retryable && e->retry_after_ms > 0 &&
        ((uint64_t)e->retry_after_ms >= left_ms(f) ||
         e->retry_after_ms > WAIT_HERE_MAX_MS)) {
        deliver(f, r, e->retry_after_ms);
        return;
    }
    if (f->failures > retries_allowed(f, e->cls)) {
        deliver(f, r, -1);
        return;
    }
    delay = delay_ms(f, e);
    if (delay >= left_ms(f)) {
        deliver(f, r, -1);
        return;
    }
    llm_result_fini(r);
    uv_timer_start(&f->timer, on_timer, delay, 0);
}

/* True: the query was changed so that the model may take it, and goes again. */
static bool
adapt(struct flight *f, const struct llm_error *e)
{
    unsigned a = llm_adaptation(&f->query, e) & ~f->adapted;

    if (a == 0)
        return false;
    f->adapted |= a;
    llm_adapt(a, &f->query, &f->at);
    llm_node_learn(f->node, f->route.deployment, f->route.model, f->adapted);
    uv_timer_start(&f->timer, on_timer, 0, 0);
    return true;
}

/* Takes *r. */
static void
judge(struct flight *f, struct llm_result *r)
{
    metric_add(f->node->calls,
               r->error.cls == LLM_E_NONE ? "ok" : llm_error_name(r->error.cls),
               1);
    if (r->error.cls == LLM_E_NONE)
        deliver(f, r, -1);
    else if (adapt(f, &r->error))
        llm_result_fini(r);
    else
        fail_or_retry(f, r);
}

/* ---- one attempt ---- */

static void
fail(struct flight *f, enum llm_error_class cls, const char *message)
{
    struct llm_result r = {.error = {.cls = cls, .retry_after_ms = -1}};

    snprintf(r.error.message, sizeof(r.error.message), "%s", message);
    judge(f, &r);
}

/* Providers quote the key that they refuse; what it looks like only we know.  A
 * short one ("none", "test") is no secret but may be a word. */
static void
hide_key(char *message, const char *key)
{
    size_t n = strlen(key);

    while (n >= KEY_MIN && (message = strstr(message, key)) != NULL) {
        memset(message, '*', n);
        message += n;
    }
}

static void
on_answer(void *arg, const struct http_response *h)
{
    static const enum llm_error_class classes[] = {
        [HTTP_ERR_NONE] = LLM_E_NONE,
        [HTTP_ERR_CONNECT] = LLM_E_NETWORK,
        [HTTP_ERR_TIMEOUT] = LLM_E_TIMEOUT,
        [HTTP_ERR_LOST] = LLM_E_NETWORK,
        [HTTP_ERR_TOO_LARGE] = LLM_E_TOO_LARGE,
        [HTTP_ERR_URL] = LLM_E_BAD_REQUEST,
    };
    struct flight *f = arg;
    struct llm_result r;
    struct llm_answer a = {.http_status = h->status,
                           .body = h->body,
                           .retry_after = h->retry_after,
                           .retry_after_ms = h->retry_after_ms,
                           .request_id = h->request_id,
                           .now_unix_ms = clock_unix_us() / 1000};

    f->call = NULL;
    if (h->error != HTTP_ERR_NONE) {
        fail(f, classes[h->error], h->error_text);
        return;
    }
    f->route.provider->parse(&a, &f->query, &r);
    hide_key(r.error.message, f->at.api_key);
    judge(f, &r);
}

static void
attempt_http(struct flight *f)
{
    const struct config *c = f->services->config;
    struct llm_http h = {0};
    struct error err = {0};
    struct http_request rq;
    enum status st = f->route.provider->build(&f->query, &f->at, &h, &err);

    if (st != ST_OK) {
        fail(f, LLM_E_BAD_REQUEST, err.text);
        return;
    }
    rq = (struct http_request){
        .method = "POST",
        .url = h.url,
        .headers = (const char *const *)h.headers,
        .body = {h.body, h.body_len},
        .connect_timeout_ms = ms_of(c->llm_connect_timeout),
        .first_byte_timeout_ms = ms_of(c->llm_first_byte_timeout),
        .total_timeout_ms = (uint32_t)left_ms(f) + 1,
        .max_response = (size_t)c->llm_max_response_bytes,
    };
    st = http_call(f->services->http, &rq, on_answer, f, &f->call);
    llm_http_fini(&h);
    if (st != ST_OK)
        fail(f, LLM_E_NETWORK, status_text(st));
}

static void
on_echo(uv_timer_t *timer)
{
    struct flight *f = timer->data;
    struct llm_result r;

    llm_echo_answer(&f->echo, &f->query, backoff_jitter(0, LLM_ECHO_ROLL - 1),
                    &r);
    judge(f, &r);
}

static void
on_timer(uv_timer_t *timer)
{
    struct flight *f = timer->data;

    f->attempts++;
    if (f->route.provider != NULL)
        attempt_http(f);
    else
        uv_timer_start(&f->timer, on_echo, f->echo.latency_ms, 0);
}

static void
on_deadline(uv_timer_t *timer)
{
    struct flight *f = timer->data;
    struct llm_result r = {
        .error = {.cls = LLM_E_TIMEOUT, .retry_after_ms = -1}};

    snprintf(r.error.message, sizeof(r.error.message),
             "no answer within %.3g s",
             (double)(f->deadline_us - f->started_us) / 1e6);
    metric_add(f->node->calls, llm_error_name(LLM_E_TIMEOUT), 1);
    deliver(f, &r, -1);
}

/* ---- exported ---- */

static void
prepare(struct flight *f, const struct flight_plan *plan)
{
    f->node = plan->node;
    f->services = plan->services;
    f->route = *plan->route;
    f->spec = llm_spec_ref(plan->spec);
    f->query = plan->spec->query;
    f->query.model = (struct slice){f->route.model, strlen(f->route.model)};
    f->started_us = clock_mono_us();
    f->deadline_us = plan->deadline_us;
    snprintf(f->id, sizeof(f->id), "%s", plan->id);
    if (f->route.provider == NULL)
        return;
    f->at = *f->route.deployment;
    f->adapted = llm_node_learned(f->node, f->route.deployment, f->route.model);
    llm_adapt(f->adapted, &f->query, &f->at);
}

enum status
flight_start(const struct flight_plan *plan, flight_fn *fn, void *arg,
             struct flight **out)
{
    struct flight *f = calloc(1, sizeof(*f));
    enum status st = ST_OK;

    if (f == NULL)
        return ST_NOMEM;
    prepare(f, plan);
    if (f->route.provider == NULL)
        st = llm_echo_parse(f->query.model, &f->echo, NULL);
    if (st != ST_OK) {
        llm_spec_free(f->spec);
        free(f);
        return st;
    }
    f->fn = fn;
    f->arg = arg;
    uv_timer_init(plan->services->loop, &f->timer); /* cannot fail */
    uv_timer_init(plan->services->loop, &f->deadline);
    f->timer.data = f->deadline.data = f;
    f->handles = 2;
    uv_update_time(plan->services->loop); /* a long turn would cut it short */
    uv_timer_start(&f->timer, on_timer, 0, 0);
    uv_timer_start(&f->deadline, on_deadline, left_ms(f) + 1, 0);
    *out = f;
    return ST_OK;
}

void
flight_cancel(struct flight *f)
{
    end(f);
}

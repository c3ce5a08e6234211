/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that share: look into the cache, then fly, and answer all who ask.
 *
 * A struct shared is one look-up or flight and those who wait for it.  It is in
 * the node's map, where others find it, until it has an answer.  A look-up in
 * the cache cannot be called back: a shared that is given up meanwhile stays in
 * the map until the cache has answered. */
#include "worker/llm/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "worker/llm/answer.h"
#include "worker/llm/key.h"

struct shared {
    struct llm_node *node;
    const struct services *services;
    struct llm_route route;
    struct llm_spec *spec;
    struct flight *flight; /* NULL: not yet, or over */
    struct list asks;
    bool looking;   /* the cache has not answered yet */
    bool answering; /* asks are being answered: not the time to free */
    uint64_t deadline_us;
    char key[LLM_KEY_LEN + 1]; /* "": not shared, not cached */
    char id[64];
};

struct ask {
    struct list node;
    struct shared *shared;
    uint64_t started_us;
    flight_fn *fn;
    void *arg;
};

static struct slice
key_of(const struct shared *s)
{
    return (struct slice){s->key, LLM_KEY_LEN};
}

static void
forget(struct shared *s)
{
    if (s->key[0] != '\0' && map_find(&s->node->shared, key_of(s)) == s)
        map_del(&s->node->shared, key_of(s));
}

static void
shared_free(struct shared *s)
{
    forget(s);
    llm_spec_free(s->spec);
    free(s);
}

/* ---- answering ---- */

static void
answer_all(struct shared *s, struct llm_outcome *o)
{
    uint64_t now = clock_mono_us();
    struct list *n;

    forget(s); /* who asks from now on asks anew */
    s->answering = true;
    while ((n = list_pop(&s->asks)) != NULL) {
        struct ask *a = list_entry(n, struct ask, node);
        flight_fn *fn = a->fn;
        void *arg = a->arg;

        o->latency_ms = (now - a->started_us) / 1000;
        free(a);
        fn(arg, o);
    }
    shared_free(s);
}

static void
keep(const struct shared *s, const struct llm_outcome *o)
{
    int64_t ttl = s->services->config->llm_cache_ttl;
    char *text;

    if (s->key[0] == '\0' || s->services->cache == NULL || ttl <= 0 ||
        !llm_answer_cacheable(o))
        return;
    text = llm_answer_encode(o);
    if (text != NULL)
        cache_put(s->services->cache, key_of(s), slice_of(text), ttl);
    free(text);
}

static void
on_flight(void *arg, const struct llm_outcome *o)
{
    struct shared *s = arg;
    struct llm_outcome mine = *o;

    s->flight = NULL;
    keep(s, o);
    answer_all(s, &mine);
}

static enum status
fly(struct shared *s)
{
    const struct flight_plan plan = {.node = s->node,
                                     .services = s->services,
                                     .route = &s->route,
                                     .spec = s->spec,
                                     .id = s->id,
                                     .deadline_us = s->deadline_us};

    return flight_start(&plan, on_flight, s, &s->flight);
}

static void
on_cache(void *arg, struct slice value)
{
    struct shared *s = arg;
    struct llm_outcome o;

    s->looking = false;
    if (list_empty(&s->asks)) { /* given up meanwhile */
        shared_free(s);
        return;
    }
    if (value.ptr != NULL && llm_answer_decode(value, &o)) {
        metric_add(s->node->cache, "hit", 1);
        answer_all(s, &o);
        llm_result_fini(&o.result);
        return;
    }
    metric_add(s->node->cache, "miss", 1);
    if (fly(s) == ST_OK)
        return;
    o = (struct llm_outcome){.retry_in_ms = -1,
                             .result.error = {.cls = LLM_E_SERVER,
                                              .message = "out of memory",
                                              .retry_after_ms = -1}};
    answer_all(s, &o);
}

/* ---- asking ---- */

static struct shared *
shared_new(const struct flight_plan *plan, const char *key)
{
    struct shared *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    list_init(&s->asks);
    s->node = plan->node;
    s->services = plan->services;
    s->route = *plan->route;
    s->spec = llm_spec_ref(plan->spec);
    s->deadline_us = plan->deadline_us;
    snprintf(s->key, sizeof(s->key), "%s", key);
    snprintf(s->id, sizeof(s->id), "%s", plan->id);
    /* It takes the place of one that find() has passed over. */
    if (key[0] != '\0' && map_put(&s->node->shared, key_of(s), s) != ST_OK) {
        shared_free(s);
        return NULL;
    }
    return s;
}

static enum status
begin(struct shared *s)
{
    if (s->key[0] == '\0' || s->services->cache == NULL ||
        s->services->config->llm_cache_ttl <= 0)
        return fly(s);
    s->looking = true;
    cache_get(s->services->cache, key_of(s), on_cache, s);
    return ST_OK;
}

/* One that is under way, ends in time for us, and has at least half of the time
 * that we have: a call that hangs must not take all who join it with it. */
static struct shared *
find(const struct flight_plan *plan, const char *key)
{
    struct slice k = {key, strlen(key)};
    struct shared *s = k.len > 0 ? map_find(&plan->node->shared, k) : NULL;
    uint64_t now = clock_mono_us();

    if (s == NULL || s->deadline_us > plan->deadline_us ||
        s->deadline_us < now + (plan->deadline_us - now) / 2)
        return NULL;
    return s;
}

enum status
ask_start(const struct flight_plan *plan, flight_fn *fn, void *arg,
          struct ask **out)
{
    struct ask *a = calloc(1, sizeof(*a));
    struct shared *s = NULL;
    char key[LLM_KEY_LEN + 1] = "";
    enum status st = ST_OK;

    if (a == NULL)
        return ST_NOMEM;
    *a = (struct ask){.started_us = clock_mono_us(), .fn = fn, .arg = arg};
    if (plan->spec->cache)
        st = llm_key(plan->route, &plan->spec->query, key);
    if (st != ST_OK)
        goto fail;
    s = find(plan, key);
    if (s == NULL) {
        s = shared_new(plan, key);
        st = s == NULL ? ST_NOMEM : begin(s);
    }
    if (st != ST_OK)
        goto fail;
    a->shared = s;
    list_add_tail(&s->asks, &a->node);
    *out = a;
    return ST_OK;
fail:
    if (s != NULL)
        shared_free(s);
    free(a);
    return st;
}

void
ask_cancel(struct ask *a)
{
    struct shared *s = a->shared;

    list_del(&a->node);
    free(a);
    if (!list_empty(&s->asks) || s->looking || s->answering)
        return;
    if (s->flight != NULL)
        flight_cancel(s->flight);
    shared_free(s);
}

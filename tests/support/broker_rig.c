/* SPDX-License-Identifier: Apache-2.0 */
/* A broker under test and the record of its events. */
#include "tests/support/broker_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "tests/support/loop.h"

static void
on_ready(void *arg)
{
    struct rig *r = arg;

    r->ready++;
}

static int
number_of(const struct message *m)
{
    int n = -1;

    if (m == NULL || sscanf(m->body, "[[%d]", &n) != 1)
        return -1;
    return n;
}

static void
on_delivered(void *arg, const struct delivery *d)
{
    struct rig *r = arg;
    struct rig_delivery *x = &r->got[r->got_count++];

    cr_assert_lt(r->got_count, RIG_MAX);
    x->tag = d->tag;
    x->n = number_of(d->msg);
    x->redelivered = d->msg != NULL && d->msg->redelivered;
    (void)snprintf(x->queue, sizeof x->queue, "%.*s", (int)d->queue.len,
                   d->queue.ptr);
    message_free(d->msg);
    if (r->ack_at_once)
        r->b->ops->settle(r->b, d->tag, VERDICT_ACK);
}

static void
on_published(void *arg, void *cookie, enum status st)
{
    struct rig *r = arg;

    (void)cookie;
    if (st == ST_OK)
        r->published_ok++;
    else if (st == ST_LOST)
        r->published_lost++;
    else
        r->published_bad++;
}

static void
on_fanout(void *arg, struct slice exchange, struct message *m)
{
    struct rig *r = arg;

    r->fanouts++;
    (void)snprintf(r->fanout_exchange, sizeof r->fanout_exchange, "%.*s",
                   (int)exchange.len, exchange.ptr);
    message_free(m);
}

static void
on_lost(void *arg, const struct error *why, bool tags_void)
{
    struct rig *r = arg;

    r->lost++;
    r->lost_code = why->code;
    r->tags_void = tags_void;
}

static void
on_failed(void *arg, const struct error *why)
{
    struct rig *r = arg;

    (void)why;
    r->failed++;
}

static void
on_closed(void *arg)
{
    struct rig *r = arg;

    r->closed++;
    r->b = NULL;
}

static void
on_depth(void *arg, enum status st, int64_t n)
{
    struct rig *r = arg;

    r->depth_told = true;
    r->depth_status = st;
    r->depth = (long)n;
}

/* ---- exported ---- */

static void
init(struct rig *r, const struct broker_impl *impl, const char *instance)
{
    struct error err;

    memset(r, 0, sizeof *r);
    r->impl = impl;
    r->instance = instance;
    r->got = calloc(RIG_MAX, sizeof *r->got);
    cr_assert_not_null(r->got);
    cr_assert_eq(uv_loop_init(&r->loop), 0);
    cr_assert_eq(config_init(&r->config, &err), ST_OK, "%s", err.text);
    r->config.worker_lease = 1;
}

void
rig_init(struct rig *r, const struct broker_impl *impl)
{
    init(r, impl, "w1@test/1");
    r->server = impl->start();
}

void
rig_init_beside(struct rig *r, struct rig *owner, const char *instance)
{
    init(r, owner->impl, instance);
    r->server = owner->server;
}

void
rig_fini(struct rig *r)
{
    bool owner = r->instance != NULL && strcmp(r->instance, "w1@test/1") == 0;

    if (r->b != NULL)
        rig_close(r, 2000);
    loop_end(&r->loop);
    config_fini(&r->config);
    free(r->got);
    if (owner)
        r->impl->stop(r->server);
}

enum status
rig_open_url(struct rig *r, const char *url, struct error *err)
{
    static const struct broker_events events = {.ready = on_ready,
                                                .delivered = on_delivered,
                                                .published = on_published,
                                                .fanout = on_fanout,
                                                .lost = on_lost,
                                                .failed = on_failed};
    struct broker_opts opts = {.url = url,
                               .config = &r->config,
                               .topology = r->topology,
                               .instance = r->instance,
                               .adopt = r->adopt};

    return broker_open(&r->b, &r->loop, &opts, &events, r, err);
}

void
rig_open(struct rig *r)
{
    struct error err = {0};
    int before = r->ready;

    cr_assert_eq(rig_open_url(r, r->impl->url(r->server), &err), ST_OK, "%s",
                 err.text);
    cr_assert(rig_wait_ready(r, before + 1, 5000), "not ready");
}

static bool
is_closed(void *arg)
{
    return ((struct rig *)arg)->b == NULL;
}

void
rig_close(struct rig *r, uint32_t flush_ms)
{
    r->b->ops->close(r->b, flush_ms, on_closed, r);
    cr_assert(loop_until(&r->loop, is_closed, r, (int)flush_ms + 3000),
              "does not close");
}

void
rig_consume(struct rig *r, const char *queue, unsigned prefetch)
{
    struct error err = {0};
    struct queue_def *q = NULL;

    cr_assert_eq(topology_missing(NULL, slice_of(queue), &q, &err), ST_OK);
    cr_assert_eq(r->b->ops->consume(r->b, q, &err), ST_OK, "%s", err.text);
    queue_def_free(q);
    r->b->ops->prefetch(r->b, prefetch);
}

struct message *
rig_message(const char *exchange, const char *key, int n)
{
    struct message *m = message_new();
    char body[96], id[ID_LEN + 1];
    int len = snprintf(body, sizeof body, "[[%d], {}, {}]", n);

    id_new(id);
    m->headers = json_object_new_object();
    json_object_object_add(m->headers, "task", json_object_new_string("t"));
    json_object_object_add(m->headers, "id", json_object_new_string(id));
    m->content_type = strdup("application/json");
    m->content_encoding = strdup("utf-8");
    m->body = strdup(body);
    m->body_len = (size_t)len;
    m->exchange = strdup(exchange);
    m->routing_key = strdup(key);
    m->correlation_id = strdup(id);
    m->delivery_mode = 2;
    return m;
}

enum status
rig_send(struct rig *r, const char *queue, int n, int priority)
{
    struct message *m = rig_message("", queue, n);
    struct error err;
    enum status st;

    m->priority = priority;
    st = r->b->ops->publish(r->b, m, r, &err);
    message_free(m);
    return st;
}

void
rig_publish(struct rig *r, const char *queue, int n)
{
    cr_assert_eq(rig_send(r, queue, n, 0), ST_OK);
}

struct goal {
    const int *value;
    int count;
};

static bool
reached(void *arg)
{
    struct goal *g = arg;

    return *g->value >= g->count;
}

static bool
wait_for(struct rig *r, const int *value, int count, int ms)
{
    struct goal g = {value, count};

    return loop_until(&r->loop, reached, &g, ms);
}

bool
rig_wait_got(struct rig *r, int count, int ms)
{
    return wait_for(r, &r->got_count, count, ms);
}

bool
rig_wait_published(struct rig *r, int count, int ms)
{
    return wait_for(r, &r->published_ok, count, ms);
}

bool
rig_wait_ready(struct rig *r, int count, int ms)
{
    return wait_for(r, &r->ready, count, ms);
}

bool
rig_wait_lost(struct rig *r, int count, int ms)
{
    return wait_for(r, &r->lost, count, ms);
}

void
rig_run(struct rig *r, int ms)
{
    loop_until(&r->loop, NULL, NULL, ms);
}

static bool
depth_told(void *arg)
{
    return ((struct rig *)arg)->depth_told;
}

long
rig_depth(struct rig *r, const char *queue)
{
    r->depth_told = false;
    cr_assert_eq(r->b->ops->depth(r->b, (struct slice){queue, strlen(queue)},
                                  on_depth, r),
                 ST_OK);
    cr_assert(!r->depth_told);
    cr_assert(loop_until(&r->loop, depth_told, r, 3000));
    cr_assert_eq(r->depth_status, ST_OK);
    return r->depth;
}

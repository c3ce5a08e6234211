/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis broker: opening, connecting, closing. */
#include "store/redis/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/url.h"
#include "store/redis/address.h"
#include "store/redis/ops.h"

/* ---- the connection ---- */

static void
on_up(void *arg)
{
    struct broker_redis *b = arg;

    if (b->closing)
        return;
    if (b->instance == NULL) {
        redis_take_start(b);
        return;
    }
    for (size_t i = 0; i < b->queue_count; i++)
        redis_bind_queue(b, b->queues[i]);
    redis_bind_subscriptions(b, false);
    redis_beat_start(b);
    if (b->adopt != NULL)
        redis_sweep_start(b, slice_of(b->adopt));
    redis_recover(b);
}

static void
on_down(void *arg, const struct error *why)
{
    struct broker_redis *b = arg;

    b->lost_us = clock_mono_us();
    redis_take_stop(b);
    if (!b->closing)
        b->ev.lost(b->arg, why, false);
}

static void
on_failed(void *arg, const struct error *why)
{
    struct broker_redis *b = arg;

    if (!b->closing && b->ev.failed != NULL)
        b->ev.failed(b->arg, why);
}

/* All that was asked for in one turn. */
static void
on_turn(void *arg)
{
    struct broker_redis *b = arg;

    redis_settle_flush(b);
    redis_take_more(b);
    redis_broker_progress(b);
}

/* ---- closing ---- */

static void
broker_free(void *owner)
{
    struct broker_redis *b = owner;

    redis_restore_fini(b);
    redis_sweeps_fini(b);
    redis_held_fini(b);
    redis_publishes_free(b);
    redis_depths_free(b);
    redis_subscriptions_free(b);
    redis_queues_free(b);
    redis_layout_fini(&b->lay);
    free(b->instance);
    free(b->adopt);
    free(b->k_held);
    free(b->k_node);
    free(b->k_nodes);
    free(b->k_lock);
    free(b->url);
    free(b);
}

static void
finish(struct broker_redis *b)
{
    struct parts *p = &b->to_close;

    if (b->finished)
        return;
    b->finished = true;
    calls_close(b->calls, parts_gone, parts_add(p));
    if (b->pubsub != NULL)
        redis_close(b->pubsub, parts_gone, parts_add(p));
    parts_close_turn(p, &b->turn);
    parts_close_handle(p, (uv_handle_t *)&b->wait);
    parts_close_handle(p, (uv_handle_t *)&b->beat);
    parts_close_handle(p, (uv_handle_t *)&b->deadline);
}

static void
on_deadline(uv_timer_t *t)
{
    finish(t->data);
}

static void
on_left(void *arg, enum status st, const struct redisReply *reply)
{
    (void)st;
    (void)reply;
    finish(arg);
}

/* Takes this consumer off the list of those that are looked after.  If Redis
 * says that it holds something still (the answer to its last take was lost), it
 * stays there and is found dead. */
static void
leave(struct broker_redis *b)
{
    struct redis_cmd cmd;

    redis_bind_subscriptions(b, true);
    redis_drop_own(b);
    redis_cmd_init_script(&cmd, SCRIPT_LEAVE, 3);
    redis_cmd_str(&cmd, b->k_node);
    redis_cmd_str(&cmd, b->k_nodes);
    redis_cmd_str(&cmd, b->k_held);
    redis_cmd_str(&cmd, b->instance);
    if (calls_send(b->calls, CALL_REPEAT, &cmd, on_left, b) != ST_OK)
        finish(b);
}

void
redis_broker_progress(struct broker_redis *b)
{
    if (!b->closing || b->finished || b->leaving || b->taking ||
        b->unsettled_count > 0 || !list_empty(&b->acks) ||
        !list_empty(&b->requeues) || calls_count(b->calls) > 0)
        return;
    b->leaving = true;
    if (b->instance == NULL)
        finish(b);
    else
        leave(b);
}

static void
close_broker(struct broker *base, uint32_t flush_ms, void (*closed)(void *arg),
             void *arg)
{
    struct broker_redis *b = (struct broker_redis *)base;

    if (b->closing)
        return;
    b->closing = true;
    b->to_close = (struct parts){broker_free, b, closed, arg, 0};
    uv_timer_stop(&b->wait);
    uv_timer_stop(&b->beat);
    if (flush_ms == 0) {
        finish(b);
        return;
    }
    redis_settle_all(b);
    uv_timer_start(&b->deadline, on_deadline, flush_ms, 0);
    turn_ask(&b->turn);
}

/* ---- opening ---- */

static enum status
name_keys(struct broker_redis *b)
{
    struct slice me = slice_of(b->instance == NULL ? "" : b->instance);

    b->k_held = redis_layout_key(&b->lay, "lovage.held.", me);
    b->k_node = redis_layout_key(&b->lay, "lovage.node.", me);
    b->k_nodes = redis_layout_key(&b->lay, "lovage.nodes", (struct slice){0});
    b->k_lock = redis_layout_key(&b->lay, "lovage.reaper", (struct slice){0});
    return b->k_held == NULL || b->k_node == NULL || b->k_nodes == NULL ||
                   b->k_lock == NULL
               ? ST_NOMEM
               : ST_OK;
}

static enum status
copy_opts(struct broker_redis *b, const struct broker_opts *o,
          struct error *err)
{
    struct redis_address addr;
    enum status st =
        redis_address_init(&addr, o->url, o->config, REDIS_BROKER, err);

    if (st != ST_OK)
        return st;
    st = redis_layout_init(&b->lay, o->config->broker_transport_options,
                           addr.db, err);
    redis_address_fini(&addr);
    if (st != ST_OK)
        return st;
    b->config = o->config;
    b->url = strdup(o->url);
    b->topology = o->topology;
    b->replies_expire_s = o->config->result_expires;
    b->lease_ms = (uint32_t)(o->config->worker_lease * 1000);
    if (o->instance != NULL)
        b->instance = strdup(o->instance);
    if (o->adopt != NULL)
        b->adopt = strdup(o->adopt);
    if (b->url == NULL || name_keys(b) != ST_OK ||
        (o->instance != NULL && b->instance == NULL))
        return error_set(err, ST_NOMEM, "no memory for a broker");
    return ST_OK;
}

static enum status
open_connections(struct broker_redis *b, const struct broker_opts *o,
                 struct error *err)
{
    static const struct calls_events events = {on_up, on_down, on_failed};
    struct redis_opts opts = {
        .url = o->url,
        .config = o->config,
        .role = REDIS_BROKER,
        .name = o->instance == NULL ? "publisher" : "worker",
        .max_retries = o->config->broker_connection_max_retries,
        .scripts = true};

    return calls_open(&b->calls, b->loop, &opts, &events, b, err);
}

static void
init_handles(struct broker_redis *b)
{
    turn_init(&b->turn, b->loop, on_turn, b);
    uv_timer_init(b->loop, &b->wait);
    uv_timer_init(b->loop, &b->beat);
    uv_timer_init(b->loop, &b->deadline);
    b->wait.data = b->beat.data = b->deadline.data = b;
}

static enum status
open_broker(struct broker **out, uv_loop_t *loop, const struct broker_opts *o,
            const struct broker_events *ev, void *arg, struct error *err)
{
    struct broker_redis *b = calloc(1, sizeof *b);
    enum status st;

    if (b == NULL)
        return error_set(err, ST_NOMEM, "no memory for a broker");
    b->base.ops = &redis_broker_ops;
    b->loop = loop;
    b->ev = *ev;
    b->arg = arg;
    map_init(&b->by_id);
    map_init(&b->by_tag);
    list_init(&b->unsettled);
    list_init(&b->acks);
    list_init(&b->requeues);
    list_init(&b->settling);
    list_init(&b->ack_batches);
    list_init(&b->sweeps);
    list_init(&b->batches);
    list_init(&b->publishes);
    list_init(&b->depths);
    list_init(&b->subscriptions);
    st = copy_opts(b, o, err);
    if (st == ST_OK)
        st = open_connections(b, o, err);
    if (st != ST_OK) {
        broker_free(b);
        return st;
    }
    init_handles(b);
    if (b->instance != NULL)
        st = redis_pubsub_open(b, err);
    if (st != ST_OK) {
        close_broker(&b->base, 0, NULL, NULL);
        return st;
    }
    *out = &b->base;
    return ST_OK;
}

const struct broker_ops redis_broker_ops = {
    .scheme = "redis",
    .open = open_broker,
    .close = close_broker,
    .publish = redis_publish,
    .publish_fanout = redis_publish_fanout,
    .consume = redis_consume,
    .consume_replies = redis_consume_replies,
    .cancel = redis_cancel,
    .prefetch = redis_prefetch,
    .settle = redis_settle,
    .subscribe = redis_broker_subscribe,
    .depth = redis_depth,
    .last_answer = redis_last_answer,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The AMQP broker: opening, connecting, closing. */
#include "store/amqp/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/amqp/ops.h"
#include "store/amqp/table.h"

enum {
    BEAT_MS = 250,
    HEARTBEAT_S = 10,
    RETRY_US = 1000 * 1000,
    CLOSE_MIN_MS = 100,
    NOT_FOUND = 404
};

/* ---- up and down ---- */

/* Ready is who can be reached: after its subscriptions. */
static void
check_ready(struct broker_amqp *b)
{
    if (b->ready || b->closing || !b->out_up ||
        (b->in != NULL && (!b->in_up || !amq_fanout_is_up(b))))
        return;
    b->ready = true;
    b->told = false;
    b->ev.ready(b->arg);
    turn_ask(&b->turn);
}

/* Told once an outage, and once more when deliveries turn out to be lost. */
static void
tell_lost(struct broker_amqp *b, const struct error *why, bool tags_void)
{
    b->ready = false;
    if (b->closing || (b->told && !tags_void))
        return;
    b->told = true;
    b->ev.lost(b->arg, why, tags_void);
}

static void
on_failed(void *arg, const struct error *why)
{
    struct broker_amqp *b = arg;

    if (b->closing || b->failed)
        return;
    b->failed = true;
    if (b->ev.failed != NULL)
        b->ev.failed(b->arg, why);
}

/* ---- the incoming connection ---- */

/* All that was delivered is the broker's again. */
static void
consuming_lost(struct broker_amqp *b, const struct error *why)
{
    bool had = b->in_up;

    b->in_up = false;
    amq_held_void(b);
    amq_queues_lost(b);
    tell_lost(b, why, had);
}

static void
in_up(void *arg)
{
    struct broker_amqp *b = arg;

    b->in_up = true;
    if (b->delays)
        amq_delay_start(b);
    amq_fanout_start(b, clock_mono_us());
    check_ready(b);
    turn_ask(&b->turn);
}

static void
in_down(void *arg, const struct error *why)
{
    struct broker_amqp *b = arg;

    amq_rpc_lost(&b->in_rpc, why);
    amq_fanout_lost(b, 0);
    consuming_lost(b, why);
    turn_ask(&b->turn);
}

static void
in_method(void *arg, uint16_t channel, amqp_method_number_t id, void *fields)
{
    struct broker_amqp *b = arg;

    if (channel == IN_SCRATCH) {
        amq_rpc_method(&b->in_rpc, id, fields);
    } else if (id == AMQP_BASIC_CANCEL_METHOD) {
        const amqp_basic_cancel_t *m = fields;
        struct slice tag = amq_slice(m->consumer_tag);

        if (channel == IN_CONSUME)
            amq_queue_cancelled(b, tag);
        else
            amq_fanout_cancelled(b, tag);
    }
}

static void
in_content(void *arg, uint16_t channel, struct amq_content *c)
{
    struct broker_amqp *b = arg;

    if (c->method != AMQP_BASIC_DELIVER_METHOD)
        return;
    if (channel == IN_CONSUME)
        amq_held_deliver(b, c);
    else if (channel == IN_FANOUT)
        amq_fanout_deliver(b, c);
}

static void
in_channel_down(void *arg, uint16_t channel, uint16_t code,
                const struct error *why)
{
    struct broker_amqp *b = arg;
    uint64_t now = clock_mono_us();

    if (channel == IN_SCRATCH) {
        amq_rpc_channel_down(&b->in_rpc, code, why);
        return;
    }
    log_warning("a channel is lost", "purpose=%s reason=%s",
                channel == IN_CONSUME ? "consume" : "fanout", why->text);
    if (channel == IN_FANOUT) {
        amq_fanout_lost(b, now + RETRY_US); /* not in a tight loop */
        return;
    }
    if (now > b->consume_down_us + RETRY_US)
        amq_link_reopen(b->in, IN_CONSUME);
    b->consume_down_us = now;
    consuming_lost(b, why);
    amq_queues_refused(b, why->text, now);
}

static void
in_channel_up(void *arg, uint16_t channel)
{
    struct broker_amqp *b = arg;

    if (channel == IN_SCRATCH)
        amq_rpc_channel_up(&b->in_rpc);
    else if (channel == IN_CONSUME)
        in_up(b);
    turn_ask(&b->turn);
}

static void
in_blocked(void *arg, bool blocked)
{
    (void)arg; /* it publishes nothing */
    (void)blocked;
}

/* ---- the outgoing connection ---- */

static void
out_up(void *arg)
{
    struct broker_amqp *b = arg;

    b->out_up = true;
    check_ready(b);
    turn_ask(&b->turn);
}

static void
out_down(void *arg, const struct error *why)
{
    struct broker_amqp *b = arg;

    b->out_up = false;
    b->blocked = false;
    amq_rpc_lost(&b->out_rpc, why);
    amq_targets_clear(&b->loose);
    tell_lost(b, why, false);
    amq_publish_lost(b);
}

static void
out_method(void *arg, uint16_t channel, amqp_method_number_t id, void *fields)
{
    struct broker_amqp *b = arg;

    if (channel == OUT_SCRATCH)
        amq_rpc_method(&b->out_rpc, id, fields);
    else if (channel == OUT_PUBLISH)
        amq_publish_method(b, id, fields);
}

static void
out_content(void *arg, uint16_t channel, struct amq_content *c)
{
    if (channel == OUT_PUBLISH && c->method == AMQP_BASIC_RETURN_METHOD)
        amq_publish_returned(arg, c);
}

static void
out_channel_down(void *arg, uint16_t channel, uint16_t code,
                 const struct error *why)
{
    struct broker_amqp *b = arg;

    if (channel == OUT_SCRATCH) {
        amq_rpc_channel_down(&b->out_rpc, code, why);
        return;
    }
    log_warning("a channel is lost", "purpose=%s reason=%s",
                channel == OUT_PUBLISH ? "publish" : "fanout", why->text);
    amq_link_reopen(b->out, channel);
    if (channel == OUT_PUBLISH)
        amq_publish_lost(b);
    else if (code == NOT_FOUND)
        amq_targets_clear(&b->loose); /* the exchange was deleted */
}

static void
out_channel_up(void *arg, uint16_t channel)
{
    struct broker_amqp *b = arg;

    if (channel == OUT_SCRATCH)
        amq_rpc_channel_up(&b->out_rpc);
    turn_ask(&b->turn);
}

static void
out_blocked(void *arg, bool blocked)
{
    struct broker_amqp *b = arg;

    b->blocked = blocked;
    turn_ask(&b->turn);
}

/* ---- closing ---- */

static void
broker_free(void *owner)
{
    struct broker_amqp *b = owner;

    amq_rpc_fini(&b->in_rpc);
    amq_rpc_fini(&b->out_rpc);
    amq_held_void(b);
    amq_publishes_free(b);
    amq_targets_clear(&b->targets);
    amq_targets_clear(&b->loose);
    amq_subscriptions_free(b);
    amq_queues_free(b);
    map_fini(&b->by_id);
    free(b);
}

static void
finish(struct broker_amqp *b, uint32_t flush_ms)
{
    struct parts *p = &b->to_close;

    if (b->finished)
        return;
    b->finished = true;
    if (b->in != NULL)
        amq_link_close(b->in, flush_ms, parts_gone, parts_add(p));
    amq_link_close(b->out, flush_ms, parts_gone, parts_add(p));
    parts_close_turn(p, &b->turn);
    parts_close_handle(p, (uv_handle_t *)&b->beat);
    parts_close_handle(p, (uv_handle_t *)&b->soon);
    parts_close_handle(p, (uv_handle_t *)&b->deadline);
}

static void
on_deadline(uv_timer_t *t)
{
    finish(t->data, CLOSE_MIN_MS);
}

/* Nothing is left to be sent; what the connections were given goes out before
 * they answer to their close. */
static void
progress(struct broker_amqp *b)
{
    uint64_t due = uv_timer_get_due_in(&b->deadline);

    if (!b->closing || b->finished || b->publishing > 0 || b->moving > 0 ||
        !list_empty(&b->settled))
        return;
    finish(b, due > CLOSE_MIN_MS ? (uint32_t)due : CLOSE_MIN_MS);
}

static void
close_broker(struct broker *base, uint32_t flush_ms, void (*closed)(void *arg),
             void *arg)
{
    struct broker_amqp *b = (struct broker_amqp *)base;

    if (b->closing)
        return;
    b->closing = true;
    b->to_close = (struct parts){broker_free, b, closed, arg, 0};
    uv_timer_stop(&b->soon);
    if (flush_ms == 0) {
        finish(b, 0);
        return;
    }
    amq_queues_stop(b);
    uv_timer_start(&b->deadline, on_deadline, flush_ms, 0);
    turn_ask(&b->turn);
}

/* ---- opening ---- */

/* All that was asked for in one turn. */
static void
on_turn(void *arg)
{
    struct broker_amqp *b = arg;

    amq_settle_flush(b);
    amq_held_pending(b);
    amq_fanout_start(b, clock_mono_us());
    check_ready(b);
    amq_queues_adjust(b);
    amq_publish_more(b);
    progress(b);
}

static void
on_beat(uv_timer_t *t)
{
    struct broker_amqp *b = t->data;

    if (!b->closing)
        amq_queues_beat(b, clock_mono_us());
    turn_ask(&b->turn);
}

static enum status
open_links(struct broker_amqp *b, const struct broker_opts *o,
           struct error *err)
{
    static const struct amq_link_events in = {
        in_up,      in_down,         on_failed,     in_method,
        in_content, in_channel_down, in_channel_up, in_blocked};
    static const struct amq_link_events out = {
        out_up,      out_down,         on_failed,      out_method,
        out_content, out_channel_down, out_channel_up, out_blocked};
    char name[64];
    struct amq_link_opts opts = {
        .urls = o->url,
        .use_ssl = o->config->broker_use_ssl,
        .name = name,
        .connect_timeout_ms =
            (uint32_t)(o->config->broker_connection_timeout * 1000),
        .heartbeat = HEARTBEAT_S,
        .max_retries = o->config->broker_connection_max_retries,
        .shuffle = strcmp(o->config->broker_failover_strategy, "shuffle") == 0,
        .confirm = true};
    const char *who = o->instance == NULL ? "client" : o->instance;
    enum status st;

    (void)snprintf(name, sizeof name, "lovage %.40s publishes", who);
    st = amq_link_open(&b->out, b->loop, &opts, &out, b, err);
    if (st != ST_OK || !b->consumes)
        return st;
    (void)snprintf(name, sizeof name, "lovage %.40s consumes", who);
    opts.confirm = false;
    st = amq_link_open(&b->in, b->loop, &opts, &in, b, err);
    if (st != ST_OK)
        amq_link_close(b->out, 0, NULL, NULL);
    return st;
}

static void
init(struct broker_amqp *b, uv_loop_t *loop)
{
    b->base.ops = &amqp_broker_ops;
    b->loop = loop;
    map_init(&b->by_id);
    map_init(&b->targets);
    map_init(&b->loose);
    list_init(&b->held);
    list_init(&b->pending);
    list_init(&b->settled);
    list_init(&b->waiting);
    b->first_seq = b->next_seq = 1;
}

static void
init_handles(struct broker_amqp *b)
{
    amq_rpc_init(&b->in_rpc, b->in, IN_SCRATCH);
    amq_rpc_init(&b->out_rpc, b->out, OUT_SCRATCH);
    turn_init(&b->turn, b->loop, on_turn, b);
    uv_timer_init(b->loop, &b->beat);
    uv_timer_init(b->loop, &b->soon);
    uv_timer_init(b->loop, &b->deadline);
    b->beat.data = b->soon.data = b->deadline.data = b;
    uv_timer_start(&b->beat, on_beat, BEAT_MS, BEAT_MS);
}

static enum status
open_broker(struct broker **out, uv_loop_t *loop, const struct broker_opts *o,
            const struct broker_events *ev, void *arg, struct error *err)
{
    struct broker_amqp *b = calloc(1, sizeof *b);
    enum status st;

    if (b == NULL)
        return error_set(err, ST_NOMEM, "no memory for a broker");
    init(b, loop);
    b->ev = *ev;
    b->arg = arg;
    b->consumes = o->instance != NULL;
    b->topology = o->topology;
    b->delays = topology_has_quorum(o->topology);
    st = open_links(b, o, err);
    if (st != ST_OK) {
        map_fini(&b->by_id);
        map_fini(&b->targets);
        map_fini(&b->loose);
        free(b);
        return st;
    }
    init_handles(b);
    *out = &b->base;
    return ST_OK;
}

const struct broker_ops amqp_broker_ops = {
    .scheme = "amqp",
    .open = open_broker,
    .close = close_broker,
    .publish = amq_publish,
    .publish_fanout = amq_publish_fanout,
    .consume = amq_consume,
    .consume_replies = amq_consume_replies,
    .cancel = amq_cancel,
    .prefetch = amq_prefetch,
    .settle = amq_settle,
    .subscribe = amq_subscribe,
    .depth = amq_depth,
    .last_answer = amq_last_answer,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* What is consumed without acknowledging: fanout exchanges (celery-wire.md 4.2,
 * 8.6) and replies (5.3); and how much waits in a queue. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/amqp/broker.h"
#include "store/amqp/content.h"
#include "store/amqp/table.h"

enum { TAG_BYTES = 32, RETRY_US = 1000 * 1000, BACKLOG_MAX = 4 * 1024 * 1024 };

/* ---- subscribing ---- */

static void
consume(const struct subscription *s)
{
    struct broker_amqp *b = s->b;
    amqp_basic_consume_t c = {
        .queue = amq_bytes(s->queue), .no_ack = 1, .nowait = 1};
    char tag[TAG_BYTES];
    unsigned i = 0;

    while (b->subscriptions[i] != s)
        i++;
    (void)snprintf(tag, sizeof tag, "fanout.%u", i);
    c.consumer_tag = amq_bytes(tag);
    (void)amq_link_send(b->in, IN_FANOUT, AMQP_BASIC_CONSUME_METHOD, &c);
}

static void
on_declared(void *arg, enum status st, uint32_t count, const struct error *why)
{
    struct subscription *s = arg;

    (void)count;
    if (s->state != QUEUE_DECLARING)
        return;
    s->state = QUEUE_DECLARED;
    turn_ask(&s->b->turn);
    if (st == ST_OK) {
        consume(s);
        return;
    }
    s->state = st == ST_LOST ? QUEUE_NEW : QUEUE_FAILED;
    s->retry_us = clock_mono_us() + RETRY_US;
    if (st != ST_LOST)
        log_warning("a fanout exchange cannot be subscribed to",
                    "exchange=%s queue=%s reason=%s", s->exchange, s->queue,
                    why->text);
}

static void
start(struct subscription *s)
{
    struct amq_job *j = amq_job_new(on_declared, s, NULL);

    if (j == NULL)
        return;
    amq_declare_subscription(j, IN_SCRATCH, s);
    s->state = QUEUE_DECLARING;
    if (amq_rpc_start(&s->b->in_rpc, j) != ST_OK)
        s->state = QUEUE_NEW;
}

void
amq_fanout_start(struct broker_amqp *b, uint64_t now)
{
    if (b->in == NULL || b->closing || !amq_link_up(b->in))
        return;
    if (b->subscription_count > 0 && !amq_link_channel_up(b->in, IN_FANOUT)) {
        amq_link_reopen(b->in, IN_FANOUT);
        return;
    }
    for (size_t i = 0; i < b->subscription_count; i++) {
        struct subscription *s = b->subscriptions[i];
        if (s->state == QUEUE_NEW ||
            (s->state == QUEUE_FAILED && now > s->retry_us))
            start(s);
    }
}

bool
amq_fanout_is_up(const struct broker_amqp *b)
{
    for (size_t i = 0; i < b->subscription_count; i++)
        if (b->subscriptions[i]->state == QUEUE_NEW ||
            b->subscriptions[i]->state == QUEUE_DECLARING)
            return false;
    return true;
}

void
amq_fanout_lost(struct broker_amqp *b, uint64_t retry_us)
{
    for (size_t i = 0; i < b->subscription_count; i++) {
        b->subscriptions[i]->state = retry_us == 0 ? QUEUE_NEW : QUEUE_FAILED;
        b->subscriptions[i]->retry_us = retry_us;
    }
}

static struct subscription *
find(struct broker_amqp *b, struct slice tag)
{
    char text[TAG_BYTES];
    unsigned i;

    if (tag.len >= sizeof text)
        return NULL;
    memcpy(text, tag.ptr, tag.len);
    text[tag.len] = '\0';
    if (sscanf(text, "fanout.%u", &i) != 1 || i >= b->subscription_count)
        return NULL;
    return b->subscriptions[i];
}

void
amq_fanout_cancelled(struct broker_amqp *b, struct slice tag)
{
    struct subscription *s = find(b, tag);

    if (s == NULL)
        return;
    s->state = QUEUE_FAILED;
    s->retry_us = clock_mono_us() + RETRY_US;
}

void
amq_fanout_deliver(struct broker_amqp *b, struct amq_content *c)
{
    const amqp_basic_deliver_t *d = c->fields;
    struct subscription *s = find(b, amq_slice(d->consumer_tag));
    struct message *m = NULL;
    struct error err;

    if (s == NULL || b->closing)
        return;
    if (c->body == NULL) {
        log_warning("a message is too large", "exchange=%s queue=%s",
                    s->exchange, s->queue);
        return;
    }
    if (amq_content_decode(c->head, &c->body, c->body_len, &m, &err) != ST_OK) {
        log_warning("a fanout message does not decode",
                    "exchange=%s queue=%s reason=%s", s->exchange, s->queue,
                    err.text);
        return;
    }
    if (*s->exchange == '\0') {
        struct delivery reply = {.queue = slice_of(s->queue), .msg = m};
        b->ev.delivered(b->arg, &reply);
        return;
    }
    b->ev.fanout(b->arg, slice_of(s->exchange), m);
}

static void
subscription_free(struct subscription *s)
{
    if (s == NULL)
        return;
    free(s->exchange);
    free(s->queue);
    free(s);
}

static enum status
subscribe(struct broker_amqp *b, struct slice exchange, struct slice queue,
          int64_t expires_s, struct error *err)
{
    struct subscription *s;

    if (!b->consumes)
        return error_set(err, ST_INVALID,
                         "a broker without instance subscribes");
    if (exchange.len > NAME_MAX_BYTES || queue.len == 0 ||
        queue.len > NAME_MAX_BYTES)
        return error_set(err, ST_INVALID, "a name of more than %d bytes",
                         NAME_MAX_BYTES);
    if (b->subscription_count == SUBSCRIPTIONS_MAX)
        return error_set(err, ST_TOOBIG, "more than %d subscriptions",
                         SUBSCRIPTIONS_MAX);
    s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->b = b;
        s->expires_ms = expires_s * 1000;
        s->exchange = strndup(exchange.ptr, exchange.len);
        s->queue = strndup(queue.ptr, queue.len);
    }
    if (s == NULL || s->exchange == NULL || s->queue == NULL) {
        subscription_free(s);
        return error_set(err, ST_NOMEM, "no memory for a subscription");
    }
    b->subscriptions[b->subscription_count++] = s;
    turn_ask(&b->turn);
    return ST_OK;
}

enum status
amq_subscribe(struct broker *base, struct slice exchange, struct slice queue,
              struct error *err)
{
    if (exchange.len == 0)
        return error_set(err, ST_INVALID, "a subscription to no exchange");
    return subscribe((struct broker_amqp *)base, exchange, queue, 0, err);
}

enum status
amq_consume_replies(struct broker *base, struct slice queue, int64_t expires_s,
                    struct error *err)
{
    return subscribe((struct broker_amqp *)base, slice_of(""), queue, expires_s,
                     err);
}

void
amq_subscriptions_free(struct broker_amqp *b)
{
    for (size_t i = 0; i < b->subscription_count; i++)
        subscription_free(b->subscriptions[i]);
    b->subscription_count = 0;
}

/* ---- publishing ---- */

/* Before the first message to it; in the same channel, so before the message.
 * If it exists otherwise the channel is lost, and this one message. */
static void
declare(struct broker_amqp *b, const char *exchange)
{
    amqp_exchange_declare_t e = amq_exchange_fields(exchange);

    if (amq_target_known(&b->loose, "exchange", exchange))
        return;
    e.nowait = 1;
    if (amq_link_send(b->out, OUT_LOOSE, AMQP_EXCHANGE_DECLARE_METHOD, &e) ==
        ST_OK)
        (void)amq_target_remember(&b->loose, "exchange", exchange);
}

enum status
amq_publish_fanout(struct broker *base, struct slice exchange,
                   const struct message *m, struct error *err)
{
    struct broker_amqp *b = (struct broker_amqp *)base;
    amqp_basic_publish_t fields = {.routing_key = amq_bytes(m->routing_key)};
    char name[NAME_MAX_BYTES + 1];
    struct buf head;
    enum status st;

    if (exchange.len > NAME_MAX_BYTES)
        return error_set(err, ST_INVALID, "an exchange's name of %zu bytes",
                         exchange.len);
    if (!amq_link_channel_up(b->out, OUT_LOOSE))
        return error_set(err, ST_LOST, "not connected");
    if (b->blocked || amq_link_backlog(b->out) > BACKLOG_MAX)
        return error_set(err, ST_BUSY, "the broker accepts no messages");
    memcpy(name, exchange.ptr, exchange.len);
    name[exchange.len] = '\0';
    fields.exchange = amq_bytes(name);
    buf_init(&head, AMQ_FRAME_MAX);
    st = amq_content_encode(m, &head, err);
    if (st == ST_OK) {
        declare(b, name);
        st = amq_link_send_content(b->out, OUT_LOOSE, &fields,
                                   (struct slice){head.data, head.len},
                                   (struct slice){m->body, m->body_len});
        if (st != ST_OK)
            error_set(err, st, "fanout to %s: %s", name, status_text(st));
    }
    buf_fini(&head);
    return st;
}

/* ---- depth ---- */

struct depth {
    void (*fn)(void *arg, enum status st, int64_t n);
    void *arg;
};

/* A queue that does not exist holds nothing. */
static void
on_depth(void *arg, enum status st, uint32_t count, const struct error *why)
{
    struct depth *d = arg;

    (void)why;
    d->fn(d->arg, st == ST_NOTFOUND ? ST_OK : st, st == ST_OK ? count : 0);
}

enum status
amq_depth(struct broker *base, struct slice queue,
          void (*fn)(void *arg, enum status st, int64_t n), void *arg)
{
    struct broker_amqp *b = (struct broker_amqp *)base;
    struct amq_rpc *r = b->in != NULL ? &b->in_rpc : &b->out_rpc;
    struct depth *d = malloc(sizeof *d);
    char *name = strndup(queue.ptr, queue.len);
    struct amq_job *j;
    enum status st = ST_NOMEM;

    if (d != NULL)
        *d = (struct depth){fn, arg};
    j = amq_job_new(on_depth, d, d);
    if (d != NULL && j != NULL && name != NULL) {
        amq_declare_passive(j, r->channel, NULL, name);
        st = amq_rpc_start(r, j);
    } else {
        amq_job_free(j);
    }
    free(name);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the broker has delivered and we have not settled.  More may come than
 * the owner wants at the moment, because a consumer's limit changes only by
 * consuming anew; that waits here. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/amqp/broker.h"
#include "store/amqp/content.h"
#include "store/amqp/table.h"

static struct slice
key_of(const uint64_t *id)
{
    return (struct slice){(const char *)id, sizeof *id};
}

/* With a copy of the message, for when it is put at the back of its queue. */
static struct held *
held_new(struct broker_amqp *b, const struct amq_content *c)
{
    size_t body_len = c->body == NULL ? 0 : c->body_len;
    struct held *h = malloc(sizeof *h + c->head.len + body_len);
    char *memory;

    if (h == NULL)
        return NULL;
    *h = (struct held){.id = b->last_id + 1};
    memory = (char *)(h + 1);
    memcpy(memory, c->head.ptr, c->head.len);
    h->head = (struct slice){memory, c->head.len};
    if (body_len > 0)
        memcpy(memory + c->head.len, c->body, body_len);
    h->body = (struct slice){memory + c->head.len, body_len};
    list_init(&h->node);
    list_init(&h->settle);
    if (map_put(&b->by_id, key_of(&h->id), h) != ST_OK) {
        free(h);
        return NULL;
    }
    b->last_id++;
    list_add_tail(&b->held, &h->node);
    return h;
}

static void
forget(struct broker_amqp *b, struct held *h)
{
    map_del(&b->by_id, key_of(&h->id));
    list_del(&h->node);
    list_del(&h->settle);
    message_free(h->msg);
    b->out_count -= h->state == HELD_OUT;
    b->moving -= h->state == HELD_MOVING;
    h->q->held--;
    free(h);
}

void
amq_held_drop(struct broker_amqp *b, struct held *h)
{
    if (h->consumer == h->q->consumer)
        h->q->used--;
    forget(b, h);
}

void
amq_held_void(struct broker_amqp *b)
{
    list_for_each_safe (n, &b->held)
        forget(b, list_entry(n, struct held, node));
}

struct held *
amq_held_find(struct broker_amqp *b, uint64_t id)
{
    return map_find(&b->by_id, key_of(&id));
}

/* ---- handing out ---- */

static void
hand_out(struct broker_amqp *b, struct held *h)
{
    struct delivery d = {.tag = h->id,
                         .queue = slice_of(h->q->name),
                         .msg = h->msg,
                         .raw = h->body};

    h->state = HELD_OUT;
    h->msg = NULL;
    b->out_count++;
    b->ev.delivered(b->arg, &d);
}

void
amq_held_pending(struct broker_amqp *b)
{
    while (!b->closing && b->out_count < b->prefetch &&
           !list_empty(&b->pending)) {
        struct held *h = list_entry(b->pending.next, struct held, settle);
        list_del(&h->settle);
        hand_out(b, h);
    }
}

void
amq_held_give_back(struct broker_amqp *b, struct queue *q)
{
    list_for_each_safe (n, &b->pending) {
        struct held *h = list_entry(n, struct held, settle);
        if (h->q == q)
            amq_settle_held(b, h, VERDICT_REQUEUE);
    }
}

/* ---- arriving ---- */

/* The message of a delivery; NULL if it is none. */
static enum status
decode(struct amq_content *c, const amqp_basic_deliver_t *d,
       struct message **out)
{
    struct error err;
    enum status st;

    *out = NULL;
    if (c->body == NULL)
        st = error_set(&err, ST_TOOBIG, "a body of %zu bytes", c->body_len);
    else
        st = amq_content_decode(c->head, &c->body, c->body_len, out, &err);
    if (st == ST_OK) {
        (*out)->redelivered |= d->redelivered != 0;
        st = message_set(&(*out)->exchange, amq_slice(d->exchange));
        if (st == ST_OK)
            st = message_set(&(*out)->routing_key, amq_slice(d->routing_key));
    }
    if (st == ST_NOMEM) {
        message_free(*out);
        *out = NULL;
    } else if (st != ST_OK) {
        log_warning("received bytes that are no message", "reason=%s",
                    err.text);
        st = ST_OK;
    }
    return st;
}

/* Straight back, by the broker's tag: there is no memory for it, or nobody who
 * asked for it. */
static void
refuse(struct broker_amqp *b, uint64_t tag)
{
    amqp_basic_reject_t reject = {.delivery_tag = tag, .requeue = 1};

    (void)amq_link_send(b->in, IN_CONSUME, AMQP_BASIC_REJECT_METHOD, &reject);
}

void
amq_held_deliver(struct broker_amqp *b, struct amq_content *c)
{
    const amqp_basic_deliver_t *d = c->fields;
    uint64_t consumer = 0;
    struct queue *q = amq_queue_of(b, amq_slice(d->consumer_tag), &consumer);
    struct held *h;

    if (b->closing)
        return; /* handed back with all others */
    h = q == NULL || !q->wanted ? NULL : held_new(b, c);
    if (h == NULL) {
        refuse(b, d->delivery_tag);
        return;
    }
    h->q = q;
    h->tag = d->delivery_tag;
    h->consumer = consumer;
    h->since_us = clock_mono_us();
    q->held++;
    if (consumer == q->consumer)
        q->used++;
    if (decode(c, d, &h->msg) != ST_OK) {
        log_error("no memory for a delivery; it goes back", NULL);
        refuse(b, h->tag);
        amq_held_drop(b, h);
        return;
    }
    list_add_tail(&b->pending, &h->settle);
    amq_held_pending(b);
    turn_ask(&b->turn);
}

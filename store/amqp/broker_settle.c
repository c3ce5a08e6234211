/* SPDX-License-Identifier: Apache-2.0 */
/* Settling: gathered, and sent at the end of the turn.  What is acknowledged
 * and older than anything unsettled goes in one frame for all of it. */
#include "base/log.h"
#include "store/amqp/broker.h"

static void
send_ack(struct broker_amqp *b, uint64_t tag, bool multiple)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};

    (void)amq_link_send(b->in, IN_CONSUME, AMQP_BASIC_ACK_METHOD, &ack);
}

static void
send_reject(struct broker_amqp *b, uint64_t tag, bool requeue)
{
    amqp_basic_reject_t reject = {.delivery_tag = tag, .requeue = requeue};

    (void)amq_link_send(b->in, IN_CONSUME, AMQP_BASIC_REJECT_METHOD, &reject);
}

static void
send_verdict(struct broker_amqp *b, const struct held *h)
{
    if (h->verdict == VERDICT_ACK)
        send_ack(b, h->tag, false);
    else
        send_reject(b, h->tag, h->verdict != VERDICT_REJECT);
}

/* The oldest deliveries, as far as they are settled. */
static void
flush_oldest(struct broker_amqp *b)
{
    uint64_t last = 0;
    size_t count = 0;

    while (!list_empty(&b->held)) {
        struct held *h = list_entry(b->held.next, struct held, node);
        if (h->state != HELD_SETTLED)
            break;
        if (h->verdict == VERDICT_ACK) {
            last = h->tag;
            count++;
        } else {
            send_verdict(b, h);
        }
        amq_held_drop(b, h);
    }
    if (count > 0)
        send_ack(b, last, count > 1);
}

/* ---- exported ---- */

void
amq_settle_flush(struct broker_amqp *b)
{
    if (list_empty(&b->settled) || !amq_link_channel_up(b->in, IN_CONSUME))
        return;
    flush_oldest(b);
    list_for_each_safe (n, &b->settled) {
        struct held *h = list_entry(n, struct held, settle);
        send_verdict(b, h);
        amq_held_drop(b, h);
    }
}

void
amq_settle_held(struct broker_amqp *b, struct held *h, enum verdict v)
{
    b->out_count -= h->state == HELD_OUT;
    b->moving -= h->state == HELD_MOVING;
    list_del(&h->settle);
    h->state = HELD_SETTLED;
    h->verdict = v;
    list_add_tail(&b->settled, &h->settle);
    turn_ask(&b->turn);
}

/* There is no way to tell RabbitMQ "to the back": a copy is published, and when
 * that is confirmed the original is acknowledged. */
static void
move(struct broker_amqp *b, struct held *h)
{
    if (amq_publish_copy(b, h) != ST_OK) {
        amq_settle_held(b, h, VERDICT_REQUEUE);
        return;
    }
    b->out_count--;
    b->moving++;
    h->state = HELD_MOVING;
}

void
amq_moved(struct broker_amqp *b, uint64_t id, enum status st)
{
    struct held *h = amq_held_find(b, id);

    if (h == NULL) /* the broker has it again; there may be two now */
        return;
    amq_settle_held(b, h, st == ST_OK ? VERDICT_ACK : VERDICT_REQUEUE);
}

void
amq_settle(struct broker *base, uint64_t tag, enum verdict v)
{
    struct broker_amqp *b = (struct broker_amqp *)base;
    struct held *h = amq_held_find(b, tag);

    if (h == NULL || h->state != HELD_OUT)
        return;
    /* An owner that wants nothing and gives back means it for others. */
    if (b->prefetch == 0 && (v == VERDICT_REQUEUE || v == VERDICT_BACK))
        amq_queues_release(b);
    if (v == VERDICT_BACK)
        move(b, h);
    else
        amq_settle_held(b, h, v);
}

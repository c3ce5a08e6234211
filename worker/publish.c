/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing what tasks send: each message is kept until the broker has
 * confirmed it, and sent again when it has not.  What the broker never will
 * take (too large, an exchange that is not there) is the failure of what sent
 * it. */
#include <stdlib.h>

#include "base/log.h"
#include "worker/node.h"

enum { AGAIN_MS = 200 };

struct outgoing {
    struct list link; /* in node->outgoing */
    struct node *n;
    struct request *rq; /* waits for it; may be NULL */
    struct message *msg;
    struct timer timer;
};

static void
outgoing_free(struct outgoing *o)
{
    timer_unset(&o->n->timers, &o->timer);
    list_del(&o->link);
    o->n->outgoing_count--;
    message_free(o->msg);
    free(o);
}

static void
done(struct outgoing *o)
{
    struct request *rq = o->rq;

    outgoing_free(o);
    if (rq)
        settle_answer(rq, ST_OK);
}

static void publish_again(struct timer *t);

static const char *
key_of(const struct outgoing *o)
{
    return o->msg->routing_key ? o->msg->routing_key : "";
}

static bool
is_refusal(enum status st)
{
    return st != ST_OK && st != ST_NOMEM && !status_is_transient(st);
}

static void
try_later(struct outgoing *o)
{
    if (timer_set(&o->n->timers, &o->timer, AGAIN_MS, publish_again) != ST_OK)
        log_error("a message waits for memory", "queue=%s", key_of(o));
}

/* ST_OK: it is sent, now or later. */
static enum status
try(struct outgoing *o)
{
    struct broker *b = o->n->broker;
    struct error err = {.text = ""};
    enum status st = b->ops->publish(b, o->msg, o, &err);

    if (is_refusal(st)) {
        log_error("a message was refused", "queue=%s reason=%s", key_of(o),
                  err.text);
        return st;
    }
    if (st != ST_OK)
        try_later(o);
    return ST_OK;
}

static void
refused(struct outgoing *o, enum status st)
{
    struct request *rq = o->rq;

    outgoing_free(o);
    if (!rq)
        return;
    rq->refused = st;
    settle_answer(rq, ST_OK);
}

static void
publish_again(struct timer *t)
{
    struct outgoing *o =
        (struct outgoing *)(void *)((char *)t -
                                    offsetof(struct outgoing, timer));
    enum status st = try(o);

    if (st != ST_OK)
        refused(o, st);
}

enum status
node_publish(struct node *n, struct request *rq, struct message **m)
{
    struct outgoing *o = calloc(1, sizeof(*o));
    enum status st;

    if (!o) {
        message_free(*m);
        *m = NULL;
        return ST_NOMEM;
    }
    o->n = n;
    o->rq = rq;
    o->msg = *m;
    *m = NULL;
    list_add_tail(&n->outgoing, &o->link);
    n->outgoing_count++;
    st = try(o);
    if (st != ST_OK)
        outgoing_free(o);
    else if (rq)
        rq->waits++;
    return st;
}

void
node_published(struct node *n, void *cookie, enum status st)
{
    struct outgoing *o = cookie;

    /* While all is closed, nothing waits for an answer any more. */
    if (!cookie || n->phase == NODE_CLOSING ||
        (n->relay && relay_published(n->relay, cookie, st)))
        return;
    if (st == ST_OK) {
        done(o);
        return;
    }
    if (is_refusal(st)) {
        log_error("a message was refused", "queue=%s reason=%s", key_of(o),
                  status_text(st));
        refused(o, st);
        return;
    }
    log_debug("a message is sent again", "reason=%s", status_text(st));
    try_later(o);
}

void
node_publish_end(struct node *n)
{
    while (!list_empty(&n->outgoing)) {
        struct outgoing *o =
            list_entry(n->outgoing.next, struct outgoing, link);

        if (o->rq)
            o->rq->waits--;
        outgoing_free(o);
    }
}

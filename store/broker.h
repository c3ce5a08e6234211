#ifndef STORE_BROKER_H
#define STORE_BROKER_H

#include "base/config.h"
#include "protocol/message.h"
#include "protocol/topology.h"

#include <uv.h>

/* A message broker: Redis in kombu's layout, or AMQP.  Everything happens on
 * one loop; nothing blocks, nothing calls back before it has returned.  A
 * broker reconnects by itself, with backoff, for ever (or as often as
 * broker_connection_max_retries says), and consumes again afterwards. */

struct delivery {
    uint64_t tag;        /* for settle; of this process only; 0: of a reply that
                            is not to be settled */
    struct slice queue;  /* borrowed: for this call */
    struct message *msg; /* the receiver's: message_free(); NULL: the bytes are
                            no message, reject it */
    struct slice raw;    /* the bytes when msg is NULL; borrowed */
};

enum verdict {
    VERDICT_ACK,
    VERDICT_REQUEUE, /* to where it is taken next; marked redelivered */
    VERDICT_BACK,    /* to the back of its queue; marked redelivered */
    VERDICT_REJECT   /* removed (dead-lettered where that is set up) */
};

struct broker_events {
    /* Connected and logged in, the first time and after each loss. */
    void (*ready)(void *arg);
    void (*delivered)(void *arg, const struct delivery *d);
    /* Once per publish.  ST_OK: the broker has it.  ST_LOST: unknown.
     * ST_NOTFOUND: nothing takes it. */
    void (*published)(void *arg, void *cookie, enum status st);
    /* A message of a subscribed fanout exchange; the receiver frees it. */
    void (*fanout)(void *arg, struct slice exchange, struct message *msg);
    /* The connection is gone, or the first attempt failed; told once an outage,
     * while further attempts go on.  tags_void: what was
     * delivered and not settled will be delivered again and may not be settled
     * (AMQP); otherwise tags stay good (Redis) and settling waits. */
    void (*lost)(void *arg, const struct error *why, bool tags_void);
    /* No more attempts are made (max_retries). */
    void (*failed)(void *arg, const struct error *why);
};

struct broker {
    const struct broker_ops *ops;
};

struct broker_opts {
    const char *url;
    const struct config *config; /* borrowed: until close */
    /* What the settings define, for what a publish or consume needs to be
     * declared; borrowed: until close.  NULL: nothing is defined. */
    const struct topology *topology;
    /* Names this consumer among all nodes and over time: <node>/<random>.  What
     * it has taken and not settled can be handed back in its name after its
     * death (adopt).  NULL: a client that only publishes. */
    const char *instance;
    /* An instance that died: its messages are handed back at once; or NULL. */
    const char *adopt;
};

struct broker_ops {
    const char *scheme; /* "redis", "amqp" */
    enum status (*open)(struct broker **out, uv_loop_t *loop,
                        const struct broker_opts *o,
                        const struct broker_events *ev, void *arg,
                        struct error *err);
    /* Hands back what is delivered and not settled, sends what is queued
     * (settles, publishes) for at most flush_ms, then closed(arg) is called,
     * once, and b is gone; no other event comes after close() is called, except
     * published() for what was flushed.  flush_ms 0: at once, nothing is sent,
     * as if the process had died. */
    void (*close)(struct broker *b, uint32_t flush_ms,
                  void (*closed)(void *arg), void *arg);

    /* m is borrowed; exchange "" with routing_key = queue, or a named exchange.
     * What the topology says of them is declared first, and a queue that it
     * does not know is made as Celery makes it.  ST_BUSY: the bound on what
     * waits unsent is reached. */
    enum status (*publish)(struct broker *b, const struct message *m,
                           void *cookie, struct error *err);
    /* To a fanout exchange (pidbox, events): best effort, no answer. */
    enum status (*publish_fanout)(struct broker *b, struct slice exchange,
                                  const struct message *m, struct error *err);

    /* Declares q with its exchanges and bindings, as Celery does, and consumes
     * from it; may be called before ready, is redone after each reconnect.  q
     * is borrowed for the call. */
    enum status (*consume)(struct broker *b, const struct queue_def *q,
                           struct error *err);
    /* Consumes a queue of our own that others answer to: in no exchange, gone
     * when we are, and expires_s later at the latest (0: no limit).  Ready only
     * when it is there; redone after each reconnect. */
    enum status (*consume_replies)(struct broker *b, struct slice queue,
                                   int64_t expires_s, struct error *err);
    enum status (*cancel)(struct broker *b, struct slice queue,
                          struct error *err);
    /* At most n deliveries are unsettled at a time; 0 stops taking.  Cheap:
     * call it whenever n changes. */
    void (*prefetch)(struct broker *b, unsigned n);
    /* Settles are gathered and sent once per turn.  What is requeued keeps its
     * room in the prefetch until it is back in its queue. */
    void (*settle)(struct broker *b, uint64_t tag, enum verdict v);

    /* Messages published to exchange (celery.pidbox) from now on; queue is the
     * node's own queue name for it (AMQP). */
    enum status (*subscribe)(struct broker *b, struct slice exchange,
                             struct slice queue, struct error *err);

    /* How many messages wait; fn is called once, not before this returns.
     * ST_LOST: not connected; fn is not called. */
    enum status (*depth)(struct broker *b, struct slice queue,
                         void (*fn)(void *arg, enum status st, int64_t n),
                         void *arg);
    /* CLOCK_MONOTONIC microseconds of the last answer to a fetch, also of an
     * error, or, while there is no room for one, of another sign of life; 0:
     * none.  Renewed at least every second, or every third of worker_lease
     * without room. */
    uint64_t (*last_answer)(const struct broker *b);
};

/* Opens by the URL's scheme.  ST_INVALID: an unknown one, named in err. */
enum status broker_open(struct broker **out, uv_loop_t *loop,
                        const struct broker_opts *o,
                        const struct broker_events *ev, void *arg,
                        struct error *err);

#endif

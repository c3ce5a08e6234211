#ifndef STORE_AMQP_BROKER_H
#define STORE_AMQP_BROKER_H

#include "base/map.h"
#include "base/turn.h"
#include "store/amqp/link.h"
#include "store/amqp/rpc.h"
#include "store/broker.h"
#include "store/parts.h"

/* The AMQP broker, private to its files:
 *   broker.c          opening, connecting, closing
 *   broker_declare.c  exchanges, queues and bindings, as Celery declares them
 *   broker_queues.c   which queues; their consumers and how much those may get
 *   broker_held.c     what is delivered and not settled
 *   broker_settle.c   acknowledging, giving back
 *   broker_publish.c  publishing, with confirms
 *   broker_target.c   that there is a queue or an exchange before we publish
 *   broker_delay.c    Celery's native delayed delivery
 *   broker_fanout.c   fanout exchanges
 *
 * Two connections: RabbitMQ stops reading from one that publishes while it is
 * short of memory, and acknowledgements must not wait for that. */

enum {
    QUEUES_MAX = 256,
    SUBSCRIPTIONS_MAX = 16,
    PUBLISH_MAX = 10000,
    PUBLISH_BYTES_MAX = 64 * 1024 * 1024,
    WINDOW = 4096, /* messages published and not confirmed; a power of two */
    PREFETCH_MAX = 65535,
    TARGETS_MAX = 4096,
    NAME_MAX_BYTES = 255 /* a short string */
};

/* Channels of the incoming connection. */
enum { IN_CONSUME = 1, IN_SCRATCH = 2, IN_FANOUT = 3 };
/* Channels of the outgoing connection.  LOOSE: without confirms. */
enum { OUT_PUBLISH = 1, OUT_SCRATCH = 2, OUT_LOOSE = 3 };

enum queue_state {
    QUEUE_NEW,
    QUEUE_DECLARING,
    QUEUE_DECLARED,
    QUEUE_FAILED /* again at retry_us */
};

struct queue {
    struct broker_amqp *b;
    struct queue_def *def;
    const char *name; /* def's */
    unsigned slot;
    bool wanted; /* not cancelled */
    enum queue_state state;
    uint64_t first;    /* consumers before this one were of another queue */
    uint64_t consumer; /* the live one; 0: none */
    unsigned limit;    /* what it may have unacknowledged */
    unsigned used;     /* what it has */
    size_t held;       /* of all consumers */
    uint64_t retry_us, cancelled_us;
    uint64_t refused_us; /* when its consumer was refused last */
    unsigned refusals;   /* of late */
    bool quorum;         /* defined as one, or found to be one */
    bool complains;      /* that it cannot be declared was told */
};

struct subscription {
    struct broker_amqp *b;
    char *exchange, *queue; /* exchange "": a queue for replies */
    int64_t expires_ms;     /* of that; 0: no limit */
    enum queue_state state;
    uint64_t retry_us;
};

/* A delivery that is not settled for good. */
enum held_state {
    HELD_PENDING, /* more than the owner wants just now */
    HELD_OUT,     /* the owner has it */
    HELD_MOVING,  /* a copy is on its way to the back of the queue */
    HELD_SETTLED  /* the verdict goes out at the end of this turn */
};

struct held {
    struct list node;   /* in held, in the order of delivery */
    struct list settle; /* in pending or in settled */
    uint64_t id;        /* our tag */
    uint64_t tag, consumer;
    struct queue *q;
    enum held_state state;
    enum verdict verdict;
    struct message *msg;     /* while pending; or NULL: no message */
    struct slice head, body; /* a copy, in the memory after this struct */
    uint64_t since_us;       /* pending */
};

struct publish {
    struct list node; /* in waiting; not while it is under way */
    void *cookie;
    uint64_t held; /* it is the copy of this delivery; 0: the owner's */
    bool returned; /* the broker had no queue for it */
    bool reply;
    unsigned attempts;
    char *exchange, *key; /* in the memory after this struct, as all else */
    char *origin; /* the exchange that it goes to later; "": it does not wait */
    struct slice head, body;
    size_t bytes;
};

struct broker_amqp {
    struct broker base;
    uv_loop_t *loop;
    struct broker_events ev;
    void *arg;
    const struct topology *topology; /* borrowed; or NULL */
    bool delays;                     /* ETA tasks wait in the broker */
    bool consumes;
    struct amq_link *in; /* NULL: publishes only */
    struct amq_link *out;
    struct amq_rpc in_rpc, out_rpc;
    bool in_up, out_up, ready, told, failed;
    bool closing, finished;

    struct queue *queues[QUEUES_MAX]; /* by slot; never freed before the end */
    size_t queue_count, wanted;
    uint64_t last_consumer;
    unsigned prefetch;
    uint64_t surplus_us; /* since when more is pending than is wanted; or 0 */
    uint64_t consume_down_us; /* when its channel was last closed */

    struct map by_id;
    struct list held, pending, settled;
    size_t out_count; /* held by the owner */
    uint64_t last_id;

    struct list waiting; /* to be published */
    struct publish *window[WINDOW];
    uint64_t first_seq, next_seq; /* of the window; the last is next_seq - 1 */
    size_t publishing, publishing_bytes, moving;
    bool blocked;
    struct map targets; /* names of what is declared */
    bool ensuring;

    struct subscription *subscriptions[SUBSCRIPTIONS_MAX];
    size_t subscription_count;
    struct map loose; /* exchanges declared on OUT_LOOSE */

    struct turn turn;
    uv_timer_t beat, soon, deadline;
    struct parts to_close;
    uint64_t flush_until_us;
};

/* broker_declare.c */
/* q with its exchanges and bindings.  ST_NOMEM, ST_TOOBIG: its arguments. */
enum status amq_declare_queue(struct amq_job *j, uint16_t channel,
                              const struct queue_def *q);
/* Of a queue that is not ours to declare: the exchange alone. */
enum status amq_declare_exchange_of(struct amq_job *j, uint16_t channel,
                                    const struct binding_def *b);
enum status amq_declare_arguments(struct json_object *arguments,
                                  amqp_pool_t *pool, amqp_table_t *out);
/* False: an exchange that Celery has no own name for. */
bool amq_declare_exchange(struct amq_job *j, uint16_t channel,
                          const char *name);
void amq_declare_passive(struct amq_job *j, uint16_t channel,
                         const char *exchange, const char *queue);
void amq_declare_subscription(struct amq_job *j, uint16_t channel,
                              const struct subscription *s);
/* The fields of the declaration of a fanout exchange, or of Celery's own. */
amqp_exchange_declare_t amq_exchange_fields(const char *name);

/* broker_queues.c */
enum status amq_consume(struct broker *base, const struct queue_def *def,
                        struct error *err);
enum status amq_cancel(struct broker *base, struct slice queue,
                       struct error *err);
void amq_prefetch(struct broker *base, unsigned n);
uint64_t amq_last_answer(const struct broker *base);
struct queue *amq_queue_of(struct broker_amqp *b, struct slice consumer_tag,
                           uint64_t *consumer);
void amq_queues_adjust(struct broker_amqp *b); /* at the end of each turn */
void amq_queues_beat(struct broker_amqp *b, uint64_t now);
void amq_queues_release(struct broker_amqp *b); /* and gives back the pending */
void amq_queues_stop(struct broker_amqp *b);    /* cancels all consumers */
void amq_queues_lost(struct broker_amqp *b);
/* After that: the channel was closed, and text may name a queue. */
void amq_queues_refused(struct broker_amqp *b, const char *text,
                        uint64_t now); /* the channel is gone */
void amq_queue_cancelled(struct broker_amqp *b, struct slice consumer_tag);
void amq_queues_free(struct broker_amqp *b);

/* broker_held.c */
void amq_held_deliver(struct broker_amqp *b, struct amq_content *c);
void
amq_held_pending(struct broker_amqp *b); /* hands out what there is room for */
struct held *amq_held_find(struct broker_amqp *b, uint64_t id);
void amq_held_drop(struct broker_amqp *b, struct held *h);
void amq_held_void(struct broker_amqp *b); /* the broker has them again */
void amq_held_give_back(struct broker_amqp *b, struct queue *q); /* pending */

/* broker_settle.c */
void amq_settle(struct broker *base, uint64_t tag, enum verdict v);
void amq_settle_held(struct broker_amqp *b, struct held *h, enum verdict v);
void amq_settle_flush(struct broker_amqp *b);
void amq_moved(struct broker_amqp *b, uint64_t held, enum status st);

/* broker_publish.c */
enum status amq_publish(struct broker *base, const struct message *m,
                        void *cookie, struct error *err);
enum status amq_publish_copy(struct broker_amqp *b, const struct held *h);
void amq_publish_more(struct broker_amqp *b);
void amq_publish_method(struct broker_amqp *b, amqp_method_number_t id,
                        void *fields);
void amq_publish_returned(struct broker_amqp *b, const struct amq_content *c);
void amq_publish_lost(struct broker_amqp *b); /* what is under way */
void amq_publish_unreachable(struct broker_amqp *b, enum status st);
void amq_publishes_free(struct broker_amqp *b);

/* broker_delay.c */
enum { DELAY_LEVELS = 28, DELAY_PREFIX = 2 * DELAY_LEVELS };
/* The exchanges and queues in which messages wait. */
enum status amq_declare_delay(struct amq_job *j, uint16_t channel,
                              const char *queue_type);
/* Binds q, which is declared, to where they come out.  ST_NOTFOUND: it is in
 * direct exchanges only. */
enum status amq_declare_delayed(struct amq_job *j, uint16_t channel,
                                const struct queue_def *q);
/* Where m goes if it has to wait: true, and key (NAME_MAX_BYTES + 1) is set. */
bool amq_delay(const struct broker_amqp *b, const struct message *m, char *key);
extern const char amq_delay_exchange[];
void amq_delay_start(struct broker_amqp *b); /* the consuming side is up */
void amq_delay_bind(struct broker_amqp *b, const struct queue *q);

/* broker_target.c */
/* False: it has been asked for. */
bool amq_target_ready(struct broker_amqp *b, const struct publish *p);
void amq_target_forget(struct broker_amqp *b, const struct publish *p);
void amq_targets_clear(struct map *m);
enum status amq_target_remember(struct map *m, const char *kind,
                                const char *name);
bool amq_target_known(const struct map *m, const char *kind, const char *name);

/* broker_fanout.c */
enum status amq_subscribe(struct broker *base, struct slice exchange,
                          struct slice queue, struct error *err);
enum status amq_consume_replies(struct broker *base, struct slice queue,
                                int64_t expires_s, struct error *err);
enum status amq_publish_fanout(struct broker *base, struct slice exchange,
                               const struct message *m, struct error *err);
void amq_fanout_deliver(struct broker_amqp *b, struct amq_content *c);
void amq_fanout_start(struct broker_amqp *b, uint64_t now); /* what is not */
bool amq_fanout_is_up(const struct broker_amqp *b);         /* or cannot be */
void amq_fanout_lost(struct broker_amqp *b, uint64_t retry_us); /* 0: now */
void amq_fanout_cancelled(struct broker_amqp *b, struct slice consumer_tag);
void amq_subscriptions_free(struct broker_amqp *b);
enum status amq_depth(struct broker *base, struct slice queue,
                      void (*fn)(void *arg, enum status st, int64_t n),
                      void *arg);

#endif

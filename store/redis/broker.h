#ifndef STORE_REDIS_BROKER_H
#define STORE_REDIS_BROKER_H

#include "base/list.h"
#include "base/map.h"
#include "base/turn.h"
#include "store/broker.h"
#include "store/parts.h"
#include "store/redis/calls.h"
#include "store/redis/layout.h"
#include "store/redis/recent.h"

/* The Redis broker, private to its files:
 *   broker.c          opening, connecting, closing
 *   broker_take.c     taking messages, and waiting for them without popping
 *   broker_queues.c   which queues
 *   broker_held.c     what is delivered and not settled; acknowledging
 *   broker_restore.c  putting messages back: our own, those of dead consumers,
 *                     those past the visibility timeout
 *   broker_beat.c     what is due from time to time
 *   broker_publish.c  publishing
 *   broker_pubsub.c   fanout exchanges, and being woken */

enum {
    QUEUES_MAX = 256,
    TAKE_MAX = 128,
    BATCH_MAX = 16, /* messages restored in one go; they may be large */
    PUBLISH_MAX = 10000,
    PUBLISH_BYTES_MAX = 64 * 1024 * 1024
};

struct queue {
    struct queue_def *def; /* NULL: for replies */
    char *name;
    char *keys[LAYOUT_STEPS_MAX]; /* one a priority step */
    bool replies;                 /* our own: not bound, and gone with us */
    bool fanned; /* bound to a fanout exchange: what is published there comes to
                    its subscription, which puts it into its list */
};

struct subscription {
    struct list node; /* in subscriptions */
    char *exchange, *pattern, *queue;
    struct queue *into; /* a fanned queue; NULL: the owner is told */
};

/* A delivery that is not settled for good. */
enum held_state {
    HELD_UNSETTLED, /* the owner has it */
    HELD_SETTLED,   /* the verdict is on its way to Redis */
};

struct held {
    struct list node;
    uint64_t id;
    enum held_state state;
    enum verdict verdict;
    char *tag; /* NULL: no longer in Redis (poison) */
};

/* Why nothing is being taken just now. */
enum pause {
    PAUSE_NONE,
    PAUSE_IDLE,  /* empty: until woken, or for a second */
    PAUSE_POLL,  /* empty, and nothing will wake us */
    PAUSE_REARM, /* empty: ask to be woken in a moment */
    PAUSE_ERROR
};

enum tracking { TRACK_OFF, TRACK_ASKED, TRACK_ON, TRACK_REFUSED };

struct broker_redis {
    struct broker base;
    uv_loop_t *loop;
    struct broker_events ev;
    void *arg;
    struct redis_layout lay;
    const struct topology *topology; /* borrowed; or NULL */
    char *instance;                  /* NULL: publishes only */
    char *adopt;                     /* NULL: none, or done */
    char *k_held, *k_node, *k_nodes, *k_lock;
    uint32_t lease_ms;
    int64_t replies_expire_s; /* of lists that we answer to; 0: never */
    struct calls *calls;
    struct redis *pubsub; /* NULL: not needed so far */
    char *url;
    const struct config *config; /* borrowed */
    bool ready, closing, leaving, finished;

    struct queue *queues[QUEUES_MAX]; /* in cycle order */
    size_t queue_count;

    /* held */
    struct map by_id, by_tag;
    struct list unsettled, acks, requeues, settling, ack_batches;
    size_t unsettled_count;
    size_t requeue_count; /* of requeues and settling; they keep their room, so
                             that a requeued message can be the next */
    uint64_t last_id;
    struct recent recent;
    uint64_t lost_us; /* of the last loss; 0: none */

    /* taking */
    unsigned prefetch;
    bool taking, hungry, woken;
    bool take_told; /* that taking fails */
    uint64_t takes, last_answer_us;
    unsigned fruitless; /* wake-ups in a row that found nothing */
    uint32_t poll_ms, error_ms;
    enum pause pause;
    enum tracking tracking;
    bool invalidations; /* the pubsub side is subscribed to them */
    uv_timer_t wait;

    /* housekeeping */
    uv_timer_t beat;
    uint64_t bound_us, scan_due_us, touched_us;
    struct list sweeps, batches;
    bool scanning;
    int64_t scan_left; /* what the scan may still put back */
    char scan_token[40];

    struct list publishes, depths;
    size_t publishing;
    bool refuses; /* the last one was refused, and the log says so */
    struct list subscriptions;

    struct turn turn;
    uv_timer_t deadline;
    struct parts to_close;
};

/* broker.c */
void redis_broker_progress(struct broker_redis *b); /* when closing: done? */

/* broker_take.c */
void redis_take_start(struct broker_redis *b); /* ready: the first take */
void redis_take_stop(struct broker_redis *b);  /* lost, or closing */
void redis_take_more(struct broker_redis *b);  /* if there is room */
void redis_take_wake(struct broker_redis *b);  /* a list has changed */
void redis_take_track(struct broker_redis *b); /* the pubsub side is (not) up */
void redis_prefetch(struct broker *base, unsigned n);
uint64_t redis_last_answer(const struct broker *base);

/* broker_queues.c */
bool redis_queue_is(const struct queue *q, struct slice name);
enum status redis_consume(struct broker *base, const struct queue_def *def,
                          struct error *err);
enum status redis_cancel(struct broker *base, struct slice queue,
                         struct error *err);
enum status redis_consume_replies(struct broker *base, struct slice queue,
                                  int64_t expires_s, struct error *err);
void redis_bind_queue(struct broker_redis *b, const struct queue *q);
/* The member of kombu's set of bindings. */
void redis_add_member(const struct broker_redis *b, const struct queue_def *q,
                      const struct binding_def *bind, struct buf *out);
/* Queues of ours alone, when we go. */
void redis_drop_own(struct broker_redis *b);
void redis_queues_free(struct broker_redis *b);

/* broker_held.c */
struct held *redis_held_add(struct broker_redis *b, struct slice tag);
struct held *redis_held_find(struct broker_redis *b, struct slice tag);
void redis_held_drop(struct broker_redis *b, struct held *h); /* requeued */
void redis_settle(struct broker *base, uint64_t tag, enum verdict v);
void redis_settle_all(struct broker_redis *b); /* hands all back */
void redis_settle_flush(struct broker_redis *b);
void redis_settle_again(struct broker_redis *b, struct slice tag);
bool redis_settled_before_loss(struct broker_redis *b, struct slice tag);
void redis_recover(struct broker_redis *b); /* then ready */
void redis_held_touch(struct broker_redis *b);
void redis_held_fini(struct broker_redis *b);

/* broker_restore.c */
struct restore_item {
    char *tag;        /* owned */
    bool back;        /* to the back of the queue */
    struct held *own; /* ours, or NULL */
};
struct restore {
    struct list node; /* in batches */
    struct broker_redis *b;
    bool if_held; /* only what k_held has; else: what is old enough */
    char *k_held; /* owned: our set or a dead consumer's */
    struct restore_item items[BATCH_MAX];
    size_t count, left;
    size_t restored;                 /* moved */
    bool cleared;                    /* some were gone: no longer in the set */
    void (*done)(struct restore *r); /* before it is freed; or NULL */
    void *arg;
};
struct restore *redis_restore_new(struct broker_redis *b, bool if_held,
                                  const char *k_held);
enum status redis_restore_add(struct restore *r, struct slice tag, bool back,
                              struct held *own);
void redis_restore_go(struct restore *r); /* frees itself in the end */
void redis_restore_fini(struct broker_redis *b);

/* broker_beat.c */
void redis_beat_start(struct broker_redis *b);
void redis_flushed(struct broker_redis *b); /* FLUSHALL or FLUSHDB */
void redis_sweep_start(struct broker_redis *b, struct slice instance);
void redis_sweeps_fini(struct broker_redis *b);

/* broker_publish.c */
enum status redis_publish(struct broker *base, const struct message *m,
                          void *cookie, struct error *err);
enum status redis_publish_fanout(struct broker *base, struct slice exchange,
                                 const struct message *m, struct error *err);
enum status redis_depth(struct broker *base, struct slice queue,
                        void (*fn)(void *arg, enum status st, int64_t n),
                        void *arg);

void redis_publishes_free(struct broker_redis *b);
void redis_depths_free(struct broker_redis *b);

/* broker_pubsub.c */
/* The channel of a fanout exchange; malloc'd, NULL without memory. */
char *redis_fanout_channel(const struct broker_redis *b, struct slice exchange,
                           const char *routing_key);
enum status redis_pubsub_open(struct broker_redis *b, struct error *err);
enum status redis_broker_subscribe(struct broker *base, struct slice exchange,
                                   struct slice queue, struct error *err);
/* For a queue that is bound to fanout exchanges. */
enum status redis_subscribe_queue(struct broker_redis *b, struct queue *q,
                                  struct error *err);
void redis_unsubscribe_queue(struct broker_redis *b, const struct queue *q);
void redis_bind_subscriptions(struct broker_redis *b, bool remove);
void redis_subscriptions_free(struct broker_redis *b);

#endif

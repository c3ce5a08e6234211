#ifndef WORKER_NODE_H
#define WORKER_NODE_H

#include "base/map.h"
#include "base/metrics.h"
#include "base/turn.h"
#include "protocol/signature.h"
#include "store/broker.h"
#include "store/pg/records.h"
#include "store/relay.h"
#include "store/result.h"
#include "worker/request.h"
#include "worker/revoked.h"
#include "worker/shm.h"
#include "worker/stalls.h"

/* One node: what Celery calls a worker.  One loop, one thread; all that is here
 * is touched on it alone. */
enum node_phase {
    NODE_STARTING,
    NODE_RUNNING,
    NODE_DRAINING, /* warm shutdown: what runs may finish */
    NODE_CLOSING   /* connections are flushed and closed */
};

struct node {
    uv_loop_t loop;
    const struct config *config;
    struct services services;
    char name[256];
    char instance[SHM_INSTANCE_MAX];
    int argc;
    char **argv;

    struct broker *broker; /* NULL: what a dead node left is seen to first */
    bool broker_up;
    struct result *result;   /* NULL: disabled */
    struct records *records; /* NULL: no database */
    struct relay *relay;     /* with records only */
    struct http *http;
    struct cache *cache; /* may be NULL */
    struct pool *pool;

    enum node_phase phase;
    int exit_code;
    unsigned closing; /* parts that are not closed yet */
    uv_signal_t signals[4];
    uv_timer_t tick;
    struct timers timers;
    struct stalls stalls;
    struct turn flow;
    uint64_t tick_due_us;
    uint64_t drain_end_us; /* 0: no end */
    bool cold;             /* what ran was interrupted */

    /* requests */
    struct list states[RQ_STATES];
    size_t counts[RQ_STATES];
    struct map by_id;        /* the latest request of an id */
    struct list blocking;    /* READY, wait for an executor */
    struct list async;       /* READY, wait for a place */
    size_t blocking_waiting; /* blocking ones that want an executor */
    size_t async_waiting;    /* async ones that want a place */
    size_t async_running;
    size_t unsettled; /* deliveries neither acknowledged nor handed back */

    /* flow: flow.c */
    unsigned prefetch; /* told to the broker last */
    unsigned burst;    /* taken beyond the bound of blocking work */
    bool took_blocking, took_other; /* since it was looked at last */
    unsigned unanswered; /* ticks in which a fetch waited for its answer */
    uint64_t answer_us;  /* the last that was seen */

    struct topology *topology;  /* its queues, and the way of tasks to queues */
    struct list stores;         /* results the backend has not answered for */
    uint64_t store_patience_us; /* how long they are waited for; 0: no end */
    uint64_t store_refused_us;  /* when it took none last */
    struct list outgoing;       /* messages not confirmed yet */
    size_t outgoing_count;

    struct revoked revoked;
    struct shm_page *page;
    struct shm_table slots;
    struct map lost;   /* struct lost_task by id: they took a node with them */
    size_t lost_asked; /* of them, in the records: not answered yet */
    void (*recovered)(struct node *n);

    int64_t clock; /* Celery's logical clock */
    uint64_t started_us;
    uint64_t renew_us, bury_us; /* when it was done last */
    uint64_t cleanup_us;        /* when it is to be done; 0: not known yet */
    char raw[64 * 1024];        /* of the message being looked at: consumer.c */
    struct metric *m_tasks, *m_in_hand, *m_executors, *m_lag;
};

/* node.c */
/* n is zeroed but for its page; nothing is connected yet. */
void node_init(struct node *n, const struct config *config, int argc,
               char **argv);
void node_fini(struct node *n); /* after shutdown.c has closed all */
struct slice node_slice(const char *s);
struct slice node_who(const struct node *n); /* the instance, for records */

/* consumer.c: what the broker tells. */
extern const struct broker_events consumer_events;
void consumer_done(struct request *rq); /* acknowledges and forgets it */
/* Gives the message back and forgets the request, which does not run. */
void consumer_hand_back(struct request *rq, enum verdict v);
/* Settles the delivery; once. */
void consumer_settle(struct request *rq, enum verdict v);

/* claim.c: whether it may run, and when. */
void claim_begin(struct request *rq); /* looks at it for the first time */
void claim_start(struct request *rq); /* it is due: asks the records */
void claim_later(struct request *rq); /* in a moment, once more */
void claim_put_off(struct request *rq, uint64_t ms,
                   void (*fn)(struct timer *t));
/* True: revoked or expired; it is being told so, and does not run. */
bool claim_dropped(struct request *rq);

/* flow.c: how much is taken from the broker. */
void flow_init(struct node *n);
void flow_changed(struct node *n);  /* looks again at the end of this turn */
void flow_took(struct request *rq); /* it wants to run from now on */
void flow_left(struct request *rq); /* it runs, or is gone; may be repeated */
/* True if it is a blocking one beyond what may wait here: hand it back. */
bool flow_surplus(struct request *rq);

/* begin.c: it runs from now on, in process pid. */
void begin_run(struct request *rq, pid_t pid);

/* dispatch.c: who runs it. */
void dispatch_ready(struct request *rq); /* claimed or no claim needed */
void dispatch_more(struct node *n);      /* a place is free */
/* It has run.  The outcome moves from where it was made to the request. */
void dispatch_finish(struct request *rq, struct outcome *o);
/* Ends a request that has not run with an exception of the worker's own. */
void dispatch_fail(struct request *rq, const char *type, const char *module,
                   const char *text);
void dispatch_revoke(struct request *rq, const char *reason);
void dispatch_time_limit(struct request *rq); /* the hard one */
/* Revoked with terminate. */
void dispatch_terminate(struct request *rq, int signum);
/* Cold shutdown: stops what runs. */
void dispatch_interrupt(struct request *rq);

/* run_loop.c: on this loop. */
void run_loop_inline(struct request *rq);
void run_loop_async(struct request *rq);
void run_loop_stop(struct request *rq); /* an async one, before its end */

/* run_pool.c: in executors. */
extern const struct pool_events run_pool_events;
/* Hands some of those that wait to one.  False: none can take them now. */
bool run_pool_some(struct node *n);
/* A blocking task that has always taken much less than a millisecond. */
bool run_pool_is_short(const struct request *rq);

/* settle.c: what follows from an outcome. */
void settle_start(struct request *rq); /* rq->out says how it ended */
void settle_go(struct request *rq);    /* an answer has come */
void settle_rest(struct request *rq);  /* its outcome is recorded already */
void settle_answer(struct request *rq, enum status st); /* of a step */

/* resume.c: tells what is recorded, and maybe was not told. */
void resume_start(struct request *rq);
/* Without records: if it was delivered before, asks the result backend whether
 * it is done, and goes on with the answer.  False: there is nothing to ask. */
bool resume_ask(struct request *rq);
/* False: there is nothing to tell of such an outcome, or no memory for it. */
bool resume_read(const struct records_row *row, struct outcome *o);

/* settle_steps.c: each starts what it does and counts it in rq->waits. */
void step_record(struct request *rq);
void step_store(struct request *rq);
void step_chord(struct request *rq);
void step_chain(struct request *rq);
void settle_put(struct request *rq, const struct task_state *ts);

/* chord.c: body is told as failed with a ChordError, and its errbacks sent. */
void chord_fail(struct request *rq, struct json_object *body,
                struct slice reason);
/* Sends body with the list of results; a failure is told as above. */
void chord_apply(struct request *rq, struct json_object *body,
                 struct json_object *list);
/* "Dependency <id> raised ValueError('boom', 42)" */
void chord_reason(struct slice id, struct json_object *exc, struct buf *out);
/* A member of the group that body waits for is done. */
void chord_return(struct request *rq, struct json_object *body,
                  struct slice group, int64_t index,
                  const struct task_state *ts);

/* follow.c: the messages that an outcome asks for. */
void follow_up(struct request *rq);
void follow_errbacks(struct request *rq);
/* Those of a chord's body, which has failed with exc: its parts have. */
void follow_chord_errbacks(struct request *rq, struct json_object *body,
                           struct json_object *exc);
/* True: something that it has sent was refused for good, and so it has failed,
 * as in Celery. */
bool follow_refused(struct request *rq);
/* Sends sig as a child of rq's task.  sig is borrowed.  partial: array put
 * before its args, or NULL; chain: what is left of a chain, or NULL. */
enum status follow_apply(struct request *rq, struct json_object *sig,
                         struct json_object *partial, struct json_object *chain,
                         struct error *err);

/* follow_send.c: publishes ms, and does what its chords need. */
enum status follow_send(struct request *rq, struct signature_messages *ms,
                        struct error *err);

/* follow_retry.c */
enum status follow_retry(struct request *rq, struct error *err);
enum status follow_replace(struct request *rq, struct error *err);

/* publish.c: confirmed publishing.  Consumes *m.  rq, if not NULL, waits for it
 * (rq->waits, settle_answer).  What is refused for good only later is told in
 * rq->refused. */
enum status node_publish(struct node *n, struct request *rq,
                         struct message **m);
void node_published(struct node *n, void *cookie, enum status st);
void node_publish_end(struct node *n); /* forgets what is not confirmed */

/* store.c: to the result backend. */
typedef void store_fn(struct request *rq, enum status st);
/* Counts in rq->waits; fn, which calls settle_answer(), is called once, unless
 * it is given up: then settle_answer() is. */
void node_store(struct request *rq, const struct task_state *ts, store_fn *fn);
bool store_is_refused(const struct node *n); /* just now */
void store_check(struct node *n);
void store_fini(struct node *n);
uint64_t store_patience_us(const struct config *c);

/* state.c: states that a running task reports, and STARTED. */
void node_store_state(struct request *rq, struct slice state,
                      struct json_object *meta);
void node_store_started(struct request *rq);
/* FAILURE WorkerLostError for a task that nobody holds any more. */
void node_store_lost(struct node *n, struct slice id, struct slice reply_to,
                     const char *text);

/* queues.c: what is consumed. */
enum status node_consume(struct node *n, struct error *err);

/* control.c */
void control_subscribe(struct node *n);
void control_received(struct node *n, struct message *m); /* consumes m */

/* lost.c: what the node's predecessor left behind. */
void lost_init(struct node *n);
void lost_fini(struct node *n);
void lost_report(struct node *n);
/* How many nodes the id took with it; *early: it was acknowledged already. */
unsigned lost_deaths(const struct node *n, struct slice id, bool *early);
/* Buries the claims of the dead node, then calls then(n). */
void lost_recover(struct node *n, void (*then)(struct node *n));
void lost_bury(struct node *n); /* all whose lease has run out */

/* shutdown.c */
void shutdown_signals(struct node *n);
void shutdown_warm(struct node *n);
void shutdown_cold(struct node *n);
void shutdown_check(struct node *n); /* is everything done? */

/* tick.c: once a second. */
void tick_start(struct node *n);

#endif

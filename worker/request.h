#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include "protocol/task.h"
#include "store/broker.h"
#include "worker/pool.h"
#include "worker/registry.h"
#include "worker/task.h"
#include "worker/timers.h"

/* A task that a node has in hand, from its delivery until it is settled. */
#define REQUEST_STATES(X)                                                 \
    X(RECEIVED, "received") /* being looked at */                         \
    X(PARKED, "parked")     /* its eta is to come */                      \
    X(CLAIMING, "claiming") /* asked of the records, or of the outbox */  \
    X(READY, "ready")       /* waits for an executor or an async place */ \
    X(RUNNING, "running")                                                 \
    X(SETTLING, "settling") /* its outcome is being told */               \
    X(SETTLED, "settled")   /* to be freed */

enum request_state {
#define X(name, text) RQ_##name,
    REQUEST_STATES(X)
#undef X
        RQ_STATES
};

/* What settling does, in this order (celery-wire.md 6.7, 6.13); each step
 * decides for itself whether the outcome asks for it. */
enum settle_step {
    STEP_FOLLOW, /* publish callbacks, the chain's next, a retry */
    STEP_RECORD, /* the row in PostgreSQL; the fence */
    STEP_STORE,  /* the result backend */
    STEP_CHORD,  /* our part of a chord, and maybe its body */
    STEP_CHAIN,  /* a failure is that of all later steps too */
    STEP_ERRBACKS,
    STEP_ACK,
    STEP_END
};

struct node;

struct request {
    struct list link;  /* in its state's list */
    struct list queue; /* in the node's list of those that wait to run */
    enum request_state state;
    struct node *n;
    struct task_message tm;
    const struct lovage_task_def *def; /* NULL: unknown task */
    lovage_kind kind;                  /* where it runs; with def */
    char *queue_name;                  /* owned: where it came from */

    uint64_t tag;  /* 0: acknowledged, or handed back */
    bool tag_void; /* the connection it came by is lost */
    bool late;     /* acknowledged when its outcome is stored */
    bool ignore_result;
    bool claimed; /* settle the record with this attempt */
    int64_t attempt;
    unsigned deaths;   /* executors and nodes that it took with it */
    char how[160];     /* the last of them; "": none */
    enum verdict back; /* where it goes when its claim is released */
    bool terminate;    /* revoked while it ran */
    bool counted;      /* among those that wait to run: flow.c */

    double time_start; /* unix time; 0: not started */
    uint64_t started_us;
    pid_t pid; /* of the process that runs it */
    int slot;  /* in the shared page; -1: none */

    struct timer timer; /* eta, a wait before a step is tried again, a limit */
    bool soft_passed;
    lovage_task task; /* of inline and async tasks */
    bool in_task;     /* task is initialised */
    struct job job;   /* of blocking tasks */

    struct outcome out;
    enum settle_step step;
    unsigned waits;      /* answers that the step waits for */
    unsigned tells;      /* answers that it does not wait for: begin.c */
    bool begun;          /* the step was started */
    enum status refused; /* why something that it has sent was; ST_OK: none */
    bool redo;           /* it has failed and is to be tried again */
    bool drop;           /* fenced out: the outcome is not ours to tell */
    bool resumed;        /* the outcome was recorded by a worker that died */
    uint64_t store_since_us; /* the backend has taken nothing since; or 0 */
    struct json_object *children; /* owned array; NULL: none */
};

struct request *request_new(struct node *n);
struct request *request_of_timer(struct timer *t); /* t is its timer */
void request_free(struct request *rq);
/* It is over; freed when the last answer is here. */
void request_end(struct request *rq);
void request_answered(struct request *rq); /* frees it then, if it is over */

/* Changes the state: the one place where it changes. */
void request_move(struct request *rq, enum request_state to);
const char *request_state_name(enum request_state s);
bool request_may_move(enum request_state from, enum request_state to);

/* The effective options: message, else task, else settings. */
double request_soft_limit(const struct request *rq); /* s; 0: none */
double request_hard_limit(const struct request *rq);

/* The sender's own text of args and kwargs.  False: there is none that could
 * be passed on as it is. */
bool request_raw_call(const struct request *rq, struct slice *args,
                      struct slice *kwargs);

/* What task.request shows (celery-wire.md 1.11); the caller's. */
struct json_object *request_fields(const struct request *rq);
/* The headers that Celery does not know, which follow a retry; the caller's.
 * An empty object if there are none; NULL without memory. */
struct json_object *request_custom_headers(const struct task_message *tm);

#endif

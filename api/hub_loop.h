#ifndef API_HUB_LOOP_H
#define API_HUB_LOOP_H

#include "api/hub.h"
#include "base/list.h"
#include "store/broker.h"
#include "store/relay.h"
#include "store/result.h"

#include <pthread.h>

/* The inside of the hub: for api/hub*.c only. */

struct call;

struct hub {
    /* Written to when there is something new for the loop.  No uv_async_t: its
     * loop spins while the sender, which it has just preempted, is in the
     * middle of sending. */
    int wake_fd;
    pthread_mutex_t lock; /* guards what follows up to closing */
    struct list queue;    /* calls that the loop has not taken */
    struct list cancels;  /* calls that a thread has given up */
    size_t calls;         /* not yet answered */
    bool closing;

    /* What follows is the loop's alone, once the thread runs. */
    uv_loop_t loop;
    uv_poll_t wake; /* of wake_fd */
    uv_timer_t sweep;
    uv_timer_t look;   /* after those that wait */
    struct list waits; /* calls of hub_wait() */
    pthread_t thread;
    const struct config *config;
    struct topology *topology;
    struct records *records;
    struct broker *broker;
    struct result *result; /* NULL: none configured */
    const char *reply_to;  /* of what is submitted; the result's */
    struct relay *relay;
    bool broker_up;
    bool closed;          /* close_clients() has begun */
    int64_t outbox_depth; /* when it was last counted; -1: never */
    int64_t submitted;    /* since then */
    size_t lookups;       /* of the sweep, not yet answered */
    uint32_t flush_ms;
};

enum call_state {
    CALL_QUEUED,
    CALL_TAKEN,   /* run() is being called: its arguments are in use */
    CALL_STARTED, /* arguments are no longer used */
    CALL_DONE
};

/* One call from a thread to the loop, held by both. */
struct call {
    struct list node;                           /* in hub.queue */
    struct list cancel_node;                    /* in hub.cancels */
    void (*run)(struct hub *h, struct call *c); /* on the loop */
    /* On the loop: ends a call that was left unanswered; NULL: it ends by
     * itself. */
    void (*cancel)(struct hub *h, struct call *c);
    struct hub *hub;

    pthread_mutex_t lock; /* guards what follows up to rows */
    pthread_cond_t changed;
    enum call_state state;
    enum status st;
    bool abandoned; /* the thread waits no longer */
    int holders;
    struct hub_rows *rows; /* the best answer so far; owned */

    /* arguments: the thread's until CALL_STARTED */
    const struct records_new *submit;
    const struct records_filter *filter;
    const struct records_change *change;
    /* the call's own */
    struct message *message; /* owned */
    bool due;                /* the message, now */
    struct records_made made;
    char id[160]; /* a copy that outlives the arguments; "": none */
    int64_t seq;
    bool terminate;
    struct result_watch *watch; /* the loop's, as what follows up to looking */
    struct list wait_node;      /* in hub.waits */
    bool looking;               /* the records were asked */
    struct hub_outcome outcome;
    struct hub_state snapshot;
};

void hub_wake(struct hub *h); /* from any thread */

struct call *call_new(struct hub *h, void (*run)(struct hub *, struct call *));
/* Puts the call into the queue and waits for its answer until deadline_us;
 * gone, if not NULL, is asked now and then. */
enum status call_make(struct call *c, uint64_t deadline_us,
                      bool (*gone)(void *arg), void *arg);
/* After call_make() has failed: stops what the loop does for it. */
void call_cancel(struct call *c);
void call_hold(struct call *c); /* one holder more */
void call_drop(struct call *c); /* one holder fewer */
void call_set_id(struct call *c, struct slice id);
struct slice call_id(const struct call *c);
void call_finish(struct call *c, enum status st); /* on the loop, once */

/* A deep copy in one block; NULL without memory. */
struct hub_rows *hub_rows_copy(const struct records_row *rows, size_t n,
                               int64_t total);

/* Asks the result backend about id and notes a final outcome in the records.
 * fn(arg, noted) is called once, at once when there is nobody to ask. */
typedef void hub_noted_fn(void *arg, bool noted);
void hub_look_up(struct hub *h, struct slice id, hub_noted_fn *fn, void *arg);
/* Looks up all that has been open for a while, and counts the outbox. */
void hub_sweep(struct hub *h);

#endif

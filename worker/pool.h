#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include "base/config.h"
#include "base/list.h"
#include "worker/frame.h"
#include "worker/outcome.h"

#include <sys/types.h>
#include <uv.h>

/* A node's executors: processes that run blocking tasks.  An executor gets work
 * only when it is free.  Very short tasks may go to it a few at a time: they
 * run in order, and those that had not begun come back when it dies, or when
 * one of them is not short after all. */
struct pool;

enum { POOL_BATCH_MAX = 32 };

/* What the pool knows of a task; a member of the request. */
struct job {
    struct list link;          /* in its executor's list */
    struct executor *executor; /* NULL: not in the pool */
    uint32_t number;
    uint64_t started_us;       /* monotonic; 0: not begun */
    uint64_t soft_ms, hard_ms; /* limits; 0: none */
};

/* Why an executor died. */
enum pool_death {
    POOL_CRASHED,
    POOL_HARD_LIMIT, /* the job's time was over */
    POOL_TERMINATED  /* pool_terminate, pool_kill */
};

struct pool_events {
    /* The job runs now, in process pid. */
    void (*started)(void *arg, struct job *j, pid_t pid);
    void (*state)(void *arg, struct job *j, struct slice state,
                  struct json_object *meta);
    void (*send)(void *arg, struct job *j, struct json_object *sig);
    /* What lovage_request() shows; the caller's; NULL without memory. */
    struct json_object *(*fields)(void *arg, struct job *j);
    /* The contents of o may be taken.  j is out of the pool. */
    void (*ended)(void *arg, struct job *j, struct outcome *o);
    /* The job that ran is lost; how: "signal 9 (SIGKILL)", "exitcode 3". */
    void (*died)(void *arg, struct job *j, enum pool_death why,
                 const char *how);
    void (*returned)(void *arg, struct job *j); /* it had not begun */
    void (*room)(void *arg);                    /* an executor is free */
};

struct pool_opts {
    uv_loop_t *loop;
    const struct config *config;
    size_t size;
    int argc; /* the command line that executors get too */
    char **argv;
    bool idle; /* do not start executors before there is work */
};

enum status pool_open(struct pool **out, const struct pool_opts *o,
                      const struct pool_events *ev, void *arg,
                      struct error *err);
/* Executors that are free end; those that work are killed; closed(arg) when all
 * are gone.  No other event comes. */
void pool_close(struct pool *p, void (*closed)(void *arg), void *arg);

size_t pool_free(const struct pool *p); /* executors that could start a job */
size_t pool_size(const struct pool *p);
/* Hands n jobs (1 to POOL_BATCH_MAX) to a free executor.  ST_AGAIN: none free.
 * ST_LOST: the executor is, and no longer counted as free. */
struct pool_call {
    struct job *job;
    struct frame_run run; /* borrowed */
};
enum status pool_run(struct pool *p, const struct pool_call *calls, size_t n);

/* Ends the job's process if it runs (SIGTERM is not seen by an executor: it is
 * sent as SIGKILL); died() follows.  A job that has not begun is taken out:
 * false, and no event follows. */
bool pool_terminate(struct pool *p, struct job *j, int signum);
void pool_kill(struct pool *p); /* all that run: cold shutdown */

/* Process ids, up to n; returns how many. */
size_t pool_pids(const struct pool *p, pid_t *out, size_t n);

#endif

#ifndef WORKER_POOL_PROCESS_H
#define WORKER_POOL_PROCESS_H

#include "worker/frame.h"
#include "worker/pool.h"

/* The processes of a pool: private to worker/pool.c and pool_process.c. */
enum executor_state {
    EXECUTOR_STARTING,
    EXECUTOR_READY,   /* free if it has no job */
    EXECUTOR_LEAVING, /* its socket is closed or it was killed */
    EXECUTOR_GONE     /* the process has ended */
};

struct executor {
    struct pool *pool;
    size_t at; /* in pool->executors */
    enum executor_state state;
    uv_process_t process;
    uv_pipe_t pipe;
    uv_timer_t limit; /* of its start, then of its first job; once it has
                         exited: of its output */
    unsigned handles; /* open ones; freed when none is */
    bool eof, exited;
    bool soft_sent;
    struct list jobs; /* struct job, in the order they run */
    struct recall_page *page;
    uint32_t batch; /* the one that it has */
    uint64_t done;
    struct buf in;
    enum pool_death death;
    char how[48]; /* "signal 9 (SIGKILL)" */
};

struct pool {
    uv_loop_t *loop;
    const struct config *config;
    const struct pool_events *ev;
    void *arg;
    int argc;
    char **argv;
    size_t size, alive;
    struct executor **executors; /* NULL: to be started */
    uv_timer_t again;  /* starts what is missing; closed: kills what stays */
    unsigned failures; /* starts in a row that came to nothing */
    uint32_t job_number;
    bool closed;
    void (*closed_fn)(void *arg);
    void *closed_arg;
};

/* May take the bytes.  ST_LOST: nothing was sent, and it is killed. */
enum status executor_write(struct executor *x, struct buf *bytes);
void executor_ready(struct executor *x);
/* Ends when its socket is closed: no more jobs. */
void executor_retire(struct executor *x);
void executor_kill(struct executor *x, enum pool_death why, int signum);
/* It says what it should not: killed. */
void executor_broken(struct executor *x, const char *what);

/* pool.c */
void executor_frame(struct executor *x, const struct frame *f);
void executor_bury_jobs(struct executor *x);

#endif

#ifndef WORKER_TASK_H
#define WORKER_TASK_H

#include "base/list.h"
#include "worker/outcome.h"
#include "worker/services.h"

enum { TASK_SECONDS_MAX = 1000000000 }; /* 30 years: what is more is that */

/* One execution of a task, as task code sees it (include/lovage/task.h): on the
 * node's loop or in an executor.  What differs between the two is the host. */
struct task_host {
    /* The request's fields, for lovage_request(); the caller's; NULL without
     * memory. */
    struct json_object *(*fields)(lovage_task *t);
    /* meta and sig are borrowed. */
    enum status (*state)(lovage_task *t, const char *state,
                         struct json_object *meta);
    enum status (*send)(lovage_task *t, struct json_object *sig);
    bool (*soft_limit)(lovage_task *t);
    /* NULL where there is no loop (an executor). */
    void (*finish)(lovage_task *t);
    const struct services *(*services)(lovage_task *t);
    struct timers *(*timers)(lovage_task *t);
};

struct lovage_task {
    const struct lovage_task_def *def;
    const struct task_host *host;
    void *host_arg;
    struct json_object *args, *kwargs; /* borrowed: until the task ends */
    const char *id;                    /* borrowed */
    int64_t retries;
    double hard_limit, soft_limit; /* s, the sender's; 0: none; on the loop */
    struct json_object *fields;    /* owned; NULL: not asked for yet */
    struct json_object *sent;      /* owned array of ids; NULL: none */
    struct outcome out;            /* owned */

    /* async */
    bool pending;  /* run() has returned LOVAGE_PENDING */
    bool in_run;   /* it has not returned yet */
    bool finished; /* lovage_finish() came before that, with: */
    lovage_status finish_status;
    struct list waits; /* struct task_wait: timers and HTTP calls */
    lovage_timer_fn *cancel;
    void *cancel_arg;
};

void task_init(lovage_task *t, const struct lovage_task_def *def,
               const struct task_host *host, void *host_arg);
void task_clear(lovage_task *t); /* frees what it owns, ends its waits */

/* Checks the call and runs it.  True: t->out says how it ended; false: an async
 * task, which calls host->finish later. */
bool task_run(lovage_task *t);

/* Stops an async task: calls its cancel function and ends its waits. */
void task_cancel(lovage_task *t);

/* What a status that run() or lovage_finish() gave means, with autoretry: after
 * it t->out.kind is set. */
void task_ended(lovage_task *t, lovage_status st);

/* Binds the call to the parameters as Python does.  False: a TypeError with
 * Python's words is set. */
bool task_check_call(lovage_task *t);

/* "add" of "proj.tasks.add". */
const char *task_short_name(const struct lovage_task_def *def);

#endif

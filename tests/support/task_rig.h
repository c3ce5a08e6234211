#ifndef TESTS_SUPPORT_TASK_RIG_H
#define TESTS_SUPPORT_TASK_RIG_H

#include "worker/task.h"

/* A task that can be run without a node: what it says is kept here. */
struct task_rig {
    lovage_task task;
    struct lovage_task_def def;
    struct json_object *args, *kwargs, *fields;
    struct json_object *sent; /* array of the signatures it sent */
    struct json_object *meta; /* of the last state */
    char state[64];
    bool soft;
    enum status send_st; /* what sending says */
};

/* The def's run may be NULL where nothing is run.  args and kwargs are JSON. */
void task_rig_init(struct task_rig *r, const struct lovage_task_def *def,
                   const char *args, const char *kwargs);
void task_rig_fini(struct task_rig *r);

/* The text of the exception that is set, as Python prints it. */
const char *task_rig_error(struct task_rig *r);

#endif

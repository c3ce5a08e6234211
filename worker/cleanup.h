#ifndef WORKER_CLEANUP_H
#define WORKER_CLEANUP_H

#include "lovage/task.h"

#include <stdint.h>

struct node;

/* Of celery.backend_cleanup: deletes results that have expired. */
lovage_status cleanup_run(lovage_task *t);

/* The same without a task: called once a second, does it once an hour, so that
 * it is also done where no beat sends the task. */
void cleanup_tick(struct node *n, uint64_t now_us);

#endif

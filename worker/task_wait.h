#ifndef WORKER_TASK_WAIT_H
#define WORKER_TASK_WAIT_H

#include "lovage/task.h"

/* What an async task waits for (timers, HTTP calls) ends with it. */
void task_waits_end(lovage_task *t);

#endif

#ifndef WORKER_UNLOCK_H
#define WORKER_UNLOCK_H

#include "lovage/task.h"

/* Of celery.chord_unlock, an async task. */
lovage_status unlock_run(lovage_task *t);

#endif

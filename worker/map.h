#ifndef WORKER_MAP_H
#define WORKER_MAP_H

#include "base/json.h"
#include "lovage/task.h"

/* Of celery.map and celery.starmap (celery-wire.md 6.10): a task of this
 * process is run with each item, one after the other. */
lovage_status map_run(lovage_task *t);
lovage_status starmap_run(lovage_task *t);

/* Where def must run, called with these arguments: a map of a blocking task is
 * blocking, too, and any other is async. */
lovage_kind map_kind(const struct lovage_task_def *def,
                     struct json_object *args, struct json_object *kwargs);

#endif

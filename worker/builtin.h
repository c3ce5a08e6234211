#ifndef WORKER_BUILTIN_H
#define WORKER_BUILTIN_H

#include "worker/registry.h"

/* Registers the tasks that Celery itself has in every worker. */
enum status builtin_register(struct lovage_registry *r, struct error *err);

#endif

#ifndef WORKER_REGISTRY_H
#define WORKER_REGISTRY_H

#include "base/buf.h"
#include "lovage/task.h"

/* The tasks this process can run, by name: built in and from plugins.  There is
 * one registry a process, filled before anything runs. */
struct lovage_registry;

struct lovage_registry *registry_get(void); /* the process's */
const struct lovage_task_def *registry_find(struct slice name); /* or NULL */
/* Sorted by name; NULL after the last. */
const struct lovage_task_def *registry_at(size_t i);

/* Loads a plugin and calls its lovage_plugin_init().  The error names the file
 * and the reason. */
enum status registry_load(const char *path, struct error *err);

#endif

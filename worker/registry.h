#ifndef WORKER_REGISTRY_H
#define WORKER_REGISTRY_H

#include "base/buf.h"
#include "lovage/task.h"

/* The tasks this process can run, by name: built in and from plugins.  There is
 * one registry a process, filled before anything runs. */
struct lovage_registry;

/* A registered task and what its process knows of it. */
struct task_entry {
    struct lovage_task_def def;
    uint64_t accepted;     /* executions since the start (inspect stats) */
    double mean_us;        /* moving average of the run time; 0: unknown */
    double soft_s, hard_s; /* limits: the definition's, changed by control */
};

struct lovage_registry *registry_get(void); /* the process's */
const struct lovage_task_def *registry_find(struct slice name); /* or NULL */
/* Sorted by name; NULL after the last. */
const struct lovage_task_def *registry_at(size_t i);
/* The entry of a definition that registry_find or registry_at gave. */
struct task_entry *registry_entry(const struct lovage_task_def *def);

/* Loads a plugin and calls its lovage_plugin_init().  The error names the file
 * and the reason. */
enum status registry_load(const char *path, struct error *err);

/* Loads each plugin of a comma list. */
enum status registry_load_all(const char *paths, struct error *err);

#endif

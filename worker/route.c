/* SPDX-License-Identifier: Apache-2.0 */
/* Which queue a task goes to: the setting task_routes. */
#include <fnmatch.h>
#include <string.h>

#include "worker/node.h"

static const char *
queue_of(struct json_object *route)
{
    struct slice s = json_str(route);

    if (!s.ptr)
        s = json_get_str(route, "queue");
    return s.ptr;
}

const char *
node_route(void *arg, struct slice task)
{
    struct node *n = arg;
    char name[TASK_NAME_MAX + 1];
    struct json_object *exact;

    if (!n->routes || task.len > TASK_NAME_MAX)
        return n->config->task_default_queue;
    memcpy(name, task.ptr, task.len);
    name[task.len] = '\0';
    exact = json_get(n->routes, name);
    if (exact && queue_of(exact))
        return queue_of(exact);
    json_object_object_foreach(n->routes, pattern, route)
    {
        if (fnmatch(pattern, name, 0) == 0 && queue_of(route))
            return queue_of(route);
    }
    return n->config->task_default_queue;
}

#ifndef WORKER_CONTROL_H
#define WORKER_CONTROL_H

#include "protocol/control.h"
#include "worker/node.h"

/* A remote control command.  Returns the reply, the caller's, NULL for null.
 * args is an object or NULL; borrowed. */
typedef struct json_object *control_fn(struct node *n,
                                       struct json_object *args);

struct control_command {
    const char *name, *alias; /* alias may be NULL */
    control_fn *fn;
    bool silent; /* no reply is sent */
};

/* worker/control_dump.c: commands that only show; ends with a NULL name. */
extern const struct control_command control_dumps[];

/* worker/queues.c */
control_fn order_add_consumer, order_cancel_consumer;

/* {"ok": text} or {"error": text} */
struct json_object *control_say(const char *key, const char *text);

/* Celery's description of a request (celery-wire.md 8.4). */
struct json_object *control_info(const struct request *rq);

#endif

#ifndef PROTOCOL_TOPOLOGY_H
#define PROTOCOL_TOPOLOGY_H

#include "base/config.h"
#include "protocol/queue_def.h"

/* The queues that the settings define, and the way of tasks to them: Celery's
 * app.amqp.queues and its router.  Read once; afterwards it may be read by
 * several threads at once (but for topology_add). */
struct topology;

/* From task_queues, task_routes, task_default_*, and for a worker worker_queues
 * (-Q) and worker_exclude_queues (-X).  config is borrowed until the end.
 * ST_INVALID: err names the setting, the queue, the field and the reason. */
enum status topology_new(struct topology **out, const struct config *config,
                         struct error *err);
void topology_free(struct topology *t);
/* Only says whether the settings are good. */
enum status topology_check(const struct config *config, struct error *err);

size_t topology_count(const struct topology *t);
const struct queue_def *topology_at(const struct topology *t, size_t i);
/* By name or alias; NULL: not defined.  t may be NULL. */
const struct queue_def *topology_find(const struct topology *t,
                                      struct slice name);
/* Any queue is a quorum queue: then ETA tasks wait in the broker. */
bool topology_has_quorum(const struct topology *t);
/* Tasks of this queue are acknowledged before they run, whatever they say. */
bool topology_is_no_ack(const struct topology *t, struct slice queue);
/* broker_native_delayed_delivery_queue_type. */
const char *topology_delay_type(const struct topology *t);

/* The exchange by the first queue that names it; NULL: unknown. */
const struct exchange_def *topology_exchange(const struct topology *t,
                                             struct slice name);
/* Calls fn for each binding of a queue to the exchange, also for those of a
 * queue that task_create_missing_queue_exchange_type would make.  ST_NOTFOUND:
 * there is none.  q and b are borrowed for the call. */
typedef void topology_fn(void *arg, const struct queue_def *q,
                         const struct binding_def *b);
enum status topology_each_bound(const struct topology *t, struct slice exchange,
                                topology_fn *fn, void *arg);

/* A queue that is not defined, as task_create_missing_queues makes it; t NULL:
 * with Celery's defaults.  For queue_def_free(). */
enum status topology_missing(const struct topology *t, struct slice name,
                             struct queue_def **out, struct error *err);

/* Remote control's add_consumer: q (consumed, also on failure) is defined from
 * now on. */
enum status topology_add(struct topology *t, struct queue_def *q);
/* It is consumed from now on, or no more. */
void topology_set_consumed(struct topology *t, const struct queue_def *q,
                           bool consumed);
/* The fields that definitions may leave out; borrowed from t. */
struct queue_defaults topology_defaults(const struct topology *t);

/* What the sender of a task says, ptr NULL and so on where nothing; afterwards
 * where it goes.  Slices are borrowed from the topology or are the sender's. */
struct task_route {
    struct slice queue, exchange, exchange_type, routing_key;
    int priority;      /* -1: none */
    int delivery_mode; /* 0: none; afterwards 1 or 2 */
};
#define TASK_ROUTE_INIT \
    {                   \
        .priority = -1  \
    }

/* t NULL: to the queue or exchange that the sender says, or to "celery".
 *
 * Celery's Router.route() and what send_task_message() makes of it.
 * ST_NOTFOUND: a queue that is not defined, with task_create_missing_queues
 * false. */
enum status topology_route(const struct topology *t, struct slice task,
                           struct task_route *r, struct error *err);

#endif

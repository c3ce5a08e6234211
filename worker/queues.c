/* SPDX-License-Identifier: Apache-2.0 */
/* What the node consumes, and the orders that change it. */
#include "worker/control.h"
#include "worker/fields.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { TEXT_BYTES = 512 };

enum status
node_consume(struct node *n, struct error *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < topology_count(n->topology) && st == ST_OK; i++) {
        const struct queue_def *q = topology_at(n->topology, i);

        if (q->consumed)
            st = n->broker->ops->consume(n->broker, q, err);
    }
    return st;
}

static struct json_object *
say(const char *key, const char *text, struct slice name)
{
    char full[TEXT_BYTES];

    (void)snprintf(full, sizeof(full), "%s%.*s", text,
                   (int)(name.len < 256 ? name.len : 256), name.ptr);
    return control_say(key, full);
}

static struct json_object *
missing(const char *command)
{
    char text[TEXT_BYTES];

    (void)snprintf(text, sizeof(text),
                   "TypeError(\"%s() missing 1 required positional argument: "
                   "'queue'\")",
                   command);
    return control_say("error", text);
}

/* What add_consumer says of a queue, as Celery's dict form of it. */
static enum status
define(struct node *n, struct slice name, struct json_object *args,
       struct queue_def **out, struct error *err)
{
    const struct queue_defaults d = topology_defaults(n->topology);
    struct json_object *o = json_copy(args);
    enum status st = o ? ST_OK : ST_NOMEM;

    if (st == ST_OK)
        json_object_object_del(o, "queue");
    if (st == ST_OK && !json_get(o, "exchange"))
        st = json_set(o, "exchange", json_new_str(name));
    st = st == ST_OK ? queue_def_read(o, "add_consumer", name, &d, out, err)
                     : error_set(err, st, "out of memory");
    json_object_put(o);
    return st;
}

struct json_object *
order_add_consumer(struct node *n, struct json_object *args)
{
    struct slice name = json_get_str(args, "queue");
    const struct queue_def *q = topology_find(n->topology, name);
    struct queue_def *made = NULL;
    struct error err = {.text = ""};
    enum status st = ST_OK;

    if (!name.len)
        return missing("add_consumer");
    if (!q) {
        st = define(n, name, args, &made, &err);
        if (st == ST_OK)
            st = topology_add(n->topology, made);
        q = made;
    }
    if (st == ST_OK)
        st = n->broker->ops->consume(n->broker, q, &err);
    if (st != ST_OK)
        return control_say("error", err.text[0] ? err.text : status_text(st));
    topology_set_consumed(n->topology, q, true);
    log_info("started consuming", "queue=%s", q->name);
    return say("ok", "add consumer ", name);
}

struct json_object *
order_cancel_consumer(struct node *n, struct json_object *args)
{
    struct slice name = json_get_str(args, "queue");
    const struct queue_def *q = topology_find(n->topology, name);
    struct error err;

    if (!name.len)
        return missing("cancel_consumer");
    if (q && q->consumed) {
        (void)n->broker->ops->cancel(n->broker, node_slice(q->name), &err);
        topology_set_consumed(n->topology, q, false);
        log_info("no longer consuming", "queue=%s", q->name);
    }
    return say("ok", "no longer consuming from ", name);
}

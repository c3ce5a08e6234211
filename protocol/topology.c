/* SPDX-License-Identifier: Apache-2.0 */
/* The queues of the settings, and the way of tasks to them. */
#include "protocol/topology.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/routes.h"

enum { QUEUES_MAX = 1000 };

struct topology {
    const struct config *config; /* borrowed */
    struct queue_defaults defaults;
    struct queue_def **queues; /* room for QUEUES_MAX */
    size_t count;
    bool any_no_ack;
    struct routes routes;
};

/* ---- defining ---- */

static enum status
define(struct topology *t, struct queue_def *q, struct error *err)
{
    t->any_no_ack |= q->no_ack;
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->queues[i]->name, q->name) == 0) {
            queue_def_free(t->queues[i]); /* as in a dict, the last one */
            t->queues[i] = q;
            return ST_OK;
        }
    if (t->count == QUEUES_MAX) {
        queue_def_free(q);
        return error_set(err, ST_TOOBIG, "task_queues: more than %d queues",
                         QUEUES_MAX);
    }
    t->queues[t->count++] = q;
    return ST_OK;
}

static enum status
missing(const struct topology *t, struct slice name, struct queue_def **out,
        struct error *err)
{
    const struct config *c = t->config;
    const char *type = c->task_create_missing_queue_exchange_type;

    return queue_def_new(name, c->task_create_missing_queue_type,
                         *type == '\0' ? NULL : type, t->defaults.max_priority,
                         out, err);
}

static enum status
default_queue(const struct topology *t, struct queue_def **out,
              struct error *err)
{
    const struct config *c = t->config;
    struct json_object *o = json_object_new_object(), *args = NULL;
    enum status st =
        json_set(o, "name", json_new_str(slice_of(c->task_default_queue)));

    if (st == ST_OK && strcmp(c->task_default_queue_type, "quorum") == 0) {
        args = json_object_new_object();
        st = json_set(args, "x-queue-type", json_new_str(slice_of("quorum")));
        if (st == ST_OK)
            st = json_set(o, "queue_arguments", json_object_get(args));
        json_object_put(args);
    }
    st = st == ST_OK ? queue_def_read(o, "task_default_queue",
                                      (struct slice){0}, &t->defaults, out, err)
                     : error_set(err, st, "no memory for a queue");
    json_object_put(o);
    return st;
}

/* A name alone. */
static enum status
define_name(struct topology *t, struct slice name, const char *setting,
            struct error *err)
{
    struct queue_def *q = NULL;
    enum status st;

    if (name.len > QUEUE_NAME_MAX)
        return error_set(err, ST_INVALID,
                         "%s: a name of %zu bytes, 255 at most", setting,
                         name.len);
    if (strlen(t->config->task_default_queue) == name.len &&
        memcmp(t->config->task_default_queue, name.ptr, name.len) == 0)
        st = default_queue(t, &q, err);
    else
        st = missing(t, name, &q, err);
    if (st != ST_OK)
        return st;
    q->consumed = true;
    return define(t, q, err);
}

/* The next name of a comma list; ptr NULL: there is none. */
static struct slice
next_name(const char **p)
{
    struct slice s;

    *p += strspn(*p, ", ");
    s = (struct slice){*p, strcspn(*p, ", ")};
    *p += s.len;
    return s.len > 0 ? s : (struct slice){0};
}

static enum status
define_one(struct topology *t, struct slice name, struct json_object *o,
           struct error *err)
{
    struct queue_def *q = NULL;
    enum status st =
        queue_def_read(o, "task_queues", name, &t->defaults, &q, err);

    if (st != ST_OK)
        return st;
    q->consumed = true;
    return define(t, q, err);
}

static enum status
define_array(struct topology *t, struct json_object *list, struct error *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < json_object_array_length(list) && st == ST_OK; i++) {
        struct json_object *v = json_object_array_get_idx(list, i);
        struct slice name = json_str(v);

        if (name.len > 0)
            st = define_name(t, name, "task_queues", err);
        else
            st = define_one(t, (struct slice){0}, v, err);
    }
    return st;
}

static enum status
define_object(struct topology *t, struct json_object *map, struct error *err)
{
    struct json_object_iter it;
    struct json_object *none = json_object_new_object();
    enum status st = none == NULL ? ST_NOMEM : ST_OK;

    json_object_object_foreachC(map, it)
    {
        if (st == ST_OK)
            st = define_one(t, slice_of(it.key), it.val == NULL ? none : it.val,
                            err);
    }
    json_object_put(none);
    return st;
}

static enum status
read_queues(struct topology *t, struct error *err)
{
    const char *text = t->config->task_queues;
    struct json_object *doc = NULL;
    struct error why;
    struct slice name;
    enum status st = ST_OK;

    if (*text != '[' && *text != '{') {
        while (st == ST_OK && (name = next_name(&text)).ptr != NULL)
            st = define_name(t, name, "task_queues", err);
        return st;
    }
    st = json_parse(slice_of(text), JSON_DEPTH, &doc, &why);
    if (st != ST_OK)
        return error_set(err, st == ST_PROTO ? ST_INVALID : st,
                         "task_queues: %s", why.text);
    st = *text == '[' ? define_array(t, doc, err) : define_object(t, doc, err);
    json_object_put(doc);
    return st;
}

/* ---- -Q and -X ---- */

static struct queue_def *
find(const struct topology *t, struct slice name)
{
    for (size_t i = 0; i < t->count; i++)
        if (queue_def_is(t->queues[i], name))
            return t->queues[i];
    return NULL;
}

static enum status
select_queues(struct topology *t, struct error *err)
{
    const char *p = t->config->worker_queues;
    struct slice name = next_name(&p);
    enum status st = ST_OK;

    for (size_t i = 0; name.ptr != NULL && i < t->count; i++)
        t->queues[i]->consumed = false;
    for (; name.ptr != NULL && st == ST_OK; name = next_name(&p)) {
        struct queue_def *q = find(t, name);

        if (q != NULL)
            q->consumed = true;
        else if (t->config->task_create_missing_queues)
            st = define_name(t, name, "worker_queues", err);
        else
            st = error_set(err, ST_INVALID,
                           "worker_queues (-Q): queue \"%.*s\" is not defined "
                           "in task_queues, and task_create_missing_queues is "
                           "false",
                           (int)(name.len < 80 ? name.len : 80), name.ptr);
    }
    return st;
}

static enum status
deselect_queues(struct topology *t, struct error *err)
{
    const char *p = t->config->worker_exclude_queues;
    struct slice name;
    size_t left = 0;

    while ((name = next_name(&p)).ptr != NULL) {
        struct queue_def *q = find(t, name);

        if (q != NULL)
            q->consumed = false;
    }
    for (size_t i = 0; i < t->count; i++)
        left += t->queues[i]->consumed;
    if (left == 0)
        return error_set(err, ST_INVALID,
                         "worker_exclude_queues (-X): no queue is left to "
                         "consume from");
    return ST_OK;
}

static enum status
check_routes(const struct topology *t, struct error *err)
{
    for (size_t i = 0; i < t->routes.count; i++) {
        const struct route_item *item = &t->routes.items[i];
        struct slice queue = json_str(item->to);

        if (queue.ptr == NULL)
            queue = json_get_str(item->to, "queue");
        if (queue.len > 0 && !t->config->task_create_missing_queues &&
            find(t, queue) == NULL)
            return error_set(err, ST_INVALID,
                             "task_routes: \"%.*s\": queue \"%.*s\" is not "
                             "defined in task_queues, and "
                             "task_create_missing_queues is false",
                             (int)(item->text.len < 60 ? item->text.len : 60),
                             item->text.ptr,
                             (int)(queue.len < 60 ? queue.len : 60), queue.ptr);
    }
    return ST_OK;
}

/* ---- exported ---- */

static void
set_defaults(struct topology *t)
{
    const struct config *c = t->config;

    t->defaults = (struct queue_defaults){
        .exchange = *c->task_default_exchange != '\0' ? c->task_default_exchange
                                                      : c->task_default_queue,
        .exchange_type = c->task_default_exchange_type,
        .routing_key = *c->task_default_routing_key != '\0'
                           ? c->task_default_routing_key
                           : c->task_default_queue,
        .max_priority = (int)c->task_queue_max_priority,
    };
}

enum status
topology_new(struct topology **out, const struct config *config,
             struct error *err)
{
    struct topology *t = calloc(1, sizeof *t);
    enum status st = ST_OK;

    if (t != NULL)
        t->queues = calloc(QUEUES_MAX, sizeof(*t->queues));
    if (t == NULL || t->queues == NULL) {
        free(t);
        return error_set(err, ST_NOMEM, "no memory for the queues");
    }
    t->config = config;
    set_defaults(t);
    st = read_queues(t, err);
    if (st == ST_OK && t->count == 0)
        st = define_name(t, slice_of(config->task_default_queue),
                         "task_default_queue", err);
    if (st == ST_OK)
        st = select_queues(t, err);
    if (st == ST_OK)
        st = deselect_queues(t, err);
    if (st == ST_OK)
        st = routes_init(&t->routes, config->task_routes, err);
    if (st == ST_OK)
        st = check_routes(t, err);
    if (st == ST_OK)
        *out = t;
    else
        topology_free(t);
    return st;
}

void
topology_free(struct topology *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++)
        queue_def_free(t->queues[i]);
    free(t->queues);
    routes_fini(&t->routes);
    free(t);
}

enum status
topology_check(const struct config *config, struct error *err)
{
    struct topology *t = NULL;
    enum status st = topology_new(&t, config, err);

    topology_free(t);
    return st;
}

size_t
topology_count(const struct topology *t)
{
    return t == NULL ? 0 : t->count;
}

const struct queue_def *
topology_at(const struct topology *t, size_t i)
{
    return t->queues[i];
}

const struct queue_def *
topology_find(const struct topology *t, struct slice name)
{
    return t == NULL ? NULL : find(t, name);
}

bool
topology_has_quorum(const struct topology *t)
{
    for (size_t i = 0; i < topology_count(t); i++)
        if (queue_def_is_quorum(t->queues[i]))
            return true;
    return false;
}

bool
topology_is_no_ack(const struct topology *t, struct slice queue)
{
    const struct queue_def *q = t->any_no_ack ? find(t, queue) : NULL;

    return q != NULL && q->no_ack;
}

const char *
topology_delay_type(const struct topology *t)
{
    return t->config->broker_native_delayed_delivery_queue_type;
}

static bool
binds(const struct binding_def *b, struct slice exchange)
{
    return strlen(b->exchange.name) == exchange.len &&
           memcmp(b->exchange.name, exchange.ptr, exchange.len) == 0;
}

const struct exchange_def *
topology_exchange(const struct topology *t, struct slice name)
{
    for (size_t i = 0; i < topology_count(t); i++)
        for (size_t k = 0; k < t->queues[i]->binding_count; k++)
            if (binds(&t->queues[i]->bindings[k], name))
                return &t->queues[i]->bindings[k].exchange;
    return NULL;
}

enum status
topology_each_bound(const struct topology *t, struct slice exchange,
                    topology_fn *fn, void *arg)
{
    enum status st = ST_NOTFOUND;
    struct queue_def *q = NULL;

    for (size_t i = 0; i < topology_count(t); i++)
        for (size_t k = 0; k < t->queues[i]->binding_count; k++)
            if (binds(&t->queues[i]->bindings[k], exchange)) {
                fn(arg, t->queues[i], &t->queues[i]->bindings[k]);
                st = ST_OK;
            }
    if (st == ST_OK || t == NULL || !t->config->task_create_missing_queues ||
        *t->config->task_create_missing_queue_exchange_type == '\0')
        return st;
    st = missing(t, exchange, &q, NULL);
    if (st == ST_OK)
        fn(arg, q, &q->bindings[0]);
    queue_def_free(q);
    return st;
}

enum status
topology_missing(const struct topology *t, struct slice name,
                 struct queue_def **out, struct error *err)
{
    return t != NULL ? missing(t, name, out, err)
                     : queue_def_new(name, "classic", NULL, 0, out, err);
}

enum status
topology_add(struct topology *t, struct queue_def *q)
{
    return define(t, q, NULL);
}

void
topology_set_consumed(struct topology *t, const struct queue_def *q,
                      bool consumed)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->queues[i] == q)
            t->queues[i]->consumed = consumed;
}

struct queue_defaults
topology_defaults(const struct topology *t)
{
    return t->defaults;
}

/* ---- routing ---- */

/* What the sender did not say. */
static void
merge(struct task_route *r, struct json_object *to)
{
    struct slice queue = json_str(to);

    if (queue.ptr == NULL)
        queue = json_get_str(to, "queue");
    if (r->queue.len == 0)
        r->queue = queue;
    if (r->exchange.len == 0)
        r->exchange = json_get_str(to, "exchange");
    if (r->exchange_type.len == 0)
        r->exchange_type = json_get_str(to, "exchange_type");
    if (r->routing_key.len == 0)
        r->routing_key = json_get_str(to, "routing_key");
    if (r->priority < 0)
        r->priority = (int)json_get_int(to, "priority", -1);
    if (r->delivery_mode == 0)
        r->delivery_mode = (int)json_get_int(to, "delivery_mode", 0);
}

static bool
is(struct slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

/* Where messages for q, or for a queue that is made when it is missing, go
 * unless the sender says so. */
static void
address(const struct topology *t, const struct queue_def *q,
        struct task_route *r)
{
    const struct exchange_def *e = q != NULL ? &q->exchange : NULL;
    const char *type = t->config->task_create_missing_queue_exchange_type;

    if (q != NULL) {
        type = e->type;
        r->queue = slice_of(q->name);
        if (r->delivery_mode == 0)
            r->delivery_mode = e->delivery_mode;
    } else if (*type == '\0' || r->queue.len == 0) {
        type = "direct";
    }
    if (r->exchange_type.len == 0)
        r->exchange_type = slice_of(type);
    if ((r->exchange.len == 0 || r->routing_key.len == 0) &&
        is(r->exchange_type, "direct")) {
        r->exchange = slice_of("");
        r->routing_key = r->queue;
    } else if (r->exchange.len == 0) {
        r->exchange = q != NULL ? slice_of(e->name) : r->queue;
        if (r->routing_key.len == 0 && q != NULL)
            r->routing_key = slice_of(q->routing_key);
        else if (r->routing_key.len == 0)
            r->routing_key = r->queue;
    }
}

/* Without settings. */
static enum status
plain_route(struct task_route *r, struct error *err)
{
    if (r->queue.len == 0 && (r->exchange.len == 0 || r->routing_key.len == 0))
        r->queue = slice_of("celery");
    if (r->exchange.len == 0 || r->routing_key.len == 0) {
        r->exchange = slice_of("");
        r->routing_key = r->queue;
    }
    if (r->delivery_mode == 0)
        r->delivery_mode = 2;
    return r->routing_key.len <= QUEUE_NAME_MAX
               ? ST_OK
               : error_set(err, ST_INVALID, "a queue name of %zu bytes",
                           r->routing_key.len);
}

enum status
topology_route(const struct topology *t, struct slice task,
               struct task_route *r, struct error *err)
{
    const struct config *c;
    const struct queue_def *q = NULL;
    struct json_object *to;

    if (t == NULL)
        return plain_route(r, err);
    c = t->config;
    to = routes_find(&t->routes, task);
    if (json_object_is_type(to, json_type_object) &&
        json_object_object_length(to) == 0)
        to = NULL;
    merge(r, to);
    if (r->queue.len == 0 && (r->exchange.len == 0 || to == NULL))
        r->queue = slice_of(c->task_default_queue);
    if (r->queue.len > 0) {
        q = find(t, r->queue);
        if (q == NULL && !c->task_create_missing_queues)
            return error_set(
                err, ST_NOTFOUND, "Queue '%.*s' missing from task_queues",
                (int)(r->queue.len < 80 ? r->queue.len : 80), r->queue.ptr);
    }
    if (r->queue.len > QUEUE_NAME_MAX)
        return error_set(err, ST_INVALID, "a queue name of %zu bytes",
                         r->queue.len);
    address(t, q, r);
    if (r->exchange.len == 0 && r->routing_key.len == 0)
        return error_set(err, ST_INVALID, "an exchange without a routing key");
    if (r->delivery_mode == 0)
        r->delivery_mode = (int)c->task_default_delivery_mode;
    if (r->priority < 0)
        r->priority = (int)c->task_default_priority;
    return ST_OK;
}

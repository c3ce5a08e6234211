/* SPDX-License-Identifier: Apache-2.0 */
/* The message that takes a task's place: its retry, or what replaces it
 * (celery-wire.md 6.10, 6.11). */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "protocol/signature.h"
#include "worker/fields.h"
#include "worker/node.h"

static struct slice
text_of(const char *s)
{
    struct slice r = {s, s ? strlen(s) : 0};

    return r;
}

/* Bytes that can be sent as they came: not compressed, protocol 2. */
static struct slice
raw_body(const struct task_message *tm)
{
    struct slice body = {NULL, 0};

    if (tm->protocol == 2 && !json_get(tm->msg->headers, "compression")) {
        body.ptr = tm->msg->body;
        body.len = tm->msg->body_len;
    }
    return body;
}

/* What waited in RabbitMQ came out of another exchange than it was sent to,
 * with a longer key (celery-wire.md 4.5). */
enum { DELAY_PREFIX = 56 };

static bool
has_waited(const struct task_message *tm)
{
    const char *e = tm->msg->exchange, *key = tm->msg->routing_key;

    return e && key && !strncmp(e, "celery_delayed_", 15) &&
           strspn(key, "01.") >= DELAY_PREFIX;
}

/* Where it was sent to.  From the anonymous exchange it goes to the queue it
 * came from: on Redis the routing key may name a priority's list. */
static void
set_address(const struct request *rq, struct task_new *t)
{
    const struct message *m = rq->tm.msg;
    const struct queue_def *q =
        topology_find(rq->n->topology, text_of(rq->queue_name));

    t->exchange = text_of(m->exchange);
    t->routing_key = text_of(m->routing_key);
    t->delivery_mode = m->delivery_mode == 1 ? 1 : 2;
    if (has_waited(&rq->tm)) {
        t->exchange = text_of(q ? q->bindings[0].exchange.name : "");
        t->routing_key = text_of(m->routing_key + DELAY_PREFIX);
    }
    if (!t->exchange.len)
        t->routing_key = text_of(rq->queue_name);
}

enum status
follow_retry(struct request *rq, struct error *err)
{
    const struct task_message *tm = &rq->tm;
    double countdown = fmin(rq->out.countdown, TASK_SECONDS_MAX);
    int64_t now_us = clock_unix_us();
    struct message *m = NULL;
    enum status st;
    struct task_new t = {
        .id = tm->id,
        .name = tm->name,
        .args = tm->args,
        .kwargs = tm->kwargs,
        .body = raw_body(tm),
        .callbacks = tm->callbacks,
        .errbacks = tm->errbacks,
        .chain = tm->chain,
        .chord = tm->chord,
        .root_id = tm->root_id,
        .parent_id = tm->parent_id.ptr ? tm->parent_id : tm->id,
        .group = tm->group,
        .group_index = tm->group_index,
        .shadow = tm->shadow,
        .reply_to = tm->reply_to,
        .origin = tm->origin,
        .retries = tm->retries + 1,
        .replaced_task_nesting = tm->replaced_task_nesting,
        .soft_limit = tm->soft_limit,
        .hard_limit = tm->hard_limit,
        .has_eta = countdown > 0,
        .now_us = now_us,
        .eta_us = now_us + (int64_t)(countdown * 1e6),
        .has_expires = tm->has_expires,
        .expires_us = tm->expires_us,
        .ignore_result = tm->ignore_result,
        .priority = tm->msg->priority,
        .compression = text_of(rq->n->config->task_compression),
        .argsrepr = tm->argsrepr,
        .kwargsrepr = tm->kwargsrepr,
        .stamps = tm->stamps,
        .stamped_headers = tm->stamped_headers,
    };

    set_address(rq, &t);
    t.headers = request_custom_headers(tm);
    st = t.headers ? task_encode(&t, &m, err)
                   : error_set(err, ST_NOMEM, "out of memory");
    json_object_put(t.headers);
    if (st == ST_OK)
        st = node_publish(rq->n, rq, &m);
    else
        return st;
    return st == ST_OK ? st
                       : error_set(err, st, "not sent: %s", status_text(st));
}

/* ---- replace ---- */

/* options[name] = both lists in one, as Python's extend does. */
static void
add_links(struct json_object *options, const char *name,
          struct json_object *more)
{
    struct json_object *list = json_object_get(json_get(options, name));
    size_t n = more ? json_object_array_length(more) : 0;

    if (!n) {
        json_object_put(list);
        return;
    }
    if (json_object_get_type(list) != json_type_array) {
        struct json_object *one = list;

        list = json_object_new_array();
        if (one && list && json_append(list, one) != ST_OK)
            list = NULL;
    }
    for (size_t i = 0; list && i < n; i++)
        if (json_append(list, json_object_get(
                                  json_object_array_get_idx(more, i))) != ST_OK)
            break;
    field_take(options, name, list);
}

static struct json_object *
options_of(struct json_object *sig)
{
    if (!json_get(sig, "options"))
        field_take(sig, "options", json_object_new_object());
    return json_get(sig, "options");
}

/* A group becomes a chord whose body gives the list itself. */
static struct json_object *
group_to_chord(struct json_object *group)
{
    struct json_object *body, *kwargs = json_object_new_object();
    struct json_object *index = json_object_new_object(), *sig;

    field_int(index, "index", 0);
    body = signature_new(node_slice("celery.accumulate"), NULL, index, false);
    json_object_put(index);
    sig = signature_new(node_slice("celery.chord"), NULL, NULL, false);
    if (!body || !kwargs || !sig) {
        json_object_put(body);
        json_object_put(kwargs);
        json_object_put(sig);
        return NULL;
    }
    field_ref(kwargs, "header", json_get(json_get(group, "kwargs"), "tasks"));
    field_take(kwargs, "body", body);
    field_take(sig, "kwargs", kwargs);
    field_text(sig, "subtask_type", "chord");
    return sig;
}

/* The task's place: its id, its group and chord, its callbacks. */
static void
give_place(const struct task_message *tm, struct json_object *options)
{
    field_str(options, "task_id", tm->id);
    field_str(options, "root_id", tm->root_id.ptr ? tm->root_id : tm->id);
    field_str(options, "parent_id", tm->id);
    field_str(options, "group_id", tm->group);
    if (tm->group_index >= 0)
        field_int(options, "group_index", tm->group_index);
    field_ref(options, "chord", tm->chord);
    field_int(options, "replaced_task_nesting", tm->replaced_task_nesting + 1);
    add_links(options, "link", tm->callbacks);
    add_links(options, "link_error", tm->errbacks);
    if (tm->ignore_result >= 0)
        field_bool(options, "ignore_result", tm->ignore_result > 0);
}

enum status
follow_replace(struct request *rq, struct error *err)
{
    struct json_object *sig = json_object_get(rq->out.sig), *where;
    struct json_object *chord;
    enum status st = ST_NOMEM;

    if (signature_type(sig) == SIG_GROUP) {
        chord = group_to_chord(sig);
        json_object_put(sig);
        sig = chord;
    }
    where = sig;
    if (sig && signature_type(sig) == SIG_CHORD)
        where = json_get(json_get(sig, "kwargs"), "body");
    if (where && options_of(where)) {
        give_place(&rq->tm, options_of(where));
        st = follow_apply(rq, sig, NULL, rq->tm.chain, err);
    } else {
        st = error_set(err, ST_NOMEM, "no memory, or a chord without a body");
    }
    json_object_put(sig);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What task code sees as its request. */
#include <string.h>

#include "worker/fields.h"
#include "worker/node.h"
#include "worker/value.h"

/* Headers with a meaning of their own; all others are the sender's. */
static const char *const known[] = {
    "lang",          "task",        "id",
    "shadow",        "eta",         "expires",
    "group",         "group_index", "retries",
    "timelimit",     "root_id",     "parent_id",
    "argsrepr",      "kwargsrepr",  "origin",
    "ignore_result", "stamps",      "replaced_task_nesting",
    "compression",   "redelivered", "stamped_headers",
};

static bool
is_known(const char *key)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(known[i], key))
            return true;
    /* What RabbitMQ adds when it dead-letters would look like a cycle. */
    return !strcmp(key, "x-death") || !strncmp(key, "x-first-death-", 14) ||
           !strncmp(key, "x-last-death-", 13);
}

struct json_object *
request_custom_headers(const struct task_message *tm)
{
    struct json_object *all = tm->msg->headers, *o = json_object_new_object();

    if (!o || !all || tm->protocol != 2)
        return o;
    json_object_object_foreach(all, key, value)
    {
        if (!is_known(key))
            field_ref(o, key, value);
    }
    return o;
}

static struct json_object *
delivery_info(const struct task_message *tm)
{
    struct json_object *o = json_object_new_object();
    const struct message *m = tm->msg;

    field_text(o, "exchange", m->exchange ? m->exchange : "");
    field_text(o, "routing_key", m->routing_key);
    field_int(o, "priority", m->priority < 0 ? 0 : m->priority);
    field_bool(o, "redelivered", tm->redelivered);
    return o;
}

static struct json_object *
properties(const struct message *m)
{
    struct json_object *o = json_object_new_object();

    field_text(o, "correlation_id", m->correlation_id);
    field_text(o, "reply_to", m->reply_to);
    field_int(o, "delivery_mode", m->delivery_mode);
    field_int(o, "priority", m->priority < 0 ? 0 : m->priority);
    if (m->expiration)
        field_text(o, "expiration", m->expiration);
    return o;
}

static struct json_object *
time_limits(const struct task_message *tm)
{
    struct json_object *a = json_object_new_array();
    double limits[] = {tm->hard_limit, tm->soft_limit};

    for (int i = 0; a && i < 2; i++) {
        struct json_object *v = NULL;

        if (limits[i] > 0)
            v = json_new_double(limits[i]);
        if (value_append(a, v) != ST_OK) {
            json_object_put(a);
            return NULL;
        }
    }
    return a;
}

static void
add_canvas(struct json_object *o, const struct task_message *tm)
{
    field_ref(o, "callbacks", tm->callbacks);
    field_ref(o, "errbacks", tm->errbacks);
    field_ref(o, "chain", tm->chain);
    field_ref(o, "chord", tm->chord);
    field_str(o, "group", tm->group);
    if (tm->group_index >= 0)
        field_int(o, "group_index", tm->group_index);
    field_int(o, "replaced_task_nesting", tm->replaced_task_nesting);
    field_ref(o, "stamps", tm->stamps);
    field_ref(o, "stamped_headers", tm->stamped_headers);
}

struct json_object *
request_fields(const struct request *rq)
{
    const struct task_message *tm = &rq->tm;
    struct json_object *o = json_object_new_object();

    field_str(o, "id", tm->id);
    field_str(o, "task", tm->name);
    field_str(o, "root_id", tm->root_id.ptr ? tm->root_id : tm->id);
    field_str(o, "parent_id", tm->parent_id);
    field_int(o, "retries", tm->retries);
    field_str(o, "eta", tm->eta);
    field_str(o, "expires", tm->expires);
    field_take(o, "timelimit", time_limits(tm));
    field_text(o, "hostname", rq->n->name);
    field_take(o, "delivery_info", delivery_info(tm));
    field_str(o, "reply_to", tm->reply_to);
    field_str(o, "correlation_id", tm->correlation_id);
    field_str(o, "shadow", tm->shadow);
    field_str(o, "origin", tm->origin);
    field_str(o, "argsrepr", tm->argsrepr);
    field_str(o, "kwargsrepr", tm->kwargsrepr);
    field_bool(o, "ignore_result", rq->ignore_result);
    field_bool(o, "is_eager", false);
    add_canvas(o, tm);
    field_take(o, "headers", request_custom_headers(tm));
    field_take(o, "properties", properties(tm->msg));
    return o;
}

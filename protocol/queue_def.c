/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of queues: a struct that points into the whole object. */
#include "protocol/queue_def.h"

#include <stdlib.h>
#include <string.h>

/* ---- the struct ---- */

static struct exchange_def
exchange_of(struct json_object *e)
{
    return (struct exchange_def){
        .name = json_get_str(e, "name").ptr,
        .type = json_get_str(e, "type").ptr,
        .durable = json_get_bool(e, "durable", true),
        .auto_delete = json_get_bool(e, "auto_delete", false),
        .no_declare = json_get_bool(e, "no_declare", false),
        .delivery_mode = (int)json_get_int(e, "delivery_mode", 0),
        .arguments = json_get(e, "arguments"),
    };
}

static enum status
add_number(struct json_object *args, const char *name, struct json_object *v,
           double factor)
{
    if (v == NULL)
        return ST_OK;
    return json_set(
        args, name,
        json_object_new_int64((int64_t)(json_object_get_double(v) * factor)));
}

/* For queue.declare, as kombu's to_rabbitmq_queue_arguments() has it. */
static enum status
declared_arguments(struct json_object *doc, struct json_object **out)
{
    struct json_object *given = json_get(doc, "queue_arguments"), *args;
    enum status st;

    args = given == NULL ? json_object_new_object() : json_copy(given);
    if (args == NULL)
        return ST_NOMEM;
    st = add_number(args, "x-expires", json_get(doc, "expires"), 1000);
    if (st == ST_OK)
        st = add_number(args, "x-message-ttl", json_get(doc, "message_ttl"),
                        1000);
    if (st == ST_OK)
        st = add_number(args, "x-max-length", json_get(doc, "max_length"), 1);
    if (st == ST_OK)
        st = add_number(args, "x-max-length-bytes",
                        json_get(doc, "max_length_bytes"), 1);
    if (st == ST_OK)
        st = add_number(args, "x-max-priority", json_get(doc, "max_priority"),
                        1);
    if (st == ST_OK)
        *out = args;
    else
        json_object_put(args);
    return st;
}

static void
fill_bindings(struct queue_def *q)
{
    struct json_object *list = json_get(q->doc, "bindings");

    q->bindings[0] = (struct binding_def){
        .exchange = q->exchange,
        .routing_key = q->routing_key,
        .arguments = json_get(q->doc, "binding_arguments")};
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *b = json_object_array_get_idx(list, i);

        q->bindings[i] = (struct binding_def){
            .exchange = exchange_of(json_get(b, "exchange")),
            .routing_key = json_get_str(b, "routing_key").ptr,
            .arguments = json_get(b, "arguments")};
    }
}

static void
fill(struct queue_def *q)
{
    struct json_object *doc = q->doc;

    q->name = json_get_str(doc, "name").ptr;
    q->alias = json_get_str(doc, "alias").ptr;
    q->exchange = exchange_of(q->own);
    q->routing_key = json_get_str(doc, "routing_key").ptr;
    q->consumer_arguments = json_get(doc, "consumer_arguments");
    q->durable = json_get_bool(doc, "durable", true);
    q->exclusive = json_get_bool(doc, "exclusive", false);
    q->auto_delete = json_get_bool(doc, "auto_delete", false);
    q->no_ack = json_get_bool(doc, "no_ack", false);
    q->no_declare = json_get_bool(doc, "no_declare", false);
    q->broadcast = json_get(doc, "queue") != NULL;
    fill_bindings(q);
}

/* Consumes doc and own, the exchange. */
static enum status
queue_of(struct json_object *doc, struct json_object *own,
         struct queue_def **out)
{
    struct queue_def *q = calloc(1, sizeof *q);
    size_t n = json_object_array_length(json_get(doc, "bindings"));
    enum status st = ST_NOMEM;

    if (q == NULL) {
        json_object_put(doc);
        json_object_put(own);
        return ST_NOMEM;
    }
    q->doc = doc;
    q->own = own;
    q->binding_count = n > 0 ? n : 1;
    q->bindings = calloc(q->binding_count, sizeof *q->bindings);
    if (q->bindings != NULL)
        st = n > 0 ? json_set_null(doc, "exchange") : ST_OK;
    if (st == ST_OK)
        st = declared_arguments(doc, &q->arguments);
    if (st != ST_OK) {
        queue_def_free(q);
        return st;
    }
    fill(q);
    *out = q;
    return ST_OK;
}

/* ---- exported ---- */

enum status
queue_def_read(struct json_object *from, const char *setting, struct slice name,
               const struct queue_defaults *d, struct queue_def **out,
               struct error *err)
{
    struct json_object *doc = NULL;
    enum status st = queue_def_doc(from, setting, name, d, &doc, err);

    if (st == ST_OK &&
        queue_of(doc, json_object_get(json_get(doc, "exchange")), out) != ST_OK)
        st = error_set(err, ST_NOMEM, "%s: out of memory", setting);
    return st;
}

enum status
queue_def_new(struct slice name, const char *queue_type,
              const char *exchange_type, int max_priority,
              struct queue_def **out, struct error *err)
{
    const struct queue_defaults d = {"", "direct", "", max_priority};
    struct json_object *o = json_object_new_object(), *args = NULL;
    enum status st = json_set(o, "exchange", json_new_str(name));

    if (st == ST_OK && exchange_type != NULL)
        st =
            json_set(o, "exchange_type", json_new_str(slice_of(exchange_type)));
    if (st == ST_OK && strcmp(queue_type, "quorum") == 0) {
        args = json_object_new_object();
        st = json_set(args, "x-queue-type", json_new_str(slice_of(queue_type)));
        if (st == ST_OK)
            st = json_set(o, "queue_arguments", json_object_get(args));
        json_object_put(args);
    }
    if (st != ST_OK)
        st = error_set(err, st, "no memory for a queue");
    else
        st = queue_def_read(o, "queue", name, &d, out, err);
    json_object_put(o);
    return st;
}

struct queue_def *
queue_def_copy(const struct queue_def *q)
{
    struct queue_def *copy = NULL;

    if (queue_of(json_object_get(q->doc), json_object_get(q->own), &copy) !=
        ST_OK)
        return NULL;
    copy->consumed = q->consumed;
    return copy;
}

void
queue_def_free(struct queue_def *q)
{
    if (q == NULL)
        return;
    free(q->bindings);
    json_object_put(q->arguments);
    json_object_put(q->own);
    json_object_put(q->doc);
    free(q);
}

bool
queue_def_is(const struct queue_def *q, struct slice name)
{
    return (strlen(q->name) == name.len &&
            memcmp(q->name, name.ptr, name.len) == 0) ||
           (q->alias != NULL && strlen(q->alias) == name.len &&
            memcmp(q->alias, name.ptr, name.len) == 0);
}

bool
queue_def_is_quorum(const struct queue_def *q)
{
    struct slice type = json_get_str(q->arguments, "x-queue-type");

    return type.ptr != NULL && strcmp(type.ptr, "quorum") == 0;
}

bool
exchange_def_is(const struct exchange_def *e, const char *type)
{
    return strcmp(e->type, type) == 0;
}

bool
exchange_def_is_ours(const struct exchange_def *e)
{
    return !e->no_declare && *e->name != '\0' &&
           strncmp(e->name, "amq.", 4) != 0;
}

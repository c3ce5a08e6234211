#ifndef PROTOCOL_QUEUE_DEF_H
#define PROTOCOL_QUEUE_DEF_H

#include "base/json.h"

/* What a queue is: kombu's Queue, with its exchange and bindings
 * (celery-wire.md 4.2).  All strings and objects are borrowed from doc. */
enum { QUEUE_NAME_MAX = 255, QUEUE_BINDINGS_MAX = 256 };

struct exchange_def {
    const char *name; /* "": the anonymous one, never declared */
    const char *type; /* direct, topic, fanout, headers, or a plugin's */
    bool durable, auto_delete, no_declare;
    int delivery_mode;             /* 0: the sender's */
    struct json_object *arguments; /* NULL: none */
};

struct binding_def {
    struct exchange_def exchange;
    const char *routing_key;
    struct json_object *arguments; /* NULL: none */
};

struct queue_def {
    struct json_object *doc; /* kombu's Queue.as_dict(recurse=True) */
    struct json_object *own; /* the whole of exchange */
    const char *name;
    const char *alias; /* what routes call it, too; NULL: nothing */
    /* Where messages for it are sent to. */
    struct exchange_def exchange;
    const char *routing_key;
    /* What it is bound by: its bindings or, if it has none, exchange and
     * routing_key.  (kombu, too, does not bind to both.) */
    struct binding_def *bindings;
    size_t binding_count;
    struct json_object *arguments; /* owned: those of queue.declare, with
                                      x-message-ttl and its like; or NULL */
    struct json_object *consumer_arguments; /* NULL: none */
    bool durable, exclusive, auto_delete, no_ack, no_declare;
    bool broadcast; /* kombu's Broadcast: declared by its consumer alone */
    bool consumed;  /* by this worker, when it starts */
};

/* What definitions leave out. */
struct queue_defaults {
    const char *exchange, *exchange_type, *routing_key;
    int max_priority; /* x-max-priority where none is given; 0: none */
};

/* Reads a definition: an object with kombu's field names.  setting names it in
 * errors.  name: the key of Celery's dict form, whose routing key defaults to
 * the name; ptr NULL: the member "name" of the list form, whose routing key
 * defaults to task_default_routing_key.  ST_INVALID: err names the field and
 * what is wrong. */
enum status queue_def_read(struct json_object *from, const char *setting,
                           struct slice name, const struct queue_defaults *d,
                           struct queue_def **out, struct error *err);

/* queue_def_doc.c: the first half of it, doc; the caller's. */
enum status queue_def_doc(struct json_object *from, const char *setting,
                          struct slice name, const struct queue_defaults *d,
                          struct json_object **out, struct error *err);

/* The queue that is made of a name alone: an exchange and a routing key of the
 * same name.  queue_type: "quorum", or "classic", which is not said.
 * exchange_type NULL: direct. */
enum status queue_def_new(struct slice name, const char *queue_type,
                          const char *exchange_type, int max_priority,
                          struct queue_def **out, struct error *err);

/* Shares doc: to be called on doc's own thread.  NULL without memory. */
struct queue_def *queue_def_copy(const struct queue_def *q);
void queue_def_free(struct queue_def *q);

bool queue_def_is(const struct queue_def *q, struct slice name);
/* x-queue-type is quorum. */
bool queue_def_is_quorum(const struct queue_def *q);
bool exchange_def_is(const struct exchange_def *e, const char *type);
/* False: it is the server's own, or never to be declared. */
bool exchange_def_is_ours(const struct exchange_def *e);

#endif

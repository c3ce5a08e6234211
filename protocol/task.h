#ifndef PROTOCOL_TASK_H
#define PROTOCOL_TASK_H

#include "protocol/message.h"

/* A task message: what a struct message means, protocols 1 and 2
 * (celery-wire.md 1.2 to 1.6). */
enum {
    TASK_ID_MAX = 155, /* the database backend's column */
    TASK_NAME_MAX = 255,
    TASK_REPR_MAX = 1024,
    TASK_BODY_MAX = 64 << 20 /* bytes of a body, unpacked */
};

struct task_message {
    struct message *msg; /* owned: every slice below points into it, or into
                            the JSON objects below */
    int protocol;        /* 1 or 2 */

    struct slice id, name, root_id, parent_id, group; /* ptr NULL: absent */
    struct slice shadow, origin, argsrepr, kwargsrepr;
    struct slice reply_to, correlation_id;
    int64_t retries;
    int64_t group_index;           /* -1: absent */
    double soft_limit, hard_limit; /* s; 0: the task's default */
    bool has_eta, has_expires;
    int64_t eta_us, expires_us; /* unix time in microseconds */
    struct slice eta, expires;  /* as written, for forwarding */
    int ignore_result;          /* -1: absent, 0, 1 */
    int64_t replaced_task_nesting;
    bool redelivered;

    /* args, kwargs and embed keep kombu's typed values in their tagged form:
     * protocol/typed_json.h. */
    struct json_object *args;   /* owned; always an array */
    struct json_object *kwargs; /* owned; always an object */
    /* embed; owned; NULL: none.  Signatures are kept as JSON, unknown keys and
     * all: protocol/signature.h reads them. */
    struct json_object *callbacks, *errbacks, *chain; /* arrays, not empty */
    struct json_object *chord;                        /* a signature */
    struct json_object *stamps, *stamped_headers;     /* owned; NULL: none */
};

/* What a receiver does with a message that is no task (section 1.8, 1.9). */
enum task_fault {
    TASK_FAULT_NONE,
    TASK_FAULT_UNKNOWN,   /* neither protocol: reject */
    TASK_FAULT_INVALID,   /* content type, eta, expires, shape: reject */
    TASK_FAULT_UNDECODED, /* bytes that do not decode: ack, as Python does */
};

/* Consumes *m on success and on failure alike (out owns it on ST_OK).
 * accept: a comma list as the setting accept_content ("json"); of what it names
 * only JSON and msgpack are ever decoded, and a message of msgpack is one of
 * JSON from then on.  On failure *fault says which kind and err why;
 * the id, if one could be read, is copied into id_out (TASK_ID_MAX + 1 bytes;
 * may be NULL).  ST_NOMEM comes with TASK_FAULT_NONE: the message may be good.
 *
 * A worker that does not know the task records NotRegistered even when the body
 * is bad: look at the header "task" before this, if that matters.
 *
 * A version 1 message, and the hybrid of both, has the members of its body
 * moved into msg->headers: forwarding it as version 2 loses nothing. */
enum status task_decode(struct message **m, const char *accept,
                        struct task_message *out, enum task_fault *fault,
                        char *id_out, struct error *err);
void task_fini(struct task_message *t);

/* A new task to send.  Slices and objects are borrowed for the call. */
struct task_new {
    struct slice id, name;             /* required */
    struct json_object *args, *kwargs; /* NULL: [] and {} */
    struct slice body;                 /* ptr not NULL: these serialised JSON
                                          bytes instead of args ... chord */
    struct json_object *callbacks, *errbacks, *chain, *chord; /* NULL: null */
    struct slice root_id, parent_id; /* root absent: the id */
    struct slice group, shadow, reply_to, origin;
    int64_t group_index; /* -1: null */
    int64_t retries, replaced_task_nesting;
    double soft_limit, hard_limit; /* s; 0: null */
    bool has_eta, has_expires;
    int64_t eta_us, expires_us;
    int64_t now_us;    /* for the property expiration; 0: leave that out */
    int ignore_result; /* -1: false */
    int priority;      /* -1: 0 */
    int delivery_mode; /* 0: 2 */
    struct slice exchange, routing_key; /* "" and the queue, usually */
    struct slice compression;           /* "": none; a name of section 2.4 */
    struct slice argsrepr, kwargsrepr;  /* ptr NULL: made from args, kwargs */
    struct json_object *headers;        /* custom headers, merged flat */
    struct json_object *stamps, *stamped_headers;
};

#define TASK_NEW_INIT                                          \
    {                                                          \
        .group_index = -1, .ignore_result = -1, .priority = -1 \
    }

/* Builds the protocol 2 message, with a fresh delivery tag. */
enum status task_encode(const struct task_new *t, struct message **out,
                        struct error *err);

#endif

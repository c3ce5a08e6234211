#ifndef PROTOCOL_SIGNATURE_H
#define PROTOCOL_SIGNATURE_H

#include "protocol/task.h"

/* Signatures (canvas dicts) stay JSON objects, so that nothing of what Python
 * put in is lost; these functions read them (celery-wire.md 6.1). */
enum signature_type {
    SIG_TASK,
    SIG_CHAIN,
    SIG_GROUP,
    SIG_CHORD,
    SIG_XMAP,
    SIG_XSTARMAP,
    SIG_CHUNKS,
};

/* ST_PROTO, naming what is wrong, if sig is no signature: no object, no task
 * name, args no array, kwargs or options no object. */
enum status signature_check(struct json_object *sig, struct error *err);

enum signature_type signature_type(struct json_object *sig);
struct slice signature_task(struct json_object *sig); /* borrowed */
bool signature_immutable(struct json_object *sig);
struct json_object *signature_option(struct json_object *sig, const char *name);

/* A new plain signature; args and kwargs are copied, NULL: empty. */
struct json_object *signature_new(struct slice task, struct json_object *args,
                                  struct json_object *kwargs, bool immutable);

/* What the sender adds when it applies a signature (6.2). */
struct signature_context {
    struct json_object *partial; /* array put before the args; NULL: none */
    struct slice root_id, parent_id, reply_to, origin;
    struct json_object *chain; /* what is left of a chain, reversed; or NULL */
    const char *(*route)(void *arg, struct slice task); /* queue; not NULL */
    void *route_arg;
    int64_t now_us;
};

/* A message to publish, made from a signature. */
struct signature_message {
    struct message *msg;
    char id[TASK_ID_MAX + 1];
};

/* Turns a signature into the messages to publish now, in order: a task gives
 * one; a chain its first task (the rest embedded, nested chains spliced, a
 * group followed by a step made into a chord); a group one per member.  A chord
 * gives its members and, for the caller to act on before it sends the last one,
 * *chord_size (0 otherwise) and chord_group.  children: the result tuples of
 * what was sent (5.5), owned by the caller.  The messages are the caller's. */
struct signature_messages {
    struct signature_message *items;
    size_t count;
    int64_t chord_size;
    char chord_group[TASK_ID_MAX + 1];
    struct json_object *children; /* one result tuple */
};

enum status signature_apply(struct json_object *sig,
                            const struct signature_context *ctx,
                            struct signature_messages *out, struct error *err);
void signature_messages_fini(struct signature_messages *m);

#endif

#ifndef PROTOCOL_SIGNATURE_H
#define PROTOCOL_SIGNATURE_H

#include "protocol/task.h"
#include "protocol/topology.h"

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
    struct slice root_id, parent_id, reply_to, origin; /* ptr NULL: none */
    struct json_object *chain; /* what is left of a chain, reversed; or NULL */
    const struct topology *topology; /* where tasks go; NULL: to "celery" */
    int64_t now_us;
};

/* A message to publish, made from a signature. */
struct signature_message {
    struct message *msg;
    char id[TASK_ID_MAX + 1];
};

/* A chord among what is sent.  With a result backend that counts members its
 * size must be set (result_ops.chord_size) before the message items[last], its
 * last member, is published, and if it is nested results be saved; with any
 * other, celery.chord_unlock is to wait for results and then to send body. */
struct signature_chord {
    char group[TASK_ID_MAX + 1];
    int64_t size;
    size_t last;
    struct json_object *body;    /* owned; a signature */
    struct json_object *results; /* owned: the result tuple of the header */
    bool nested;                 /* a member's result is that of a group */
};

/* Turns a signature into the messages to publish now, in order: a task gives
 * one; a chain its first task (the rest embedded, nested chains spliced, a
 * group followed by a step made into a chord); a group one per member, nested
 * groups flattened; a chord its members, and its body alone when it has none;
 * xmap and xstarmap one, chunks one per chunk. */
struct signature_messages {
    struct signature_message *items;
    size_t count;
    struct signature_chord *chords; /* by rising last */
    size_t chord_count;
    /* The result tuple of what was sent (5.5), for the sender's children: of a
     * chain its first task, of a chord its members. */
    struct json_object *children;
    /* The id whose result is that of the whole: of a chain its last task's, of
     * a chord its body's, of a group its own. */
    char result_id[TASK_ID_MAX + 1];
};

/* sig is only read.  On ST_OK out is the caller's, for
 * signature_messages_fini(). */
enum status signature_apply(struct json_object *sig,
                            const struct signature_context *ctx,
                            struct signature_messages *out, struct error *err);
void signature_messages_fini(struct signature_messages *m);

#endif

#ifndef PROTOCOL_CANVAS_H
#define PROTOCOL_CANVAS_H

#include "protocol/signature.h"

/* What the canvas_*.c files share; signature_apply() is the door.  All of them
 * work on one private copy of the signature, which they change as they go. */
enum {
    CANVAS_MESSAGES_MAX = 100000,
    CANVAS_BYTES_MAX = 256 << 20, /* of all bodies: a small canvas may say
                                     "these thousand, each with this chain" */
    CANVAS_LINKS_MAX = 10000000   /* comparisons of callbacks: "these errbacks
                                     for each of these steps" */
};

struct canvas {
    const struct signature_context *ctx;
    struct signature_messages *out;
    struct error *err;
    size_t item_cap, chord_cap, bytes, links;
};

/* What applying one signature gave. */
struct canvas_result {
    struct json_object *tuple; /* owned; NULL: nothing was sent */
    char id[TASK_ID_MAX + 1];  /* whose result is that of the whole */
};

/* Where a signature stands among others: what freezing writes into its options,
 * or for a chain into its last task's, for a chord into its body's. */
struct canvas_place {
    struct slice id, root_id, group_id; /* ptr NULL: not set */
    struct json_object *chord;          /* borrowed; NULL: not set */
    int64_t group_index;                /* -1: not set */
};
#define CANVAS_PLACE_INIT \
    {                     \
        .group_index = -1 \
    }

/* over: options that replace the signature's own; NULL: none.  partial: args to
 * put before its own; NULL: none. */
enum status canvas_apply(struct canvas *c, struct json_object *sig,
                         struct json_object *partial, struct json_object *over,
                         struct canvas_result *out);
enum status canvas_apply_chain(struct canvas *c, struct json_object *sig,
                               struct json_object *partial,
                               struct canvas_result *out);
enum status canvas_apply_group(struct canvas *c, struct json_object *sig,
                               struct json_object *partial,
                               struct canvas_result *out);
enum status canvas_apply_chord(struct canvas *c, struct json_object *sig,
                               struct json_object *partial,
                               struct canvas_result *out);
enum status canvas_apply_chunks(struct canvas *c, struct json_object *sig,
                                struct canvas_result *out);
/* Makes the message of a task (map and starmap are tasks too). */
enum status canvas_send(struct canvas *c, struct json_object *sig,
                        struct json_object *partial, struct canvas_result *out);

/* Gives every task in sig its id, and its place. */
enum status canvas_freeze(struct canvas *c, struct json_object *sig,
                          const struct canvas_place *place);
/* The id of the task whose result is sig's, once frozen; ptr NULL: none. */
struct slice canvas_final_id(struct json_object *sig);
/* The result tuple of sig, once frozen: of a chain that of its last task, of a
 * group with its members.  NULL without memory; sig must have a final id. */
struct json_object *canvas_final_tuple(struct json_object *sig);
/* Once frozen: how many completions sig adds to the chord that it is in. */
int64_t canvas_chord_size(struct json_object *sig);

/* Adds callback (borrowed) to the list option "link" or "link_error" of what
 * runs last (link) or of all that can fail. */
enum status canvas_link(struct canvas *c, struct json_object *sig,
                        const char *option, struct json_object *callback);
/* The same for a list of them, or a lone one; NULL: none. */
enum status canvas_link_all(struct canvas *c, struct json_object *sig,
                            const char *option, struct json_object *callbacks);

/* Makes a chord's header, which may be a list, a group signature with an id. */
enum status canvas_make_header(struct canvas *c, struct json_object *chord);
/* The members of such a header. */
struct json_object *canvas_header_tasks(struct json_object *chord);

/* sig's options, made if it has none; NULL without memory. */
struct json_object *canvas_options(struct json_object *sig);
/* obj[key] = v, sharing v. */
enum status canvas_share(struct json_object *obj, const char *key,
                         struct json_object *v);
/* Puts over's options into a signature's, but for what is the signature's own
 * (its group, its stamps); a chain is put after its own.  over may be NULL. */
enum status canvas_merge(struct json_object *options, struct json_object *over);
/* A new array of what is in a and b (either may be NULL), sharing. */
struct json_object *canvas_concat(struct json_object *a, struct json_object *b);
/* A new object with from's members, sharing, but for the NULL-terminated names
 * in without and for nulls. */
struct json_object *canvas_without(struct json_object *from,
                                   const char *const *without);
/* [[id, null], children]; children is consumed and may be NULL. */
struct json_object *canvas_tuple(struct slice id, struct json_object *children);
enum status canvas_nomem(struct canvas *c);

#endif

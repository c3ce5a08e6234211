#ifndef WORKER_OUTCOME_H
#define WORKER_OUTCOME_H

#include "base/json.h"

/* How one execution of a task ended, as task code said it.  What follows from
 * that (messages, results, records) is worker/settle.c. */
enum outcome_kind {
    OUTCOME_NONE, /* not ended yet */
    OUTCOME_RETURN,
    OUTCOME_RAISE,
    OUTCOME_RETRY,
    OUTCOME_REJECT,
    OUTCOME_IGNORE,
    OUTCOME_REPLACE,
    OUTCOME_REVOKED, /* terminated, expired: exc says which */
    OUTCOME_KINDS
};

struct outcome {
    enum outcome_kind kind;
    struct json_object *result; /* owned; of RETURN; NULL: null or text */
    char *text;                 /* owned; RETURN: JSON text instead of result */
    size_t text_len;
    struct json_object *exc; /* owned; exception object; of RAISE, RETRY */
    char *traceback;         /* owned; NULL: none */
    struct json_object *sig; /* owned; of REPLACE */
    double countdown;        /* s; of RETRY */
    bool requeue;            /* of REJECT */
    char *model;             /* owned; of an LLM task */
    int64_t prompt_tokens, completion_tokens, total_tokens; /* -1: unknown */
};

void outcome_init(struct outcome *o);
void outcome_fini(struct outcome *o); /* leaves it as after init */
const char *outcome_name(enum outcome_kind k);

/* It is of that kind, whatever it was before: an exception that was set, and
 * dealt with, is forgotten. */
void outcome_set(struct outcome *o, enum outcome_kind k);
/* Sets RAISE with one text argument; keeps an older traceback not.  Without
 * memory the exception is lost but the kind is right. */
void outcome_raise(struct outcome *o, const char *type, const char *module,
                   const char *text);
/* The same with an array of arguments (consumed; NULL: none). */
void outcome_raise_args(struct outcome *o, const char *type, const char *module,
                        struct json_object *args);

/* Between an executor and its node: a JSON head and, for a result, its raw
 * text, so that a large result is not printed and parsed once more.  A RETURN
 * needs no head (NULL), and what comes without one is a RETURN. */
enum status outcome_encode(const struct outcome *o, struct json_object *head,
                           struct buf *body);
enum status outcome_decode(struct json_object *head, struct slice body,
                           struct outcome *o, struct error *err);

/* The result as a value: parses text if need be.  Borrowed. */
enum status outcome_value(struct outcome *o, struct json_object **out,
                          struct error *err);

#endif

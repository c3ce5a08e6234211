#ifndef API_PROBLEMS_H
#define API_PROBLEMS_H

#include "api/response.h"

/* What is wrong with a request: the entries of a 422 answer, in the words of
 * pydantic 2, all of them at once. */
struct problems {
    struct json_object *list; /* owned; NULL: none so far */
    size_t count;             /* also of those that found no memory */
};

/* Where: ["body", field], ["body", field, index, sub], ["query", field] ... */
struct loc {
    const char *in;    /* "body", "query", "path" */
    const char *field; /* NULL: the whole */
    int64_t index;     /* < 0: none */
    const char *sub;   /* NULL: none */
};

struct problem {
    const char *type, *msg;
    struct json_object *input; /* borrowed; long ones are cut */
    const char *ctx_name;      /* NULL: no "ctx" */
    struct json_object *ctx;   /* owned by the call */
};

void problem_add(struct problems *p, struct loc loc, const struct problem *x);

/* "Field required"; whole: the object that lacks it. */
void problem_missing(struct problems *p, struct loc loc,
                     struct json_object *whole);
/* {"type": "value_error", "msg": "Value error, ..."}. */
void problem_value(struct problems *p, struct loc loc, const char *why,
                   struct json_object *input);
/* The body is no JSON: offset in characters, in Python's words. */
void problem_json(struct problems *p, size_t at, const char *why);

/* True, having made the 422 answer, if there is any.  Frees the list. */
bool problems_answer(struct problems *p, struct response *rs);

#endif

#ifndef WORKER_JOIN_H
#define WORKER_JOIN_H

#include "store/result.h"

/* Collects the results of a group: what GroupResult.join() does. */
struct join;

enum join_state {
    JOIN_WAITS,  /* some are not ready yet */
    JOIN_DONE,   /* values: an array, nested as the results are */
    JOIN_FAILED, /* id raised exc: the first one that failed */
    JOIN_LOST    /* the result backend did not tell */
};

struct join_answer {
    enum join_state state;
    struct json_object *values; /* borrowed; JOIN_DONE */
    struct slice id;            /* JOIN_FAILED */
    struct json_object *exc;    /* borrowed; may be NULL; JOIN_FAILED */
};

typedef void join_fn(void *arg, const struct join_answer *a);

/* results: an array of result tuples (celery-wire.md 5.5), which is kept by
 * reference.  fn is called once, not before this has returned.  ST_PROTO: no
 * result tuples. */
enum status join_start(struct join **out, struct result *r,
                       struct json_object *results, join_fn *fn, void *arg,
                       struct error *err);
void join_cancel(struct join *j); /* fn is not called */

#endif

#ifndef STORE_RESULT_H
#define STORE_RESULT_H

#include "base/config.h"
#include "protocol/state.h"

#include <uv.h>

/* A result backend.  On one loop, never blocking.  Each call takes a callback,
 * calls it exactly once and never before it has returned; arguments are
 * borrowed until the call returns.  Calls of one turn travel in one batch.
 * While the service is away, calls wait (bounded: beyond it ST_BUSY at once).
 */
struct result {
    const struct result_ops *ops;
};

/* ts is borrowed; NULL unless st is ST_OK; also NULL with ST_OK: nothing is
 * stored (PENDING). */
typedef void result_fn(void *arg, enum status st, const struct task_state *ts);

/* tuple is borrowed; NULL with ST_OK: no such group is saved. */
typedef void result_group_fn(void *arg, enum status st,
                             struct json_object *tuple);

struct result_watch; /* one waiting for one id */

enum result_can {
    RESULT_KEEPS = 1,         /* get() finds what any process has put */
    RESULT_COUNTS_CHORDS = 2, /* chord_size, chord_part, chord_done; else NULL
                               */
    RESULT_SAVES_GROUPS = 4   /* group_save, group_get, group_forget; else NULL
                               */
};

struct result_ops {
    const char *scheme; /* "redis" */
    unsigned can;       /* of enum result_can */
    enum status (*open)(struct result **out, uv_loop_t *loop, const char *url,
                        const struct config *config, struct error *err);
    /* Sends what is queued for at most flush_ms, then closed(arg), once, and r
     * is gone.  Calls that are not answered by then, and watches, are dropped
     * without a callback. */
    void (*close)(struct result *r, uint32_t flush_ms,
                  void (*closed)(void *arg), void *arg);

    /* Stores and tells the waiting.  A stored SUCCESS is never overwritten:
     * that is ST_OK too.  fn may be NULL. */
    void (*put)(struct result *r, const struct task_state *ts, result_fn *fn,
                void *arg);
    void (*get)(struct result *r, struct slice id, result_fn *fn, void *arg);

    /* Calls fn once, when id has reached a ready state (also if it had
     * already). unwatch() cancels: fn is not called then.  NULL: no memory. */
    struct result_watch *(*watch)(struct result *r, struct slice id,
                                  result_fn *fn, void *arg);
    void (*unwatch)(struct result *r, struct result_watch *w);
    void (*forget)(struct result *r, struct slice id, result_fn *fn, void *arg);

    /* Chords (celery-wire.md 6.5).  size: what the sender of the members sets
     * before it sends the last one. */
    void (*chord_size)(struct result *r, struct slice group, int64_t size,
                       result_fn *fn, void *arg);
    /* One member is done.  fn gets ready = true for exactly one member, with
     * the parts in order: arrays [1, id, status, result]; borrowed. */
    void (*chord_part)(struct result *r, struct slice group, int64_t index,
                       const struct task_state *part,
                       void (*fn)(void *arg, enum status st, bool ready,
                                  struct json_object *parts),
                       void *arg);
    void (*chord_done)(struct result *r, struct slice group);

    /* Saved groups (5.5).  tuple: [[id, parent], [results...]]. */
    void (*group_save)(struct result *r, struct slice id,
                       struct json_object *tuple, result_fn *fn, void *arg);
    void (*group_get)(struct result *r, struct slice id, result_group_fn *fn,
                      void *arg);
    void (*group_forget)(struct result *r, struct slice id, result_fn *fn,
                         void *arg);
    /* Deletes what has expired.  NULL: the service does it by itself. */
    void (*cleanup)(struct result *r, result_fn *fn, void *arg);

    /* The reply_to of tasks whose outcome is to come to r: the same for r's
     * life.  NULL: outcomes need no address. */
    const char *(*reply_to)(struct result *r);

    size_t (*backlog)(const struct result *r); /* calls not yet answered */
    bool (*up)(const struct result *r);        /* connected now */
};

/* What r can; 0 when it is NULL. */
unsigned result_can(const struct result *r);
/* The reply_to to send; "" if none is needed, or r is NULL. */
const char *result_reply_to(struct result *r);

/* Opens by scheme; "" and "disabled://" give *out = NULL. */
enum status result_open(struct result **out, uv_loop_t *loop, const char *url,
                        const struct config *config, struct error *err);

#endif

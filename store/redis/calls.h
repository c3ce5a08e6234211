#ifndef STORE_REDIS_CALLS_H
#define STORE_REDIS_CALLS_H

#include "store/redis/client.h"

/* Commands that survive an outage: over one connection, each is kept until it
 * is answered, waits while Redis is away, and is sent again after a loss or an
 * answer such as LOADING, OOM or NOPERM (with backoff, for ever; a CALL_ONCE
 * that is denied is told).  Everything here ends in exactly one callback, never
 * before calls_send has returned. */
struct calls;

enum call_kind {
    CALL_REPEAT,  /* may be repeated; does not wait for others */
    CALL_ORDERED, /* may be repeated; keeps its place among its kind */
    CALL_ONCE,    /* the same order, but a loss while it is under way ends it:
                     ST_LOST, nobody knows whether it ran */
};

/* reply is borrowed; NULL with ST_LOST.  With ST_DENIED and ST_PROTO it is the
 * error. */
typedef void call_fn(void *arg, enum status st, const struct redisReply *reply);

struct calls_events {
    void (*up)(void *arg); /* what waited has been sent again */
    void (*down)(void *arg, const struct error *why);
    void (*failed)(void *arg, const struct error *why); /* or NULL */
};

enum status calls_open(struct calls **out, uv_loop_t *loop,
                       const struct redis_opts *opts,
                       const struct calls_events *ev, void *arg,
                       struct error *err);
/* No callback after this but closed(arg), once; what waits is forgotten. */
void calls_close(struct calls *q, void (*closed)(void *arg), void *arg);

/* Consumes cmd, on failure too: then fn is not called.  fn may be NULL. */
enum status calls_send(struct calls *q, enum call_kind kind,
                       struct redis_cmd *cmd, call_fn *fn, void *arg);

size_t calls_count(const struct calls *q); /* not yet answered */
size_t calls_bytes(const struct calls *q); /* of those */
struct redis *calls_client(struct calls *q);

#endif

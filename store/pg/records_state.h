#ifndef STORE_PG_RECORDS_STATE_H
#define STORE_PG_RECORDS_STATE_H

#include "base/backoff.h"
#include "base/turn.h"
#include "store/pg/op.h"

/* The inside of struct records, for records.c (opening, the life of a call,
 * closing) and records_batch.c (batches). */

enum { MAX_CONNECTIONS = 16 };

/* A connection and the lanes that use it. */
struct line {
    struct records *records;
    struct session *session;
    unsigned lanes;   /* a bit for each */
    uv_timer_t pause; /* active: after an error that will pass */
    struct backoff backoff;
};

struct records {
    uv_loop_t *loop;
    int64_t lease_ms, max_attempts;
    uint64_t timeout_us;
    struct list queues[PG_KINDS];
    struct list refused; /* to be told at the end of the turn */
    struct list timed;   /* calls with a deadline, in its order */
    size_t calls, bytes;
    uint64_t next_no;
    int64_t cursor;
    struct turn turn;
    uv_timer_t deadline, flush;
    struct line lines[MAX_CONNECTIONS];
    size_t line_count;
    size_t handles; /* not closed yet */
    bool closing, flushed;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* records.c: op has its answer, or st instead of one; it is freed. */
void records_end_op(struct records *r, struct op *op, enum status st);

/* records_batch.c: sends what waits in the lanes of line, as far as its
 * connection has room. */
void records_send(struct line *line);

#endif

#ifndef WORKER_FRAME_H
#define WORKER_FRAME_H

#include "base/buf.h"

#include <stdint.h>

/* What a node and its executor say to each other over a socket pair: a fixed
 * head, a JSON text, a raw text.  Both ends are this program on this machine:
 * numbers are in host order.  A node sends one RUN or a few, which run in order
 * and are each answered by an END; in between, the one that runs may report
 * states, send tasks, and ask once for what its request holds. */
enum frame_type {
    FRAME_HELLO = 1, /* node: {"parent": pid} */
    FRAME_RUN,       /* node: struct frame_run in parts, see there */
    FRAME_FIELDS,    /* node, asked: body: the request's fields */
    FRAME_READY,     /* executor: plugins are loaded */
    FRAME_STATE,     /* executor: {"state"}; body: meta */
    FRAME_SEND,      /* executor: body: a signature */
    FRAME_ASK,       /* executor: for FIELDS */
    FRAME_END        /* executor: the outcome, none: it returned; the result */
};

enum {
    FRAME_HEAD = 16,
    FRAME_TEXT_MAX = 64 * 1024 * 1024, /* each of head and body */
    FRAME_BUF_MAX = 2 * FRAME_TEXT_MAX + FRAME_HEAD
};

struct frame {
    enum frame_type type;
    uint32_t job;
    struct slice head, body; /* borrowed */
};

/* The head of a RUN: the numbers, id and name each with its NUL; its body: the
 * JSON texts of args, an array, and kwargs, an object. */
struct frame_run {
    int64_t retries;
    uint32_t batch; /* the number of its first job: worker/recall.h */
    struct slice id, name, args, kwargs;
};

void frame_add(struct buf *out, const struct frame *f);
void frame_add_run(struct buf *out, uint32_t job, const struct frame_run *run);

/* Borrows from f.  id and name are NUL-terminated. */
enum status frame_read_run(const struct frame *f, struct frame_run *out,
                           struct error *err);

/* Reads the first frame of in.  ST_AGAIN: it is not all there; ST_PROTO: it is
 * none.  *used: the bytes that it takes. */
enum status frame_next(struct slice in, struct frame *out, size_t *used,
                       struct error *err);

#endif

#ifndef WORKER_FRAME_H
#define WORKER_FRAME_H

#include "base/buf.h"

#include <stdint.h>

/* What a node and its executor say to each other over a socket pair: a fixed
 * head, a JSON text, a raw text.  Both ends are this program on this machine:
 * numbers are in host order. */
enum frame_type {
    FRAME_HELLO = 1, /* node: {"parent": pid} */
    FRAME_RUN,       /* node: request fields; body [args, kwargs] */
    FRAME_READY,     /* executor: plugins are loaded */
    FRAME_STATE,     /* executor: {"state"}; body: meta */
    FRAME_SEND,      /* executor: body: a signature */
    FRAME_END        /* executor: the outcome; body: the result */
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

void frame_add(struct buf *out, const struct frame *f);

/* Reads the first frame of in.  ST_AGAIN: it is not all there; ST_PROTO: it is
 * none.  *used: the bytes that it takes. */
enum status frame_next(struct slice in, struct frame *out, size_t *used,
                       struct error *err);

#endif

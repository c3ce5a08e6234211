#ifndef STORE_AMQP_FRAME_H
#define STORE_AMQP_FRAME_H

#include "base/buf.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <stdint.h>

/* AMQP 0-9-1 frames.  What is in them is left to librabbitmq's coders. */

enum {
    AMQ_FRAME_MAX = 131072, /* the most that we agree to */
    AMQ_FRAME_OVERHEAD = 8, /* seven bytes before the payload, one after it */
    AMQ_HEADER_FIXED = 12,  /* before the properties in a header frame */
};

enum amq_frame_type {
    AMQ_FRAME_METHOD = 1,
    AMQ_FRAME_HEADER = 2,
    AMQ_FRAME_BODY = 3,
    AMQ_FRAME_HEARTBEAT = 8
};

struct amq_frame {
    enum amq_frame_type type;
    uint16_t channel;
    struct slice payload; /* borrowed from the input */
};

/* Cuts one frame off the front of in.  ST_AGAIN: it is not complete.  ST_PROTO:
 * no frame, or one of more than max bytes. */
enum status amq_frame_cut(struct slice *in, size_t max, struct amq_frame *out,
                          struct error *err);

uint32_t amq_get32(const char *p);
uint64_t amq_get64(const char *p);

/* Adders: what does not fit makes out fail. */
void amq_frame_method(struct buf *out, uint16_t channel,
                      amqp_method_number_t id, void *fields);
void amq_frame_heartbeat(struct buf *out);
/* Header and body frames; head is the payload of the header frame. */
void amq_frame_content(struct buf *out, uint16_t channel, struct slice head,
                       struct slice body, size_t frame_max);

#endif

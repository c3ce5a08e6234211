#ifndef TESTS_SUPPORT_AMQP_SCRIPT_H
#define TESTS_SUPPORT_AMQP_SCRIPT_H

#include "store/amqp/frame.h"

#include <uv.h>

/* An AMQP broker that does what a test tells it, on the test's own loop.  By
 * itself it answers every question with "ok" and confirms what is published. */
struct amqp_script;

/* One connection. */
struct amqp_peer {
    struct amqp_script *script;
    uv_tcp_t tcp;
    bool publishes; /* confirms were asked for */
    uint64_t seq;   /* messages on channel 1 since it was opened */
    struct buf in;
    amqp_pool_t pool;
    /* The message that is complete: of basic.publish. */
    uint16_t channel;
    struct buf head, body;
    uint64_t body_size;
};

/* Each method (basic.publish: when the message is complete; fields is NULL
 * then).  True: it has been answered. */
typedef bool amqp_script_fn(void *arg, struct amqp_peer *p, uint16_t channel,
                            amqp_method_number_t id, void *fields);

struct amqp_script *amqp_script_new(uv_loop_t *loop, amqp_script_fn *fn,
                                    void *arg);
void amqp_script_free(struct amqp_script *s); /* runs the loop a little */
const char *amqp_script_url(const struct amqp_script *s);
void amqp_script_frame_max(struct amqp_script *s, uint32_t bytes);
/* The connections that are there; NULL: none. */
struct amqp_peer *amqp_script_publisher(struct amqp_script *s);
struct amqp_peer *amqp_script_consumer(struct amqp_script *s);
void amqp_script_cut(struct amqp_peer *p);

void amqp_peer_send(struct amqp_peer *p, uint16_t channel,
                    amqp_method_number_t id, void *fields);
void amqp_peer_send_content(struct amqp_peer *p, uint16_t channel,
                            amqp_method_number_t id, void *fields,
                            struct slice head, struct slice body);
void amqp_peer_confirm(struct amqp_peer *p, uint64_t tag, bool multiple,
                       bool good);
void amqp_peer_close_channel(struct amqp_peer *p, uint16_t channel,
                             uint16_t code);

#endif

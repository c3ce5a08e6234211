#ifndef STORE_AMQP_LINK_H
#define STORE_AMQP_LINK_H

#include "store/amqp/frame.h"

#include <uv.h>

/* One connection to one of a list of brokers, with a few channels that are
 * always open.  librabbitmq is only the codec; the bytes go through
 * base/stream.  It logs in, keeps itself alive by heartbeats, and reconnects
 * for ever with backoff, to the next of the list each time. */
struct amq_link;

enum { AMQ_CHANNELS = 3 }; /* numbered 1 to 3 */

/* A method with its content, complete; borrowed. */
struct amq_content {
    amqp_method_number_t method; /* basic.deliver or basic.return */
    void *fields;
    struct slice head; /* the payload of the header frame */
    char *body;        /* NUL-terminated; may be taken: set it to NULL.  NULL:
                          larger than what we take */
    size_t body_len;
};

struct amq_link_events {
    void (*up)(void *arg); /* logged in, all channels are open */
    /* Once per outage; also when the first attempt fails. */
    void (*down)(void *arg, const struct error *why);
    void (*failed)(void *arg, const struct error *why); /* max_retries */
    /* A method that is not about the connection; borrowed. */
    void (*method)(void *arg, uint16_t channel, amqp_method_number_t id,
                   void *fields);
    void (*content)(void *arg, uint16_t channel, struct amq_content *c);
    /* The broker has closed a channel; amq_link_reopen() it, now or later.
     * code: of AMQP. */
    void (*channel_down)(void *arg, uint16_t channel, uint16_t code,
                         const struct error *why);
    void (*channel_up)(void *arg, uint16_t channel); /* reopened */
    void (*blocked)(void *arg, bool blocked);        /* connection.blocked */
};

struct amq_link_opts {
    const char *urls;
    const char *use_ssl; /* the setting broker_use_ssl */
    const char *name;    /* shown by the broker's tools */
    uint32_t connect_timeout_ms;
    uint16_t heartbeat;  /* seconds, when the URL says nothing */
    int64_t max_retries; /* failures in a row before failed(); 0: no end */
    bool confirm;        /* publisher confirms on channel 1 */
    bool shuffle; /* broker_failover_strategy; else one after the other */
};

enum status amq_link_open(struct amq_link **out, uv_loop_t *loop,
                          const struct amq_link_opts *o,
                          const struct amq_link_events *ev, void *arg,
                          struct error *err);

/* No event after this but closed(arg), once, when nothing of l is left on the
 * loop.  What was written goes out first, and the broker's answer to
 * connection.close is waited for, for at most flush_ms. */
void amq_link_close(struct amq_link *l, uint32_t flush_ms,
                    void (*closed)(void *arg), void *arg);

bool amq_link_up(const struct amq_link *l);
bool amq_link_channel_up(const struct amq_link *l, uint16_t channel);
void amq_link_reopen(struct amq_link *l, uint16_t channel);
void amq_link_reconnect(struct amq_link *l, const char *why);

/* ST_LOST: the channel is not open.  ST_TOOBIG: the fields are too long. */
enum status amq_link_send(struct amq_link *l, uint16_t channel,
                          amqp_method_number_t id, void *fields);
/* A method with header and body frames. */
enum status amq_link_send_content(struct amq_link *l, uint16_t channel,
                                  void *publish, struct slice head,
                                  struct slice body);
/* Whole frames. */
enum status amq_link_write(struct amq_link *l, uint16_t channel,
                           struct slice frames);

size_t amq_link_backlog(const struct amq_link *l); /* unsent bytes */
size_t amq_link_frame_max(const struct amq_link *l);
uint64_t amq_link_heard_us(const struct amq_link *l); /* last bytes; 0: none */

#endif

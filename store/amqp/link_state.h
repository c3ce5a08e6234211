#ifndef STORE_AMQP_LINK_STATE_H
#define STORE_AMQP_LINK_STATE_H

#include "base/backoff.h"
#include "store/amqp/address.h"
#include "store/amqp/link.h"

/* Private to link.c (life, sending), link_login.c (the handshake) and
 * link_read.c (frames that come). */

enum link_phase {
    LINK_WAIT,     /* for the next attempt */
    LINK_CONNECT,  /* the stream connects */
    LINK_START,    /* connection.start is awaited */
    LINK_TUNE,     /* connection.tune */
    LINK_OPEN,     /* connection.open-ok */
    LINK_CHANNELS, /* channel.open-ok, confirm.select-ok */
    LINK_UP,
    LINK_CLOSING, /* connection.close-ok */
    LINK_CLOSED
};

enum channel_phase { CHANNEL_CLOSED, CHANNEL_OPENING, CHANNEL_UP };

/* A channel, and the content that is coming in on it. */
struct channel {
    enum channel_phase phase;
    struct buf method, head; /* copies of the frames' payloads */
    char *body;
    size_t body_len, body_size;
    bool has_method, has_head;
};

struct amq_link {
    uv_loop_t *loop;
    struct amq_link_events ev;
    void *arg;
    struct amq_addresses brokers;
    bool shuffle;
    size_t at; /* of brokers */
    char name[64];
    uint16_t want_heartbeat;
    int64_t max_retries;
    bool confirm;

    enum link_phase phase;
    unsigned generation; /* changes with each connection: stale loops stop */
    struct stream *stream;
    struct buf in, out;
    amqp_pool_t pool; /* of what is being decoded */
    struct channel channels[AMQ_CHANNELS + 1];
    size_t frame_max;
    uint16_t heartbeat; /* seconds; 0: none */
    uint64_t phase_us, heard_us, beat_us;
    unsigned strikes; /* ticks in a row without a sign of life */

    struct backoff backoff;
    int64_t failures; /* in a row */
    bool told;        /* the owner knows of this outage */

    uv_timer_t retry, tick;
    unsigned handles;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* link.c */
void link_drop(struct amq_link *l, const struct error *why);
void link_enter(struct amq_link *l, enum link_phase phase);
void link_finish(struct amq_link *l); /* CLOSING is done */
enum status link_send(struct amq_link *l, uint16_t channel,
                      amqp_method_number_t id, void *fields);
void link_all_open(struct amq_link *l);

/* link_login.c */
void link_greet(struct amq_link *l); /* the protocol header */
/* Methods of class connection. */
void link_login(struct amq_link *l, amqp_method_number_t id, void *fields);

/* link_read.c */
void link_read(struct amq_link *l, struct slice bytes);
void link_channel_clear(struct channel *c); /* forgets half a message */

#endif

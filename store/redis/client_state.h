#ifndef STORE_REDIS_CLIENT_STATE_H
#define STORE_REDIS_CLIENT_STATE_H

#include "base/backoff.h"
#include "store/redis/address.h"
#include "store/redis/client.h"
#include "store/redis/sentinel.h"

/* The inside of a connection, for client*.c only. */

struct pending {
    redis_fn *fn;
    void *arg;
    uint64_t sent_us;
};

enum phase {
    PHASE_WAIT,
    PHASE_FIND, /* asking sentinels */
    PHASE_CONNECT,
    PHASE_LOGIN,
    PHASE_UP,
    PHASE_CLOSED
};

struct redis {
    uv_loop_t *loop;
    struct redis_events ev;
    void *arg;
    struct redis_address addr;
    char name[64];
    uint64_t timeout_us;
    int64_t max_retries;
    bool scripts, pubsub;

    struct sentinel *sentinel; /* NULL: none */
    char host[256];            /* the master, as sentinels said; "" */
    int port;
    uv_timer_t watch; /* for another master */

    enum phase phase;
    unsigned generation; /* changes with each connection: stale loops stop */
    struct stream *stream;
    redisReader *reader;
    struct pending *ring; /* FIFO: cap is a power of two */
    size_t head, count, cap;
    uint64_t heard_us, ping_us; /* ping_us: a pubsub PING is out since; or 0 */
    uint64_t loaded_us;         /* forgotten scripts were last sent */
    size_t backlog;             /* unsent bytes at the last tick */
    unsigned strikes; /* ticks in a row, without headway, with an answer due */
    int64_t client_id;
    struct error login_err;
    bool doubtful; /* it was a replica the last time: look at its role */
    bool refused;  /* the owner has been told of a refused subscription */

    struct backoff backoff;
    int64_t failures;      /* in a row */
    bool told;             /* the owner knows of this outage */
    enum status told_code; /* of the reason that was logged last */

    uv_timer_t retry, tick;
    unsigned handles;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* client.c: a command onto the wire; loses the connection. */
enum status redis_transmit(struct redis *c, struct slice wire, redis_fn *fn,
                           void *arg);
void redis_drop(struct redis *c, const struct error *why);
void redis_connect(struct redis *c); /* the address is known */

/* client_login.c: sends all that is to be said first; in the end
 * redis_logged_in() or redis_drop() is called. */
void redis_login(struct redis *c);
void redis_logged_in(struct redis *c); /* client.c */
void redis_load_scripts(struct redis *c, redis_fn *fn);
void redis_send_words(struct redis *c, const char *const *words, size_t n,
                      redis_fn *fn);

/* client_master.c: asks sentinels, then redis_connect() or redis_drop(). */
enum status redis_master_open(struct redis *c, struct error *err);
void redis_master_find(struct redis *c);
void redis_master_stop(struct redis *c);

#endif

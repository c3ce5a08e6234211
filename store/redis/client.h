#ifndef STORE_REDIS_CLIENT_H
#define STORE_REDIS_CLIENT_H

#include "base/buf.h"
#include "store/redis/address.h"
#include "store/redis/command.h"

#include <hiredis/hiredis.h>
#include <uv.h>

/* One connection to Redis on a loop.  hiredis is only the codec; the bytes go
 * through base/stream.  It logs in, loads our scripts, keeps itself alive with
 * PING, and reconnects for ever with backoff; commands are answered in order.
 */
struct redis;

/* reply is borrowed.  NULL: the connection was lost first, why says how, and
 * nobody knows whether the command ran. */
typedef void redis_fn(void *arg, const struct redisReply *reply,
                      const struct error *why);

struct redis_events {
    void (*up)(void *arg); /* logged in: commands may be sent */
    /* Once per outage, after the callbacks of all commands under way; also when
     * the first attempt fails. */
    void (*down)(void *arg, const struct error *why);
    /* What a subscribed connection gets; NULL unless opts.pubsub. */
    void (*push)(void *arg, const struct redisReply *r);
    void (*failed)(void *arg,
                   const struct error *why); /* max_retries; or NULL */
};

struct redis_opts {
    const char *url;
    const struct config *config; /* NULL: the URL says all; for redis_open() */
    enum redis_role role;        /* which of its settings count */
    const char *name;            /* CLIENT SETNAME lovage-<name> */
    uint32_t connect_timeout_ms, command_timeout_ms; /* 0: as set */
    int64_t max_retries; /* failures in a row before failed(); 0: no end */
    bool scripts;        /* load the scripts of scripts.h */
    bool pubsub; /* only (P)SUBSCRIBE and the like through redis_subscribe */
};

enum status redis_open(struct redis **out, uv_loop_t *loop,
                       const struct redis_opts *opts,
                       const struct redis_events *ev, void *arg,
                       struct error *err);

/* No callback of any kind after this but closed(arg), once, when nothing of c
 * is left on the loop.  c and closed may be NULL. */
void redis_close(struct redis *c, void (*closed)(void *arg), void *arg);

/* Sends a command, consuming it; what is sent in one turn goes out in one
 * write. ST_LOST: not connected, fn will not be called.  fn may be NULL. */
enum status redis_send(struct redis *c, struct redis_cmd *cmd, redis_fn *fn,
                       void *arg);
/* The same, of the bytes of a command. */
enum status redis_send_wire(struct redis *c, struct slice wire, redis_fn *fn,
                            void *arg);

/* On a pubsub connection: answers come through push. */
enum status redis_subscribe(struct redis *c, const char *command,
                            struct slice channel);

bool redis_up(const struct redis *c);
int redis_db(const struct redis *c);
int64_t redis_client_id(const struct redis *c); /* 0: unknown */
size_t redis_pending(const struct redis *c);    /* sent and not answered */
size_t redis_backlog(const struct redis *c);    /* unsent bytes */
void redis_reconnect(struct redis *c, const char *why);

/* An error reply that begins with word. */
bool redis_error_is(const struct redisReply *r, const char *word);

/* What an answer means: ST_OK; ST_BUSY: not done, worth repeating (LOADING,
 * OOM, READONLY, NOSCRIPT, ...); ST_DENIED: worth repeating once somebody has
 * changed the rights; ST_PROTO. */
enum status redis_status(const struct redisReply *r, struct error *err);

static inline struct slice
redis_str(const struct redisReply *r)
{
    if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)
        return (struct slice){0};
    return (struct slice){r->str, (size_t)r->len};
}

#endif

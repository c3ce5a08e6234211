#ifndef BASE_STREAM_STATE_H
#define BASE_STREAM_STATE_H

#include "base/stream.h"

#include <netdb.h>

#include "base/stream_tls.h"
#include "base/turn.h"

/* The inside of a stream, for base/stream*.c only. */

enum { STREAM_READ_BYTES = 65536 };

enum stream_state {
    RESOLVING,
    CONNECTING,
    HANDSHAKE,
    OPEN,
    LOST,  /* why is set; the owner is told at the end of the turn */
    CLOSED /* the owner is done with it */
};

struct conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct stream *s;  /* NULL: abandoned */
    struct buf flight; /* what libuv is writing; empty: nothing */
    size_t flight_at;  /* of which so much was sent before */
    char in[STREAM_READ_BYTES];
};

struct stream {
    enum stream_state state;
    int holds; /* timer, turn and lookup: what must end before the memory */
    bool paused, resumed;
    bool draining;  /* closed by its owner, but there is something to send */
    bool finishing; /* that is sent: waiting for the peer's end */
    uv_loop_t *loop;
    struct conn *conn; /* NULL: none */
    struct tls *tls;   /* NULL: plain */
    struct buf plain, wire;
    size_t max_backlog;
    struct stream_events ev;
    void *arg;
    struct error why;

    uv_timer_t timer;
    struct turn turn;
    uv_getaddrinfo_t lookup;
    struct addrinfo *found, *next; /* next: the address to try */
    struct addrinfo single;        /* of a host that is an address */
    struct sockaddr_storage address;
    uint64_t deadline_ms; /* of the loop's clock */
    uint32_t timeout_ms, user_timeout_ms;
    struct stream_keepalive keepalive;
    char *path, *host;
    char name[280]; /* for error texts */
};

/* stream.c: ends the stream; the owner hears of it at the end of the turn. */
void stream_fail(struct stream *s, enum status code, const char *what);
void stream_abandon(struct stream *s);   /* lets the connection go */
void stream_release(struct stream *s);   /* one hold less */
void stream_connected(struct stream *s); /* state is HANDSHAKE */

/* stream_connect.c: host or path is set, the state and the timer are its own
 * until stream_connected().  Failures are told by stream_fail(). */
void stream_connect(struct stream *s, int port);

#endif

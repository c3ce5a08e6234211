#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include "base/buf.h"

#include <uv.h>

/* A connected byte stream on a libuv loop: TCP, unix socket, or TLS over TCP.
 * What every client speaks through, because the client libraries' own sockets
 * block.  Names are resolved by uv_getaddrinfo, each address is tried in turn.
 * Writes are gathered and go out once per turn of the loop.  The process must
 * ignore SIGPIPE. */
struct stream;

struct stream_tls {
    const char *ca_file, *cert_file, *key_file; /* NULL: the system's, none */
    bool verify;                                /* peer and host name */
    bool any_host; /* verify: any name that the CA vouches for will do */
};

/* TCP's own probing of a silent peer; in seconds, 0: the defaults. */
struct stream_keepalive {
    bool off;
    int idle_s, interval_s, count;
};

struct stream_opts {
    const char *host; /* or NULL: unix socket at path */
    int port;
    const char *path;
    const struct stream_tls *tls; /* NULL: plain */
    uint32_t connect_timeout_ms;  /* resolve, connect and handshake; 0: 5000 */
    size_t max_backlog;           /* unsent bytes; more fails it; 0: 64 MiB */
    struct stream_keepalive keepalive;
    uint32_t user_timeout_ms; /* for the peer's kernel to take sent bytes; 0:
                                 15,000 */
};

struct stream_events {
    void (*connected)(void *arg);
    void (*data)(void *arg, const char *p, size_t n); /* borrowed */
    /* Exactly once, unless stream_close() came first; s is freed by the stream
     * itself afterwards, so nothing may be called on it any more (but
     * stream_close() within lost is fine).  why->code is ST_LOST, ST_TIMEOUT or
     * ST_DENIED. */
    void (*lost)(void *arg, const struct error *why);
};

/* Starts connecting.  opts and all it points to is copied.  No event before
 * this has returned. */
enum status stream_open(struct stream **out, uv_loop_t *loop,
                        const struct stream_opts *opts,
                        const struct stream_events *ev, void *arg,
                        struct error *err);

/* Queues bytes; they are copied.  Over max_backlog the stream is lost. */
void stream_write(struct stream *s, struct slice bytes);

size_t stream_backlog(const struct stream *s); /* unsent bytes */

/* Stops or resumes reading: back-pressure. */
void stream_pause(struct stream *s, bool paused);

/* No event comes after this; what is unsent is dropped.  NULL is fine. */
void stream_close(struct stream *s);

/* The same, but first sends what is queued and waits until the peer has closed
 * its side too, for at most timeout_ms. */
void stream_close_flushed(struct stream *s, uint32_t timeout_ms);

#endif

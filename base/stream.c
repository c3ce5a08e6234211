/* SPDX-License-Identifier: Apache-2.0 */
/* A byte stream on a libuv loop: TCP, unix socket or TLS.
 *
 * Life: the stream owns a timer, a turn and one connection at a time, which is
 * an object of its own because libuv's handles cannot be used again: an
 * address that does not answer is abandoned with its connection, which frees
 * itself when libuv lets go of it.  The stream goes when its timer, its turn
 * and a running name lookup are done with it; so it may be closed from within
 * its own callbacks.
 *
 * Failures are recorded where they happen and told at the end of the turn,
 * so no callback runs inside a call of the owner.
 *
 * Writing: stream_write() gathers in plain.  Once per turn that is encrypted
 * into wire (or just becomes wire), tried at once, and what the kernel does not
 * take goes into the connection's flight, whose end triggers the next flush. */
#include "base/stream_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum {
    KEEP_BYTES = 65536, /* an empty buffer that is larger is given back */
    DEFAULT_TIMEOUT_MS = 5000,
    DEFAULT_BACKLOG = 64 << 20
};

static void flush(struct stream *s);
static void read_or_not(struct stream *s);

/* --- the end ------------------------------------------------------------- */

static void
conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    buf_fini(&c->flight);
    free(c);
}

void
stream_abandon(struct stream *s)
{
    struct conn *c = s->conn;

    if (c == NULL)
        return;
    s->conn = NULL;
    c->s = NULL;
    uv_close(&c->io.handle, conn_closed);
}

void
stream_release(struct stream *s)
{
    if (--s->holds > 0)
        return;
    assert(s->conn == NULL);
    uv_freeaddrinfo(s->found);
    stream_tls_free(s->tls);
    buf_fini(&s->plain);
    buf_fini(&s->wire);
    free(s->path);
    free(s->host);
    free(s);
}

static void
timer_closed(uv_handle_t *h)
{
    stream_release(h->data);
}

static void
turn_closed(void *arg)
{
    stream_release(arg);
}

void
stream_close(struct stream *s)
{
    if (s == NULL || s->state == CLOSED)
        return;
    s->state = CLOSED;
    stream_abandon(s);
    uv_cancel((uv_req_t *)&s->lookup); /* in vain if there is none */
    uv_close((uv_handle_t *)&s->timer, timer_closed);
    turn_close(&s->turn, turn_closed);
}

void
stream_fail(struct stream *s, enum status code, const char *what)
{
    if (s->state >= LOST)
        return;
    s->why.code = code;
    snprintf(s->why.text, sizeof(s->why.text), "%.90s: %.145s", s->name, what);
    s->state = LOST;
    stream_abandon(s);
    uv_timer_stop(&s->timer);
    turn_ask(&s->turn);
}

static void
tell_lost(struct stream *s)
{
    if (!s->draining)
        s->ev.lost(s->arg, &s->why);
    stream_close(s);
}

/* --- writing ------------------------------------------------------------- */

size_t
stream_backlog(const struct stream *s)
{
    size_t n = s->plain.len + s->wire.len;

    if (s->conn != NULL)
        n += s->conn->flight.len - s->conn->flight_at;
    return n;
}

static void
on_written(uv_write_t *req, int status)
{
    struct conn *c = req->data;

    buf_fini(&c->flight);
    c->flight_at = 0;
    if (c->s == NULL)
        return;
    if (status < 0)
        stream_fail(c->s, ST_LOST, uv_strerror(status));
    else
        flush(c->s);
}

/* Empties b, keeping its memory if that is small. */
static void
clear(struct buf *b)
{
    b->len = 0;
    if (b->cap > KEEP_BYTES)
        buf_fini(b);
}

static uv_buf_t
rest_of(const struct buf *b, size_t at)
{
    size_t n = b->len - at;

    return uv_buf_init(b->data + at, (unsigned)(n < INT32_MAX ? n : INT32_MAX));
}

/* Sends wire: what the kernel takes at once, the rest through libuv. */
static void
send_wire(struct stream *s)
{
    struct conn *c = s->conn;
    uv_buf_t part;
    size_t at = 0;
    int r = 0;

    while (at < s->wire.len) {
        part = rest_of(&s->wire, at);
        r = uv_try_write(&c->io.stream, &part, 1);
        if (r <= 0)
            break;
        at += (size_t)r;
    }
    if (at == s->wire.len) {
        clear(&s->wire);
        return;
    }
    if (r < 0 && r != UV_EAGAIN) {
        stream_fail(s, ST_LOST, uv_strerror(r));
        return;
    }
    c->flight = s->wire;
    c->flight_at = at;
    buf_init(&s->wire, c->flight.max);
    c->write.data = c;
    part = rest_of(&c->flight, at);
    r = uv_write(&c->write, &c->io.stream, &part, 1, on_written);
    if (r < 0)
        stream_fail(s, ST_LOST, uv_strerror(r));
}

static void
on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req; /* the peer's end or the timer goes on from here */
    (void)status;
}

/* All is with the kernel.  Closing now could lose it: whatever the peer sends
 * to a closed socket is answered with a reset, which throws away what it has
 * not yet got.  So tell it that this was all, and wait for its own end. */
static void
end_drained(struct stream *s)
{
    s->finishing = true;
    if (s->tls != NULL) {
        stream_tls_end(s->tls);
        stream_tls_take(s->tls, &s->wire);
        send_wire(s);
    }
    stream_pause(s, false);
    if (s->state == OPEN &&
        uv_shutdown(&s->conn->shutdown, &s->conn->io.stream, on_shutdown) != 0)
        stream_close(s);
}

/* Sends what is queued, unless a write is under way: its end comes back. */
static void
flush(struct stream *s)
{
    enum status st = ST_OK;

    if (s->conn == NULL || s->state < HANDSHAKE || s->finishing ||
        s->conn->flight.len > 0)
        return;
    if (s->state == OPEN && s->plain.len > 0) {
        if (s->tls != NULL) {
            st = stream_tls_write(s->tls,
                                  (struct slice){s->plain.data, s->plain.len});
            stream_tls_take(s->tls, &s->wire);
            clear(&s->plain);
        } else {
            struct buf empty = s->wire;

            s->wire = s->plain;
            s->plain = empty; /* keeps its memory */
            s->plain.max = s->max_backlog;
        }
    }
    if (st != ST_OK || s->wire.failed) {
        stream_fail(s, ST_LOST, "cannot encrypt");
        return;
    }
    send_wire(s);
    if (s->draining && s->state == OPEN && stream_backlog(s) == 0)
        end_drained(s);
}

void
stream_write(struct stream *s, struct slice bytes)
{
    if (s->state >= LOST || s->draining)
        return;
    if (bytes.len > s->max_backlog ||
        stream_backlog(s) > s->max_backlog - bytes.len) {
        stream_fail(s, ST_LOST, "too many unsent bytes");
        return;
    }
    buf_add(&s->plain, bytes);
    if (s->plain.failed)
        stream_fail(s, ST_LOST, "out of memory");
    else
        turn_ask(&s->turn);
}

/* --- reading ------------------------------------------------------------- */

/* Hands out what is decrypted.  The conn's buffer is free for it: what was read
 * into that is in OpenSSL's by now. */
static void
read_tls(struct stream *s)
{
    struct error err = {.code = ST_OK};
    enum status st = ST_OK;
    size_t n;

    while (st == ST_OK && s->state == OPEN && !s->paused) {
        st = stream_tls_read(s->tls, s->conn->in, STREAM_READ_BYTES, &n, &err);
        if (st == ST_OK && !s->draining)
            s->ev.data(s->arg, s->conn->in, n);
    }
    if (s->state != OPEN)
        return;
    stream_tls_take(s->tls, &s->wire); /* key updates, alerts */
    if (s->wire.len > 0)
        flush(s);
    if (st == ST_LOST)
        stream_fail(s, ST_LOST, err.text);
}

static void
opened(struct stream *s)
{
    s->state = OPEN;
    if (!s->draining) {
        uv_timer_stop(&s->timer);
        s->ev.connected(s->arg);
    }
    read_or_not(s);
    if (s->state != OPEN)
        return;
    turn_ask(&s->turn);
    if (s->tls != NULL)
        read_tls(s); /* data may have come with the end of the handshake */
}

static void
handshake(struct stream *s)
{
    struct error err = {.code = ST_OK};
    enum status st = stream_tls_handshake(s->tls, &err);

    stream_tls_take(s->tls, &s->wire);
    if (s->wire.len > 0)
        flush(s); /* an alert too, if it failed */
    if (st == ST_OK && s->state == HANDSHAKE)
        opened(s);
    else if (st != ST_AGAIN)
        stream_fail(s, st, err.text);
}

static void
on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    struct conn *c = h->data;

    (void)hint;
    *out = uv_buf_init(c->in, STREAM_READ_BYTES);
}

static void
on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *from)
{
    struct conn *c = h->data;
    struct stream *s = c->s;

    if (s == NULL || n == 0)
        return;
    if (n < 0) {
        stream_fail(s, ST_LOST,
                    n == UV_EOF ? "closed by the peer" : uv_strerror((int)n));
        return;
    }
    if (s->tls == NULL) {
        if (!s->draining)
            s->ev.data(s->arg, from->base, (size_t)n);
        return;
    }
    if (stream_tls_put(s->tls, (struct slice){from->base, (size_t)n}) != ST_OK)
        stream_fail(s, ST_LOST, "out of memory");
    else if (s->state == HANDSHAKE)
        handshake(s);
    else
        read_tls(s);
}

/* Reading follows the state: a handshake reads also when paused. */
static void
read_or_not(struct stream *s)
{
    struct conn *c = s->conn;
    int r;

    if (c == NULL || s->state < HANDSHAKE)
        return;
    if (s->paused && s->state == OPEN) {
        uv_read_stop(&c->io.stream);
        return;
    }
    r = uv_read_start(&c->io.stream, on_alloc, on_read);
    if (r < 0 && r != UV_EALREADY)
        stream_fail(s, ST_LOST, uv_strerror(r));
}

void
stream_pause(struct stream *s, bool paused)
{
    s->paused = paused;
    read_or_not(s);
    if (!paused && s->tls != NULL && s->state == OPEN) {
        s->resumed = true; /* OpenSSL may hold data that was not handed out */
        turn_ask(&s->turn);
    }
}

static void
on_turn(void *arg)
{
    struct stream *s = arg;

    if (s->state == LOST) {
        tell_lost(s);
        return;
    }
    if (s->resumed && s->state == OPEN)
        read_tls(s);
    s->resumed = false;
    flush(s);
}

/* --- opening ------------------------------------------------------------- */

void
stream_connected(struct stream *s)
{
    if (s->tls == NULL) {
        opened(s);
        return;
    }
    read_or_not(s);
    if (s->state == HANDSHAKE)
        handshake(s);
}

static enum status
check(const struct stream_opts *o, struct error *err)
{
    struct sockaddr_un un;

    if (o->host == NULL && o->path == NULL)
        return error_set(err, ST_INVALID, "stream: neither host nor path");
    if (o->host == NULL && o->tls != NULL)
        return error_set(err, ST_INVALID, "%s: TLS needs a host", o->path);
    if (o->host == NULL && strlen(o->path) >= sizeof(un.sun_path))
        return error_set(err, ST_INVALID, "%s: a socket's path is at most %zu",
                         o->path, sizeof(un.sun_path) - 1);
    if (o->host != NULL && (o->port < 1 || o->port > 65535))
        return error_set(err, ST_INVALID, "%s: port %d is not 1 to 65535",
                         o->host, o->port);
    return ST_OK;
}

static enum status
copy_opts(struct stream *s, const struct stream_opts *o, struct error *err)
{
    enum status st = ST_OK;

    s->timeout_ms =
        o->connect_timeout_ms > 0 ? o->connect_timeout_ms : DEFAULT_TIMEOUT_MS;
    s->max_backlog = o->max_backlog > 0 ? o->max_backlog : DEFAULT_BACKLOG;
    s->keepalive = o->keepalive;
    s->user_timeout_ms = o->user_timeout_ms;
    buf_init(&s->plain, s->max_backlog);
    buf_init(&s->wire, SIZE_MAX / 4); /* bounded by plain */
    if (o->host != NULL) {
        s->host = strdup(o->host);
        snprintf(s->name, sizeof(s->name), "%.255s:%d", o->host, o->port);
    } else {
        s->path = strdup(o->path);
        snprintf(s->name, sizeof(s->name), "%s", o->path);
    }
    if (s->host == NULL && s->path == NULL)
        return error_set(err, ST_NOMEM, "%s: out of memory", s->name);
    if (o->tls != NULL)
        st = stream_tls_new(&s->tls, o->tls, s->host, err);
    return st;
}

enum status
stream_open(struct stream **out, uv_loop_t *loop,
            const struct stream_opts *opts, const struct stream_events *ev,
            void *arg, struct error *err)
{
    struct stream *s;
    enum status st = check(opts, err);

    if (st != ST_OK)
        return st;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set(err, ST_NOMEM, "stream: out of memory");
    st = copy_opts(s, opts, err);
    if (st != ST_OK) {
        s->holds = 1;
        stream_release(s);
        return st;
    }
    s->loop = loop;
    s->ev = *ev;
    s->arg = arg;
    s->holds = 2;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->lookup.data = s;
    turn_init(&s->turn, loop, on_turn, s);
    uv_update_time(loop);
    s->deadline_ms = uv_now(loop) + s->timeout_ms;
    stream_connect(s, opts->port);
    *out = s;
    return ST_OK;
}

static void
on_drain_timeout(uv_timer_t *timer)
{
    stream_close(timer->data);
}

void
stream_close_flushed(struct stream *s, uint32_t timeout_ms)
{
    if (s == NULL || s->state == CLOSED)
        return;
    if (s->state == LOST || (s->state != OPEN && stream_backlog(s) == 0)) {
        stream_close(s);
        return;
    }
    s->draining = true;
    uv_timer_start(&s->timer, on_drain_timeout, timeout_ms, 0);
    turn_ask(&s->turn);
}

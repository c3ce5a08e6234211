/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting a stream: the name is looked up, then each address gets its share
 * of the time that is left. */
#include "base/stream_state.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEEPALIVE_S = 30,
    USER_TIMEOUT_MS = 15000 /* unacknowledged data: the peer is gone */
};

static void try_next(struct stream *s, int failure);

static void
on_timeout(uv_timer_t *timer)
{
    struct stream *s = timer->data;
    const char *phase = s->state == RESOLVING    ? "looking up the name"
                        : s->state == CONNECTING ? "connecting"
                                                 : "the TLS handshake";
    char text[80];

    if (s->state == CONNECTING && s->next != NULL) {
        try_next(s, UV_ETIMEDOUT);
        return;
    }
    snprintf(text, sizeof(text), "%s took more than %u ms", phase,
             s->timeout_ms);
    stream_fail(s, ST_TIMEOUT, text);
}

/* Gives the address being tried its share of the time that is left. */
static void
start_timer(struct stream *s)
{
    uint64_t now = uv_now(s->loop), left = 0;
    uint64_t addresses = 1;

    if (s->draining) /* has its own limit */
        return;
    if (s->deadline_ms > now)
        left = s->deadline_ms - now;
    if (s->state == CONNECTING)
        for (struct addrinfo *a = s->next; a != NULL; a = a->ai_next)
            addresses++;
    uv_timer_start(&s->timer, on_timeout, left / addresses, 0);
}

static void
set_option(int fd, int option, int value)
{
    setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value));
}

static void
set_options(struct stream *s)
{
    const struct stream_keepalive *k = &s->keepalive;
    int fd;

    if (s->path != NULL)
        return;
    uv_tcp_nodelay(&s->conn->io.tcp, 1);
    if (!k->off)
        uv_tcp_keepalive(&s->conn->io.tcp, 1,
                         k->idle_s > 0 ? (unsigned)k->idle_s : KEEPALIVE_S);
    if (uv_fileno(&s->conn->io.handle, &fd) != 0)
        return;
    if (k->interval_s > 0)
        set_option(fd, TCP_KEEPINTVL, k->interval_s);
    if (k->count > 0)
        set_option(fd, TCP_KEEPCNT, k->count);
    set_option(fd, TCP_USER_TIMEOUT,
               s->user_timeout_ms > 0 ? (int)s->user_timeout_ms
                                      : USER_TIMEOUT_MS);
}

static void
on_connect(uv_connect_t *req, int status)
{
    struct conn *c = req->data;
    struct stream *s = c->s;

    if (s == NULL)
        return;
    if (status < 0) {
        try_next(s, status);
        return;
    }
    set_options(s);
    s->state = HANDSHAKE;
    start_timer(s);
    stream_connected(s);
}

static struct conn *
conn_new(struct stream *s)
{
    struct conn *c = malloc(sizeof(*c));

    if (c == NULL)
        return NULL;
    c->s = s;
    buf_init(&c->flight, SIZE_MAX / 4);
    c->flight_at = 0;
    c->connect.data = c;
    if (s->path != NULL)
        uv_pipe_init(s->loop, &c->io.pipe, 0); /* cannot fail */
    else
        uv_tcp_init(s->loop, &c->io.tcp);
    c->io.handle.data = c;
    s->conn = c;
    return c;
}

/* Tries the next address, or ends with the failure of the last one. */
static void
try_next(struct stream *s, int failure)
{
    struct addrinfo *a;

    s->state = CONNECTING;
    stream_abandon(s);
    while (failure != UV_ENOMEM && (a = s->next) != NULL) {
        s->next = a->ai_next;
        if (conn_new(s) == NULL) {
            failure = UV_ENOMEM;
            break;
        }
        failure = uv_tcp_connect(&s->conn->connect, &s->conn->io.tcp,
                                 a->ai_addr, on_connect);
        if (failure == 0) {
            start_timer(s);
            return;
        }
        stream_abandon(s);
    }
    stream_fail(s, failure == UV_ETIMEDOUT ? ST_TIMEOUT : ST_LOST,
                uv_strerror(failure));
}

static void
on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct stream *s = req->data;

    s->found = found;
    if (s->state == RESOLVING && status < 0) {
        stream_fail(s, ST_LOST, uv_strerror(status));
    } else if (s->state == RESOLVING) {
        s->next = found;
        try_next(s, UV_EADDRNOTAVAIL);
    }
    stream_release(s);
}

/* True if host is an address, which is then the one to try. */
static bool
is_address(struct stream *s, int port)
{
    if (uv_ip4_addr(s->host, port, (struct sockaddr_in *)&s->address) != 0 &&
        uv_ip6_addr(s->host, port, (struct sockaddr_in6 *)&s->address) != 0)
        return false;
    s->single.ai_addr = (struct sockaddr *)&s->address;
    s->next = &s->single;
    return true;
}

void
stream_connect(struct stream *s, int port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_protocol = IPPROTO_TCP};
    char service[16];
    int r;

    s->state = CONNECTING;
    if (s->path != NULL) {
        if (conn_new(s) == NULL) {
            stream_fail(s, ST_LOST, "out of memory");
            return;
        }
        uv_pipe_connect(&s->conn->connect, &s->conn->io.pipe, s->path,
                        on_connect);
        start_timer(s);
        return;
    }
    if (is_address(s, port)) {
        try_next(s, 0);
        return;
    }
    s->state = RESOLVING;
    snprintf(service, sizeof(service), "%d", port);
    r = uv_getaddrinfo(s->loop, &s->lookup, on_lookup, s->host, service,
                       &hints);
    if (r < 0) {
        stream_fail(s, ST_LOST, uv_strerror(r));
        return;
    }
    s->holds++;
    start_timer(s);
}

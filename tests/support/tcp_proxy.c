/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP proxy on a thread.  Its state belongs to the thread; orders come
 * through a pipe and are confirmed through another. */
#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = 64, CHUNK = 65536 };

/* One direction of a connection: what was read and not yet written. */
struct way {
    int from, to;
    char data[CHUNK];
    size_t at, len;
};

struct pair {
    bool used;
    struct way way[2];
};

struct tcp_proxy {
    int port, to_port, listener;
    atomic_bool held;
    char gate[64]; /* what holds; "": nothing */
    char next_gate[64];
    int orders[2], done[2];
    pthread_t thread;
    struct pair pairs[PAIRS];
};

static void
fail(const char *what)
{
    fprintf(stderr, "tcp_proxy: %s\n", what);
    abort();
}

static struct sockaddr_in
loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void
start_listening(struct tcp_proxy *p)
{
    struct sockaddr_in a = loopback(p->port);
    socklen_t n = sizeof a;
    int on = 1;

    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(p->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        getsockname(p->listener, (struct sockaddr *)&a, &n) != 0 ||
        listen(p->listener, 16) != 0)
        fail("cannot listen");
    p->port = ntohs(a.sin_port);
}

static void
end_pair(struct pair *c)
{
    struct linger hard = {1, 0};

    for (int i = 0; i < 2; i++) {
        setsockopt(c->way[i].from, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(c->way[i].from);
    }
    c->used = false;
}

static void
end_all(struct tcp_proxy *p)
{
    for (int i = 0; i < PAIRS; i++)
        if (p->pairs[i].used)
            end_pair(&p->pairs[i]);
}

static void
accept_one(struct tcp_proxy *p)
{
    struct sockaddr_in a = loopback(p->to_port);
    int in = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (int i = 0; i < PAIRS; i++) {
        struct pair *c = &p->pairs[i];
        if (c->used)
            continue;
        if (connect(out, (struct sockaddr *)&a, sizeof a) != 0)
            break;
        setsockopt(in, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        fcntl(in, F_SETFL, O_NONBLOCK);
        fcntl(out, F_SETFL, O_NONBLOCK);
        c->used = true;
        c->way[0].from = c->way[1].to = in;
        c->way[0].to = c->way[1].from = out;
        c->way[0].at = c->way[0].len = c->way[1].at = c->way[1].len = 0;
        return;
    }
    close(in);
    close(out);
}

/* What a client has sent: is it what we wait for? */
static void
watch_gate(struct tcp_proxy *p, const struct way *w)
{
    size_t n = strlen(p->gate);

    if (n == 0 || memmem(w->data, w->len, p->gate, n) == NULL)
        return;
    p->gate[0] = '\0';
    p->held = true;
}

/* False: the connection is over. */
static bool
move(struct tcp_proxy *p, struct way *w, bool of_client)
{
    ssize_t n;

    if (w->len == 0) {
        n = read(w->from, w->data, CHUNK);
        if (n == 0)
            return false;
        if (n > 0) {
            w->at = 0;
            w->len = (size_t)n;
            if (of_client)
                watch_gate(p, w);
        }
    }
    while (w->len > 0 && !p->held) {
        n = send(w->to, w->data + w->at, w->len, MSG_NOSIGNAL);
        if (n <= 0)
            return true; /* the other way notices if it is over */
        w->at += (size_t)n;
        w->len -= (size_t)n;
    }
    return true;
}

static bool
obey(struct tcp_proxy *p)
{
    char c = 0;

    if (read(p->orders[0], &c, 1) != 1)
        return false;
    if (c == 'c' || c == 'd' || c == 'q')
        end_all(p);
    if ((c == 'd' || c == 'q') && p->listener >= 0) {
        close(p->listener);
        p->listener = -1;
    }
    if (c == 'u' && p->listener < 0)
        start_listening(p);
    if (c == 'h' || c == 'r')
        p->held = c == 'h';
    if (c == 'g')
        memcpy(p->gate, p->next_gate, sizeof p->gate);
    if (write(p->done[1], &c, 1) != 1)
        fail("no answer");
    return c != 'q';
}

static nfds_t
fill(const struct tcp_proxy *p, struct pollfd *fds, int *owner)
{
    nfds_t n = 0;

    fds[n++] = (struct pollfd){.fd = p->orders[0], .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = p->listener, .events = POLLIN};
    for (int i = 0; i < PAIRS && !p->held; i++)
        for (int k = 0; k < 2 && p->pairs[i].used; k++) {
            const struct way *w = &p->pairs[i].way[k];
            owner[n] = i * 2 + k;
            fds[n].fd = w->len > 0 ? w->to : w->from;
            fds[n].events = w->len > 0 ? POLLOUT : POLLIN;
            fds[n++].revents = 0;
        }
    return n;
}

static void *
work(void *arg)
{
    struct tcp_proxy *p = arg;
    struct pollfd fds[2 + PAIRS * 2];
    int owner[2 + PAIRS * 2];

    for (;;) {
        nfds_t n = fill(p, fds, owner);
        if (poll(fds, n, -1) < 0)
            continue;
        for (nfds_t i = 2; i < n; i++) {
            struct pair *c = &p->pairs[owner[i] / 2];
            if (c->used && fds[i].revents != 0 &&
                (!move(p, &c->way[owner[i] % 2], owner[i] % 2 == 0) ||
                 (fds[i].revents & (POLLERR | POLLNVAL)) != 0))
                end_pair(c);
        }
        if (p->listener >= 0 && fds[1].revents != 0)
            accept_one(p);
        if (fds[0].revents != 0 && !obey(p))
            return NULL;
    }
}

static void
order(struct tcp_proxy *p, char c)
{
    if (write(p->orders[1], &c, 1) != 1 || read(p->done[0], &c, 1) != 1)
        fail("the thread is gone");
}

/* ---- exported ---- */

struct tcp_proxy *
tcp_proxy_new(int to_port)
{
    struct tcp_proxy *p = calloc(1, sizeof *p);
    sigset_t all, old;

    if (p == NULL || pipe2(p->orders, O_CLOEXEC) != 0 ||
        pipe2(p->done, O_CLOEXEC) != 0)
        fail("no memory");
    p->to_port = to_port;
    start_listening(p);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    if (pthread_create(&p->thread, NULL, work, p) != 0)
        fail("no thread");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p;
}

void
tcp_proxy_free(struct tcp_proxy *p)
{
    order(p, 'q');
    pthread_join(p->thread, NULL);
    for (int i = 0; i < 2; i++) {
        close(p->orders[i]);
        close(p->done[i]);
    }
    free(p);
}

int
tcp_proxy_port(const struct tcp_proxy *p)
{
    return p->port;
}

void
tcp_proxy_cut(struct tcp_proxy *p)
{
    order(p, 'c');
}

void
tcp_proxy_down(struct tcp_proxy *p, bool down)
{
    order(p, down ? 'd' : 'u');
}

void
tcp_proxy_hold(struct tcp_proxy *p, bool hold)
{
    order(p, hold ? 'h' : 'r');
}

void
tcp_proxy_hold_at(struct tcp_proxy *p, const char *text)
{
    (void)snprintf(p->next_gate, sizeof p->next_gate, "%s", text);
    order(p, 'g');
}

bool
tcp_proxy_is_held(const struct tcp_proxy *p)
{
    return p->held;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Between a client's socket and civetweb.
 *
 * The stock library reads heads leniently and bodies without a deadline, it
 * may not be patched, and a request handler sees neither the bytes nor the
 * socket.  But it reads a socket in one place only, with recv(), and a program
 * may define recv() itself: the dynamic linker then binds the library's call to
 * it.  Ours passes through on all threads but civetweb's workers.  There it
 * reads one whole head under the strict rules of api/guard.c, and gives
 * civetweb a fixed head without a body instead.  So civetweb does what it is
 * good at (listen, threads, keep-alive) and parses nothing that a
 * client wrote.  Surplus bytes stay in the kernel (MSG_PEEK), where civetweb's
 * poll() sees them: they are the next request. */
#include "api/wire.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

enum {
    TICK_MS = 200, /* how often a waiting wire looks for wire_stop() */
    DRAIN_MS = 500,
    DRAIN_BYTES = 1 << 20,
    CHUNK_LINE_MAX = 10, /* 8 digits and CRLF */
    WRITE_RATE = 1 << 20 /* bytes a second that a client has to take */
};

struct wire {
    struct wire_limits limits;
    int fd;
    bool fresh; /* a request that wire_take() has not given out */
    uint64_t deadline_us;
    struct guard_refusal refusal;
    struct http_request rq;
    size_t have;
    char head[GUARD_HEAD_MAX];
};

static _Thread_local struct wire *current;
static atomic_bool stopping;

static bool
refuse(struct guard_refusal *why, int status, const char *detail)
{
    why->status = status;
    why->detail = detail;
    return false;
}

/* recv() itself would be ours. */
static ssize_t
sys_recv(int fd, void *p, size_t n, int flags)
{
    ssize_t got;

    do
        got = recvfrom(fd, p, n, flags, NULL, NULL);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Waits for an event.  False: the deadline has passed, or the server ends. */
static bool
wait_for(int fd, short event, uint64_t deadline_us)
{
    struct pollfd pfd = {.fd = fd, .events = event};

    while (!atomic_load(&stopping)) {
        uint64_t now = clock_mono_us();
        uint64_t left_ms;

        if (now >= deadline_us)
            return false;
        left_ms = (deadline_us - now + 999) / 1000;
        if (poll(&pfd, 1, left_ms < TICK_MS ? (int)left_ms : TICK_MS) > 0)
            return true;
    }
    return false;
}

static bool
wait_readable(int fd, uint64_t deadline_us)
{
    return wait_for(fd, POLLIN, deadline_us);
}

/* Takes n bytes that have been peeked at already. */
static bool
consume(struct wire *w, size_t n)
{
    while (n > 0) {
        ssize_t got = sys_recv(w->fd, w->head + w->have, n, 0);

        if (got <= 0)
            return false;
        w->have += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

/* Reads until the head is complete.  False with why->status 0: the client went
 * away without a word. */
static bool
read_head(struct wire *w, struct guard_refusal *why)
{
    size_t seen = 0;

    w->have = 0;
    w->deadline_us = clock_mono_us() + w->limits.timeout_ms * UINT64_C(1000);
    for (;;) {
        ssize_t got =
            sys_recv(w->fd, w->head + w->have, sizeof(w->head) - w->have,
                     MSG_PEEK | MSG_DONTWAIT);
        long end;

        if (got == 0)
            return w->have > 0 ? refuse(why, 400, "Request cut short") : false;
        if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return false;
        if (got > 0) {
            end = guard_scan(w->head, w->have + (size_t)got, &seen, why);
            if (end < 0)
                return false;
            if (end > 0)
                return consume(w, (size_t)end - w->have);
            if (!consume(w, (size_t)got))
                return false;
        }
        if (!wait_readable(w->fd, w->deadline_us))
            return refuse(why, 408, "Request not complete in time");
    }
}

/* What civetweb gets to read in place of the client's head. */
static ssize_t
hand_over(void *out, size_t size, bool keep_alive)
{
    const char *text = keep_alive
                           ? "GET / HTTP/1.1\r\n\r\n"
                           : "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    size_t n = strlen(text);

    if (size < n) /* civetweb's buffer holds a whole head */
        return 0;
    memcpy(out, text, n);
    return (ssize_t)n;
}

static ssize_t
next_head(struct wire *w, int fd, void *out, size_t size)
{
    w->fd = fd;
    w->refusal = (struct guard_refusal){0, NULL};
    if (read_head(w, &w->refusal))
        guard_read((struct slice){w->head, w->have}, w->limits.max_body, &w->rq,
                   &w->refusal);
    else if (w->refusal.status == 0)
        return 0;
    if (w->refusal.status != 0)
        w->rq.keep_alive = false;
    w->fresh = true;
    return hand_over(out, size, w->rq.keep_alive);
}

/* Takes the place of the C library's. */
__attribute__((visibility("default"))) ssize_t
recv(int fd, void *out, size_t size, int flags)
{
    if (current == NULL)
        return recvfrom(fd, out, size, flags, NULL, NULL);
    return next_head(current, fd, out, size);
}

bool
wire_in_place(void)
{
    ssize_t (*ours)(int, void *, size_t, int) = recv;
    void *found = dlsym(RTLD_DEFAULT, "recv");

    return memcmp(&ours, &found, sizeof(found)) == 0;
}

struct wire *
wire_new(const struct wire_limits *limits)
{
    struct wire *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    w->limits = *limits;
    w->fd = -1;
    current = w;
    return w;
}

void
wire_free(struct wire *w)
{
    current = NULL;
    free(w);
}

struct wire *
wire_current(void)
{
    return current;
}

void
wire_stop(void)
{
    atomic_store(&stopping, true);
}

const struct http_request *
wire_take(struct wire *w, struct guard_refusal *why)
{
    if (!w->fresh)
        return NULL;
    w->fresh = false;
    *why = w->refusal;
    return &w->rq;
}

/* ---- bodies ---- */

/* Reads exactly n bytes into out. */
static bool
read_exact(struct wire *w, char *out, size_t n, struct guard_refusal *why)
{
    while (n > 0) {
        ssize_t got = sys_recv(w->fd, out, n, MSG_DONTWAIT);

        if (got > 0) {
            out += got;
            n -= (size_t)got;
            /* A trickle must not hold the thread beyond the deadline. */
            if (n > 0 && clock_mono_us() >= w->deadline_us)
                return refuse(why, 408, "Request body not complete in time");
            continue;
        }
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            return refuse(why, 400, "Request body cut short");
        if (!wait_readable(w->fd, w->deadline_us))
            return refuse(why, 408, "Request body not complete in time");
    }
    return true;
}

static bool
read_into(struct wire *w, struct buf *out, size_t n, struct guard_refusal *why)
{
    char piece[8192];

    while (n > 0) {
        size_t want = n < sizeof(piece) ? n : sizeof(piece);

        if (!read_exact(w, piece, want, why))
            return false;
        buf_add(out, (struct slice){piece, want});
        if (out->failed)
            return refuse(why, 413, "Request body too large");
        n -= want;
    }
    return true;
}

/* A chunk's size line, byte by byte: it is short, and what follows it must not
 * be read. */
static bool
read_chunk_size(struct wire *w, int64_t *size, struct guard_refusal *why)
{
    char line[CHUNK_LINE_MAX] = "";
    size_t n = 0;

    do {
        if (n == sizeof(line))
            return refuse(why, 400, "Malformed chunk");
        if (!read_exact(w, line + n, 1, why))
            return false;
    } while (line[n++] != '\n');
    *size = n >= 2 && line[n - 2] == '\r'
                ? guard_chunk_size((struct slice){line, n - 2})
                : -1;
    return *size >= 0 ? true : refuse(why, 400, "Malformed chunk");
}

static bool
read_crlf(struct wire *w, struct guard_refusal *why)
{
    char end[2];

    if (!read_exact(w, end, 2, why))
        return false;
    return memcmp(end, "\r\n", 2) == 0 ? true
                                       : refuse(why, 400, "Malformed chunk");
}

/* Trailers are refused: nothing here needs them. */
static bool
read_chunks(struct wire *w, struct buf *out, struct guard_refusal *why)
{
    int64_t size;

    do {
        if (!read_chunk_size(w, &size, why))
            return false;
        if (size > w->limits.max_body - (int64_t)out->len)
            return refuse(why, 413, "Request body too large");
        if (!read_into(w, out, (size_t)size, why) || !read_crlf(w, why))
            return false;
    } while (size > 0);
    return true;
}

bool
wire_body(struct wire *w, struct buf *out, struct guard_refusal *why)
{
    if (w->rq.chunked)
        return read_chunks(w, out, why);
    return read_into(w, out, (size_t)w->rq.content_length, why);
}

/* ---- answers ---- */

bool
wire_write(struct wire *w, struct slice text)
{
    uint64_t deadline_us = clock_mono_us() +
                           w->limits.timeout_ms * UINT64_C(1000) +
                           text.len * UINT64_C(1000000) / WRITE_RATE;

    while (text.len > 0) {
        ssize_t sent =
            send(w->fd, text.ptr, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            text.ptr += sent;
            text.len -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for(w->fd, POLLOUT, deadline_us))
                return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool
wire_gone(const struct wire *w)
{
    struct pollfd pfd = {.fd = w->fd, .events = POLLRDHUP};

    return poll(&pfd, 1, 0) > 0 && pfd.revents != 0;
}

void
wire_drain(struct wire *w)
{
    uint64_t deadline_us = clock_mono_us() + DRAIN_MS * UINT64_C(1000);
    size_t total = 0;
    char piece[8192];

    shutdown(w->fd, SHUT_WR);
    while (total < DRAIN_BYTES && wait_readable(w->fd, deadline_us)) {
        ssize_t got = sys_recv(w->fd, piece, sizeof(piece), MSG_DONTWAIT);

        if (got <= 0)
            return;
        total += (size_t)got;
    }
}

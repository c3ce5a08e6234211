/* SPDX-License-Identifier: Apache-2.0 */
/* The provider of the benchmark: llm_server PORT LATENCY_MS.
 *
 * Answers every POST with the same chat completion after LATENCY_MS, on
 * connections that stay open.  tests/support/fake_llm.py can do far more, but
 * needs as long for a call as the node that is measured, on the same cores.
 * GET answers {"calls": N, "max_open": N}: that all came, and how many at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "base/list.h"

enum { REQUEST_MAX = 64 << 10, BACKLOG = 4096 };

static const char answer[] =
    "{\"id\": \"chatcmpl-1\", \"object\": \"chat.completion\", "
    "\"created\": 1741569952, \"model\": \"bench-0001\", \"choices\": "
    "[{\"index\": 0, \"logprobs\": null, \"finish_reason\": \"stop\", "
    "\"message\": {\"role\": \"assistant\", \"content\": "
    "\"You said: something that is worth an answer of ten words\", "
    "\"refusal\": null}}], \"usage\": {\"prompt_tokens\": 2, "
    "\"completion_tokens\": 12, \"total_tokens\": 14, "
    "\"completion_tokens_details\": {\"reasoning_tokens\": 0}}}";

struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_timer_t timer;
    struct list calls; /* the oldest first: all wait equally long */
    uint64_t latency_ms;
    unsigned count, open, max_open;
};

struct conn {
    uv_tcp_t tcp;
    struct list call; /* in calls while it waits for its answer */
    struct server *server;
    uint64_t due_ms;
    size_t len;
    char in[REQUEST_MAX];
};

static void
on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    if (!list_empty(&c->call))
        c->server->open--;
    list_del(&c->call);
    free(c);
}

static void
drop(struct conn *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void
reply(struct conn *c, const char *body)
{
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "x-request-id: req_bench\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    uv_buf_t b = uv_buf_init(text, (unsigned)n);

    if (uv_try_write((uv_stream_t *)&c->tcp, &b, 1) != n)
        drop(c);
}

/* ---- answers ---- */

static void
on_timer(uv_timer_t *timer)
{
    struct server *s = timer->data;

    while (!list_empty(&s->calls)) {
        struct conn *c = list_entry(s->calls.next, struct conn, call);

        if (c->due_ms > uv_now(&s->loop)) {
            uv_timer_start(timer, on_timer, c->due_ms - uv_now(&s->loop), 0);
            return;
        }
        list_del(&c->call);
        s->open--;
        reply(c, answer);
    }
}

static void
hold(struct conn *c)
{
    struct server *s = c->server;

    /* The loop's clock is of the turn's start, and whole milliseconds. */
    c->due_ms = uv_now(&s->loop) + s->latency_ms;
    list_add_tail(&s->calls, &c->call);
    s->count++;
    s->open++;
    if (s->open > s->max_open)
        s->max_open = s->open;
    if (!uv_is_active((uv_handle_t *)&s->timer))
        uv_timer_start(&s->timer, on_timer, s->latency_ms, 0);
}

static void
tell(struct conn *c)
{
    char body[64];

    snprintf(body, sizeof(body), "{\"calls\": %u, \"max_open\": %u}",
             c->server->count, c->server->max_open);
    reply(c, body);
}

/* ---- requests ---- */

/* The length of the request in c, 0 while it is not whole. */
static size_t
whole(const struct conn *c)
{
    const char *end = memmem(c->in, c->len, "\r\n\r\n", 4), *line = c->in;
    size_t total;

    if (end == NULL)
        return 0;
    total = (size_t)(end - c->in) + 4;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL)
        if (strncasecmp(++line, "content-length:", 15) == 0)
            total += strtoul(line + 15, NULL, 10);
    return c->len >= total ? total : 0;
}

static void
on_alloc(uv_handle_t *h, size_t size, uv_buf_t *out)
{
    struct conn *c = h->data;

    (void)size;
    *out = uv_buf_init(c->in + c->len, (unsigned)(REQUEST_MAX - 1 - c->len));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;

    (void)buf;
    if (n < 0) {
        drop(c);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    if (whole(c) == 0)
        return;
    c->len = 0; /* a client sends the next only when it has the answer */
    if (strncmp(c->in, "GET ", 4) == 0)
        tell(c);
    else
        hold(c);
}

static void
on_connection(uv_stream_t *listener, int status)
{
    struct server *s = listener->data;
    struct conn *c = status < 0 ? NULL : malloc(sizeof(*c));

    if (c == NULL)
        return;
    c->server = s;
    c->len = 0;
    list_init(&c->call);
    uv_tcp_init(&s->loop, &c->tcp);
    c->tcp.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
        uv_tcp_nodelay(&c->tcp, 1) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        drop(c);
}

int
main(int argc, char **argv)
{
    static struct server s;
    struct sockaddr_in at;

    if (argc != 3)
        return 2;
    s.latency_ms = strtoul(argv[2], NULL, 10);
    list_init(&s.calls);
    uv_loop_init(&s.loop);
    uv_timer_init(&s.loop, &s.timer);
    uv_tcp_init(&s.loop, &s.listener);
    s.timer.data = s.listener.data = &s;
    uv_ip4_addr("127.0.0.1", (int)strtol(argv[1], NULL, 10), &at);
    if (uv_tcp_bind(&s.listener, (const struct sockaddr *)&at, 0) != 0 ||
        uv_listen((uv_stream_t *)&s.listener, BACKLOG, on_connection) != 0)
        return 1;
    uv_run(&s.loop, UV_RUN_DEFAULT);
    return 0;
}

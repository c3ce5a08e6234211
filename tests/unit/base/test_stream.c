/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over TCP and unix sockets, against a server on the same loop. */
#include "base/stream.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/stream_client.h"

enum mode {
    SRV_ECHO,
    SRV_SINK,   /* reads and counts */
    SRV_SILENT, /* does not read */
    SRV_GREET,  /* says something and closes */
    SRV_RESET   /* resets */
};

union any {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

static struct server {
    enum mode mode;
    union any listener, peer;
    int accepted, ended, pieces;
    size_t bytes;
    bool is_pipe, stop; /* stop: answers no more */
    char in[65536];
} srv;

static uv_loop_t loop;
static struct stream_client cl;

static void
begin(void)
{
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
}

TestSuite(stream, .init = begin);

static void
close_peer(void)
{
    if (srv.accepted > 0 && !uv_is_closing(&srv.peer.handle))
        uv_close(&srv.peer.handle, NULL);
}

/* Ends the test: nothing may be left on the loop. */
static void
finish(void)
{
    stream_client_fini(&cl);
    close_peer();
    if (srv.listener.handle.loop != NULL &&
        !uv_is_closing(&srv.listener.handle))
        uv_close(&srv.listener.handle, NULL);
    stream_loop_end(&loop);
}

static void
on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    (void)h;
    (void)hint;
    *out = uv_buf_init(srv.in, sizeof(srv.in));
}

static void
on_written(uv_write_t *req, int status)
{
    (void)status;
    free(req);
}

static void
say(const char *p, size_t n)
{
    uv_write_t *req = malloc(sizeof(*req) + n);
    uv_buf_t b;

    memcpy(req + 1, p, n);
    b = uv_buf_init((char *)(req + 1), (unsigned)n);
    uv_write(req, &srv.peer.stream, &b, 1, on_written);
}

static void
on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *from)
{
    (void)h;
    if (n < 0) {
        srv.ended++;
        close_peer();
        return;
    }
    srv.pieces++;
    srv.bytes += (size_t)n;
    if (srv.mode == SRV_ECHO)
        say(from->base, (size_t)n);
}

static void
on_connection(uv_stream_t *listener, int status)
{
    cr_assert_eq(status, 0);
    if (srv.is_pipe)
        uv_pipe_init(&loop, &srv.peer.pipe, 0);
    else
        uv_tcp_init(&loop, &srv.peer.tcp);
    cr_assert_eq(uv_accept(listener, &srv.peer.stream), 0);
    srv.accepted++;
    switch (srv.mode) {
    case SRV_ECHO:
    case SRV_SINK:
        uv_read_start(&srv.peer.stream, on_alloc, on_read);
        break;
    case SRV_SILENT:
        break;
    case SRV_GREET:
        say("hello", 5);
        close_peer();
        break;
    case SRV_RESET:
        uv_tcp_close_reset(&srv.peer.tcp, NULL);
        break;
    }
}

/* Starts the server; returns its port. */
static int
serve(enum mode mode)
{
    struct sockaddr_in a;
    int n = sizeof(a);

    srv.mode = mode;
    uv_tcp_init(&loop, &srv.listener.tcp);
    uv_ip4_addr("127.0.0.1", 0, &a);
    cr_assert_eq(uv_tcp_bind(&srv.listener.tcp, (const struct sockaddr *)&a, 0),
                 0);
    cr_assert_eq(uv_listen(&srv.listener.stream, 8, on_connection), 0);
    uv_tcp_getsockname(&srv.listener.tcp, (struct sockaddr *)&a, &n);
    return ntohs(a.sin_port);
}

static void
serve_and_open(enum mode mode)
{
    struct stream_opts o = {.host = "127.0.0.1"};

    o.port = serve(mode);
    stream_client_open(&cl, &loop, &o);
}

static struct slice
slice(const char *s)
{
    return (struct slice){s, strlen(s)};
}

/* A port that nobody listens on. */
static int
free_port(void)
{
    int port = serve(SRV_ECHO);

    uv_close(&srv.listener.handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return port;
}

Test(stream, what_is_written_comes_back_and_a_turn_travels_together)
{
    serve_and_open(SRV_ECHO);
    stream_client_write(&cl, slice("early "));
    stream_loop_until(&loop, &cl.connected, 1);
    for (int i = 0; i < 100; i++)
        stream_client_write(&cl, slice("x"));
    cr_expect_geq(stream_backlog(cl.s), 100);
    stream_loop_until_size(&loop, &cl.got.len, 106);
    cr_expect_eq(strncmp(cl.got.data, "early xxx", 9), 0);
    cr_expect_leq(srv.pieces, 2);
    cr_expect_eq(stream_backlog(cl.s), 0);
    cr_expect_eq(cl.connected, 1);
    finish();
    cr_expect_eq(cl.lost, 0);
}

Test(stream, a_unix_socket_serves_as_well)
{
    char dir[] = "/tmp/lovage-stream-XXXXXX", path[64];
    struct stream_opts o = {.path = path};

    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    srv.mode = SRV_ECHO;
    srv.is_pipe = true;
    uv_pipe_init(&loop, &srv.listener.pipe, 0);
    cr_assert_eq(uv_pipe_bind(&srv.listener.pipe, path), 0);
    cr_assert_eq(uv_listen(&srv.listener.stream, 8, on_connection), 0);
    stream_client_open(&cl, &loop, &o);
    stream_client_write(&cl, slice("abc"));
    stream_loop_until_size(&loop, &cl.got.len, 3);
    finish();
    rmdir(dir);
}

Test(stream, megabytes_come_back_whole_and_in_order)
{
    const size_t size = 8 << 20;
    char *bytes = malloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    serve_and_open(SRV_ECHO);
    for (size_t i = 0; i < size; i += size / 8)
        stream_client_write(&cl, (struct slice){bytes + i, size / 8});
    stream_loop_until_size(&loop, &cl.got.len, size);
    cr_expect_eq(memcmp(cl.got.data, bytes, size), 0);
    cr_expect_eq(stream_backlog(cl.s), 0);
    free(bytes);
    finish();
}

Test(stream, a_name_is_looked_up_and_each_of_its_addresses_tried)
{
    struct stream_opts o = {.host = "localhost"};

    /* Mostly ::1 comes first, where nobody listens. */
    o.port = serve(SRV_ECHO);
    stream_client_open(&cl, &loop, &o);
    stream_loop_until(&loop, &cl.connected, 1);
    finish();
}

Test(stream, a_refused_connection_is_told_once_with_its_address)
{
    struct stream_opts o = {.host = "127.0.0.1", .port = free_port()};
    char text[100];

    stream_client_open(&cl, &loop, &o);
    stream_client_write(&cl, slice("never sent"));
    stream_loop_until(&loop, &cl.lost, 1);
    snprintf(text, sizeof(text), "127.0.0.1:%d: connection refused", o.port);
    cr_expect_str_eq(cl.why.text, text);
    cr_expect_eq(cl.why.code, ST_LOST);
    finish();
    cr_expect_eq(cl.lost, 1);
    cr_expect_eq(cl.connected, 0);
}

Test(stream, a_name_that_nobody_knows_is_lost)
{
    /* Two dots in a row: the resolver needs no network to refuse it. */
    struct stream_opts o = {.host = "no..such", .port = 1};

    stream_client_open(&cl, &loop, &o);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.why.code, ST_LOST);
    cr_expect_eq(strncmp(cl.why.text, "no..such:1: ", 12), 0, "%s",
                 cl.why.text);
    finish();
}

Test(stream, a_missing_socket_is_lost)
{
    struct stream_opts o = {.path = "/tmp/lovage-no-such.sock"};

    stream_client_open(&cl, &loop, &o);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_str_eq(cl.why.text,
                     "/tmp/lovage-no-such.sock: no such file or directory");
    finish();
}

Test(stream, a_peer_that_does_not_answer_is_given_up_in_time)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct stream_opts o = {.host = "127.0.0.1", .connect_timeout_ms = 200};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0), other[8];
    uint64_t from = uv_hrtime();

    /* A listener whose queue is full drops the next SYN. */
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, n), 0);
    cr_assert_eq(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&a, &n);
    for (int i = 0; i < 8; i++) {
        other[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(other[i], (struct sockaddr *)&a, n);
    }
    o.port = ntohs(a.sin_port);
    stream_client_open(&cl, &loop, &o);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.why.code, ST_TIMEOUT);
    cr_expect_not_null(strstr(cl.why.text, "connecting took more than 200 ms"),
                       "%s", cl.why.text);
    cr_expect_lt(uv_hrtime() - from, 3000000000u);
    for (int i = 0; i < 8; i++)
        close(other[i]);
    close(fd);
    finish();
}

Test(stream, what_a_peer_said_before_it_closed_arrives_first)
{
    serve_and_open(SRV_GREET);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.connected, 1);
    cr_expect_eq(cl.got.len, 5);
    cr_expect_eq(cl.why.code, ST_LOST);
    cr_expect_not_null(strstr(cl.why.text, ": closed by the peer"));
    finish();
}

Test(stream, a_reset_is_lost)
{
    serve_and_open(SRV_RESET);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.why.code, ST_LOST);
    finish();
}

Test(stream, too_much_unsent_loses_it_once_and_not_within_the_call)
{
    struct stream_opts o = {.host = "127.0.0.1", .max_backlog = 100000};
    static char bytes[30000];

    o.port = serve(SRV_SILENT);
    stream_client_open(&cl, &loop, &o);
    for (int i = 0; i < 10; i++)
        stream_client_write(&cl, (struct slice){bytes, sizeof(bytes)});
    cr_expect_eq(cl.lost, 0);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_not_null(strstr(cl.why.text, "too many unsent bytes"));
    finish();
    cr_expect_eq(cl.lost, 1);
}

Test(stream, the_limit_counts_what_the_kernel_has_not_taken)
{
    struct stream_opts o = {.host = "127.0.0.1", .max_backlog = 16 << 20};
    static char bytes[1 << 20];
    int written = 0;

    o.port = serve(SRV_SILENT);
    stream_client_open(&cl, &loop, &o);
    stream_loop_until(&loop, &cl.connected, 1);
    for (; cl.lost == 0 && written < 200; written++) {
        stream_client_write(&cl, (struct slice){bytes, sizeof(bytes)});
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    /* More than the limit, which the kernel's buffers come on top of. */
    cr_expect_geq(written, 16);
    cr_expect_lt(written, 100);
    finish();
}

Test(stream, paused_it_gets_nothing_and_resumed_it_gets_all)
{
    serve_and_open(SRV_ECHO);
    stream_loop_until(&loop, &cl.connected, 1);
    stream_pause(cl.s, true);
    stream_client_write(&cl, slice("abc"));
    stream_loop_for(&loop, 50);
    cr_expect_eq(srv.bytes, 3);
    cr_expect_eq(cl.got.len, 0);
    stream_pause(cl.s, false);
    stream_loop_until_size(&loop, &cl.got.len, 3);
    finish();
}

Test(stream, it_can_be_paused_before_it_is_connected)
{
    serve_and_open(SRV_ECHO);
    stream_pause(cl.s, true);
    stream_client_write(&cl, slice("abc"));
    stream_loop_until(&loop, &cl.connected, 1);
    stream_loop_for(&loop, 50);
    cr_expect_eq(srv.bytes, 3);
    cr_expect_eq(cl.got.len, 0);
    stream_pause(cl.s, false);
    stream_loop_until_size(&loop, &cl.got.len, 3);
    finish();
}

Test(stream, it_can_be_closed_in_each_of_its_events)
{
    cl.close_when_connected = true;
    serve_and_open(SRV_ECHO);
    stream_loop_until(&loop, &cl.connected, 1);
    stream_loop_for(&loop, 20);
    cr_expect_eq(cl.lost, 0);
    finish();
}

Test(stream, it_can_be_closed_when_data_comes)
{
    cl.close_on_data = true;
    serve_and_open(SRV_GREET);
    stream_loop_until(&loop, &cl.pieces, 1);
    stream_loop_for(&loop, 20);
    cr_expect_eq(cl.pieces, 1);
    cr_expect_eq(cl.lost, 0);
    finish();
}

Test(stream, it_can_be_closed_when_it_is_lost)
{
    cl.close_when_lost = true;
    serve_and_open(SRV_GREET);
    stream_loop_until(&loop, &cl.lost, 1);
    finish();
    cr_expect_eq(cl.lost, 1);
}

Test(stream, closed_at_once_it_says_nothing)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "no..such"};
    struct stream_opts o = {.port = serve(SRV_ECHO)};

    for (size_t i = 0; i < 3; i++) {
        o.host = hosts[i];
        stream_client_open(&cl, &loop, &o);
        stream_client_write(&cl, slice("x"));
        stream_client_fini(&cl);
    }
    stream_loop_for(&loop, 50);
    cr_expect_eq(cl.connected, 0);
    cr_expect_eq(cl.lost, 0);
    finish();
    stream_close(NULL);
    stream_close_flushed(NULL, 1);
}

Test(stream, a_loss_that_was_not_yet_told_dies_with_the_close)
{
    struct stream_opts o = {.host = "127.0.0.1", .max_backlog = 1};

    o.port = serve(SRV_ECHO);
    stream_client_open(&cl, &loop, &o);
    stream_client_write(&cl, slice("too much"));
    stream_client_close(&cl);
    stream_loop_for(&loop, 20);
    cr_expect_eq(cl.lost, 0);
    finish();
}

Test(stream, closed_flushed_it_sends_all_that_was_queued)
{
    static char bytes[1 << 20];

    serve_and_open(SRV_SINK);
    for (int i = 0; i < 8; i++)
        stream_client_write(&cl, (struct slice){bytes, sizeof(bytes)});
    stream_close_flushed(cl.s, 5000);
    cl.s = NULL;
    stream_loop_until(&loop, &srv.ended, 1);
    cr_expect_eq(srv.bytes, 8u << 20);
    finish();
    cr_expect_eq(cl.connected, 0);
    cr_expect_eq(cl.lost, 0);
}

Test(stream, closed_flushed_it_ends_in_time_when_nobody_reads)
{
    static char bytes[1 << 20];
    uint64_t from = uv_hrtime();

    serve_and_open(SRV_SILENT);
    for (int i = 0; i < 32; i++)
        stream_client_write(&cl, (struct slice){bytes, sizeof(bytes)});
    stream_loop_until(&loop, &cl.connected, 1);
    stream_close_flushed(cl.s, 100);
    cl.s = NULL;
    stream_loop_until(&loop, &srv.accepted, 1);
    close_peer();
    finish();
    cr_expect_lt(uv_hrtime() - from, 5000000000u);
}

Test(stream, closed_flushed_with_nothing_queued_it_ends_at_once)
{
    serve_and_open(SRV_SINK);
    stream_loop_until(&loop, &cl.connected, 1);
    stream_close_flushed(cl.s, 60000);
    cl.s = NULL;
    stream_loop_until(&loop, &srv.ended, 1);
    finish();
}

Test(stream, options_that_cannot_be_are_refused_at_once)
{
    char path[200];
    struct stream_tls tls = {.verify = true};
    const struct stream_opts rows[] = {
        {.port = 1},
        {.host = "h", .port = 0},
        {.host = "h", .port = 65536},
        {.path = path},
        {.path = "/s", .tls = &tls},
    };
    static const struct stream_events ev;

    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stream *s = NULL;
        struct error err;

        cr_expect_eq(stream_open(&s, &loop, &rows[i], &ev, NULL, &err),
                     ST_INVALID);
        cr_expect_null(s);
    }
    finish();
}

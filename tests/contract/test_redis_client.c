/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis connection against servers that answer nonsense, late or never. */
#include "store/redis/client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis/calls.h"
#include "tests/support/loop.h"
#include "tests/support/redis_server.h"

/* A server that says the same to whatever it is asked. */
struct parrot {
    uv_tcp_t listener, peer;
    const char *text;
    int connections;
};

struct watch {
    int up, down, failed, answers, errors, lost;
    enum status why;
    char text[240];
};

static void
on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
    static char memory[4096];

    (void)h;
    (void)n;
    *b = uv_buf_init(memory, sizeof memory);
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct parrot *p = s->data;
    size_t len = strlen(p->text);
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)p->text, (unsigned)len);

    (void)b;
    if (n < 0)
        uv_close((uv_handle_t *)s, NULL);
    else
        uv_try_write(s, &out, 1);
}

static void
on_connection(uv_stream_t *listener, int status)
{
    struct parrot *p = listener->data;

    cr_assert_eq(status, 0);
    if (p->connections++ > 0 && !uv_is_closing((uv_handle_t *)&p->peer))
        return;
    uv_tcp_init(listener->loop, &p->peer);
    p->peer.data = p;
    uv_accept(listener, (uv_stream_t *)&p->peer);
    uv_read_start((uv_stream_t *)&p->peer, on_alloc, on_read);
}

static int
parrot_start(struct parrot *p, uv_loop_t *loop, const char *text)
{
    struct sockaddr_in a;
    int len = sizeof a;

    *p = (struct parrot){.text = text};
    uv_ip4_addr("127.0.0.1", 0, &a);
    uv_tcp_init(loop, &p->listener);
    p->listener.data = p;
    cr_assert_eq(uv_tcp_bind(&p->listener, (struct sockaddr *)&a, 0), 0);
    cr_assert_eq(uv_listen((uv_stream_t *)&p->listener, 8, on_connection), 0);
    uv_tcp_getsockname(&p->listener, (struct sockaddr *)&a, &len);
    return ntohs(a.sin_port);
}

static void
on_up(void *arg)
{
    ((struct watch *)arg)->up++;
}

static void
on_down(void *arg, const struct error *why)
{
    struct watch *w = arg;

    w->down++;
    w->why = why->code;
    (void)snprintf(w->text, sizeof w->text, "%s", why->text);
}

static void
on_answer(void *arg, const struct redisReply *r, const struct error *why)
{
    struct watch *w = arg;

    (void)why;
    if (r == NULL)
        w->lost++;
    else if (r->type == REDIS_REPLY_ERROR) {
        struct error err;

        (void)redis_status(r, &err);
        (void)snprintf(w->text, sizeof w->text, "%s", err.text);
        w->errors++;
    } else
        w->answers++;
}

static struct redis *
open_client(uv_loop_t *loop, const char *url, uint32_t timeout_ms,
            struct watch *w)
{
    static const struct redis_events events = {.up = on_up, .down = on_down};
    struct redis_opts opts = {
        .url = url, .name = "test", .command_timeout_ms = timeout_ms};
    struct redis *c;
    struct error err;

    cr_assert_eq(redis_open(&c, loop, &opts, &events, w, &err), ST_OK);
    cr_assert_eq(w->up + w->down, 0, "told before it returned");
    return c;
}

static enum status
send_word(struct redis *c, const char *word, struct watch *w)
{
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, word);
    return redis_send(c, &cmd, on_answer, w);
}

struct goal {
    const int *value;
    int count;
};

static bool
reached(void *arg)
{
    struct goal *g = arg;

    return *g->value >= g->count;
}

static bool
wait_for(uv_loop_t *loop, const int *value, int count, int ms)
{
    struct goal g = {value, count};

    return loop_until(loop, reached, &g, ms);
}

static void
meet_parrot(const char *text, enum status expected)
{
    struct watch w = {0};
    struct parrot p;
    uv_loop_t loop;
    char url[64];
    struct redis *c;

    uv_loop_init(&loop);
    (void)snprintf(url, sizeof url, "redis://:pw@127.0.0.1:%d/3",
                   parrot_start(&p, &loop, text));
    c = open_client(&loop, url, 400, &w);
    cr_assert(wait_for(&loop, &w.down, 1, 3000), "%s", text);
    cr_assert_eq(w.why, expected, "%s: %s", text, status_text(w.why));
    cr_assert(wait_for(&loop, &p.connections, 3, 5000), "it tries again: %s",
              text);
    cr_assert_leq(w.down, w.up + 1, "told once an outage");
    redis_close(c, NULL, NULL);
    uv_close((uv_handle_t *)&p.listener, NULL);
    loop_until(&loop, NULL, NULL, 50);
    if (!uv_is_closing((uv_handle_t *)&p.peer))
        uv_close((uv_handle_t *)&p.peer, NULL);
    loop_end(&loop);
}

Test(redis_client, a_server_that_makes_no_sense_is_left, .timeout = 60)
{
    meet_parrot("HTTP/1.1 400 Bad Request\r\n\r\n", ST_LOST);
    meet_parrot("*x\r\n", ST_LOST);
    meet_parrot("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
                ST_LOST);
}

Test(redis_client, a_server_that_says_nothing_is_left, .timeout = 60)
{
    meet_parrot("", ST_LOST);
}

Test(redis_client, refusals_to_log_in_are_told_apart, .timeout = 60)
{
#define SIX(x) x x x x x x
    meet_parrot(SIX("-LOADING Redis is loading\r\n"), ST_BUSY);
    meet_parrot(SIX("-WRONGPASS invalid\r\n"), ST_DENIED);
    meet_parrot(SIX("-NOAUTH Authentication required.\r\n"), ST_DENIED);
    meet_parrot(SIX("-ERR unknown command\r\n"), ST_PROTO);
}

/* The bus has a port of its own: ten thousand above may be too high. */
static struct redis_server *
cluster_new(bool shy)
{
    char port[16];
    const char *flags[] = {"--cluster-enabled",
                           "yes",
                           "--cluster-port",
                           port,
                           shy ? "--user" : NULL,
                           "w",
                           "on",
                           ">pw",
                           "~*",
                           "+@all",
                           "-cluster",
                           NULL};

    (void)snprintf(port, sizeof port, "%d", redis_server_free_port());
    return redis_server_new(flags);
}

Test(redis_client, a_cluster_is_refused_and_the_reason_is_told, .timeout = 60)
{
    struct redis_server *s = cluster_new(false);
    struct watch w = {0};
    uv_loop_t loop;
    struct redis *c;

    uv_loop_init(&loop);
    c = open_client(&loop, redis_server_url(s), 1000, &w);
    cr_assert(wait_for(&loop, &w.down, 1, 3000));
    cr_assert_eq(w.up, 0);
    cr_assert_eq(w.why, ST_INVALID);
    cr_assert_not_null(strstr(w.text, "Redis Cluster, which is not supported"),
                       "%s", w.text);
    redis_close(c, NULL, NULL);
    loop_end(&loop);
    redis_server_free(s);
}

/* Who may not ask whether it is one finds out by the answers. */
Test(redis_client, a_cluster_is_told_by_its_answers, .timeout = 60)
{
    struct redis_server *s = cluster_new(true);
    struct watch w = {0};
    struct redis_cmd cmd;
    uv_loop_t loop;
    struct redis *c;
    char url[64];

    (void)snprintf(url, sizeof url, "redis://w:pw@127.0.0.1:%d",
                   redis_server_port(s));
    free(redis_server_ask(s, "CLUSTER ADDSLOTSRANGE 0 16383"));
    uv_loop_init(&loop);
    c = open_client(&loop, url, 1000, &w);
    cr_assert(wait_for(&loop, &w.up, 1, 3000), "%s", w.text);
    redis_cmd_init(&cmd, "EXISTS");
    redis_cmd_str(&cmd, "a");
    redis_cmd_str(&cmd, "b");
    cr_assert_eq(redis_send(c, &cmd, on_answer, &w), ST_OK);
    cr_assert(wait_for(&loop, &w.errors, 1, 3000));
    cr_assert_not_null(strstr(w.text, "Redis Cluster, which is not supported"),
                       "%s", w.text);
    redis_close(c, NULL, NULL);
    loop_end(&loop);
    redis_server_free(s);
}

Test(redis_client, an_answer_that_does_not_come_is_a_loss, .timeout = 60)
{
    struct redis_server *s = redis_server_new(NULL);
    struct watch w = {0};
    uv_loop_t loop;
    struct redis *c;

    uv_loop_init(&loop);
    c = open_client(&loop, redis_server_url(s), 300, &w);
    cr_assert_eq(send_word(c, "PING", &w), ST_LOST);
    cr_assert(wait_for(&loop, &w.up, 1, 3000));
    cr_assert_eq(send_word(c, "PING", &w), ST_OK);
    cr_assert_eq(send_word(c, "NONSENSE", &w), ST_OK);
    cr_assert(wait_for(&loop, &w.errors, 1, 3000));
    cr_assert_eq(w.answers, 1);

    redis_server_freeze(s, true);
    cr_assert_eq(send_word(c, "PING", &w), ST_OK);
    cr_assert_eq(send_word(c, "PING", &w), ST_OK);
    cr_assert(wait_for(&loop, &w.lost, 2, 1500));
    cr_assert_eq(w.down, 1);
    redis_server_freeze(s, false);
    cr_assert(wait_for(&loop, &w.up, 2, 3000));
    redis_close(c, NULL, NULL);
    loop_end(&loop);
    redis_server_free(s);
}

Test(redis_client, a_stop_of_this_process_is_no_loss, .timeout = 60)
{
    struct redis_server *s = redis_server_new(NULL);
    struct watch w = {0};
    uv_loop_t loop;
    struct redis *c;

    uv_loop_init(&loop);
    c = open_client(&loop, redis_server_url(s), 300, &w);
    cr_assert(wait_for(&loop, &w.up, 1, 3000));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(send_word(c, "PING", &w), ST_OK);
        uv_run(&loop, UV_RUN_NOWAIT);
        uv_run(&loop, UV_RUN_NOWAIT);
        uv_sleep(800);
        uv_update_time(&loop);
        cr_assert(wait_for(&loop, &w.answers, i + 1, 1000));
    }
    cr_assert_eq(w.down, 0);
    redis_close(c, NULL, NULL);
    loop_end(&loop);
    redis_server_free(s);
}

/* ---- calls ---- */

struct order {
    char text[64];
    int answers, lost;
};

static void
on_call(void *arg, enum status st, const struct redisReply *r)
{
    struct order *o = arg;
    size_t at = strlen(o->text);

    if (st == ST_LOST)
        o->lost++;
    else if (st == ST_OK && r->type == REDIS_REPLY_INTEGER)
        (void)snprintf(o->text + at, sizeof o->text - at, "%lld ", r->integer);
    o->answers++;
}

static void
ignore(void *arg)
{
    (void)arg;
}

static void
ignore_down(void *arg, const struct error *why)
{
    (void)arg;
    (void)why;
}

static void
call(struct calls *q, enum call_kind kind, struct order *o)
{
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "APPEND");
    redis_cmd_str(&cmd, "k");
    redis_cmd_str(&cmd, "x");
    cr_assert_eq(calls_send(q, kind, &cmd, on_call, o), ST_OK);
}

Test(redis_calls, what_may_be_repeated_is_and_what_may_not_is_told,
     .timeout = 60)
{
    static const struct calls_events events = {.up = ignore,
                                               .down = ignore_down};
    struct redis_server *s = redis_server_new(NULL);
    struct redis_opts opts = {.url = redis_server_url(s), .name = "test"};
    struct order again = {.answers = 0}, once = {.answers = 0};
    struct calls *q;
    struct error err;
    uv_loop_t loop;

    uv_loop_init(&loop);
    cr_assert_eq(calls_open(&q, &loop, &opts, &events, NULL, &err), ST_OK);
    call(q, CALL_ORDERED, &again); /* before there is a connection */
    call(q, CALL_ORDERED, &again);
    call(q, CALL_ONCE, &once);
    cr_assert(wait_for(&loop, &once.answers, 1, 3000));
    cr_assert_str_eq(again.text, "1 2 ");
    cr_assert_str_eq(once.text, "3 ");

    redis_server_freeze(s, true);
    call(q, CALL_ORDERED, &again);
    call(q, CALL_ONCE, &once);
    loop_until(&loop, NULL, NULL, 50);
    redis_server_kill(s);
    cr_assert(wait_for(&loop, &once.answers, 2, 3000));
    cr_assert_eq(once.lost, 1);
    call(q, CALL_ONCE, &once); /* not sent so far: waits */
    loop_until(&loop, NULL, NULL, 50);
    cr_assert_eq(once.answers, 2);
    cr_assert_eq(calls_count(q), 2);
    redis_server_start(s);
    cr_assert(wait_for(&loop, &once.answers, 3, 3000));
    cr_assert_str_eq(again.text, "1 2 1 ");
    cr_assert_str_eq(once.text, "3 2 ");
    cr_assert_eq(calls_count(q) + calls_bytes(q), 0);

    calls_close(q, NULL, NULL);
    loop_end(&loop);
    redis_server_free(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis broker at moments that are hard to hit: in the middle of closing,
 * of a script, of putting messages back. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis/scripts.h"
#include "tests/support/loop.h"
#include "tests/support/redis_rig.h"
#include "tests/support/redis_server.h"
#include "tests/support/tcp_proxy.h"

/* A message in the hands of instance, which the exchange ex brought. */
static void
plant(struct rig *r, const char *instance, const char *tag, const char *ex)
{
    char value[1200], key[80];

    (void)snprintf(value, sizeof value, "[%s, \"%s\", \"%s\"]",
                   redis_rig_envelope(1, tag), ex, *ex == '\0' ? "q" : "k");
    (void)snprintf(key, sizeof key, "lovage.held.%s", instance);
    DO(r, "HSET", "unacked", tag, value);
    DO(r, "ZADD", "unacked_index", "5000000000", tag);
    DO(r, "SADD", key, tag);
    DO(r, "SADD", "lovage.nodes", instance);
}

/* ---- closing ---- */

REDIS(redis_edges, no_event_comes_after_close_at_whatever_moment)
{
    struct error err;

    for (int turns = 1; turns < 40; turns++) {
        int ready, lost;

        cr_assert_eq(rig_open_url(r, r->impl->url(r->server), &err), ST_OK);
        for (int i = 0; i < turns; i++)
            uv_run(&r->loop, UV_RUN_ONCE);
        ready = r->ready;
        lost = r->lost;
        rig_close(r, 500);
        cr_assert_eq(r->ready, ready, "ready after %d turns", turns);
        cr_assert_eq(r->lost, lost, "lost after %d turns", turns);
    }
}

REDIS(redis_edges, what_its_last_take_lost_is_found_after_it_has_left)
{
    struct rig other;

    rig_open(r);
    rig_consume(r, "q", 5);
    rig_run(r, 100);
    /* Taken, but the answer never came; and it is told to stop. */
    r->impl->down(r->server, true);
    cr_assert(rig_wait_lost(r, 1, 3000));
    r->impl->down(r->server, false);
    plant(r, "w1@test/1", "tag-1", "");
    rig_close(r, 4000);

    rig_init_beside(&other, r, "w2@test/1");
    rig_open(&other);
    rig_consume(&other, "q", 5);
    cr_assert(rig_wait_got(&other, 1, 4000));
    rig_run(&other, 1500);
    cr_assert_eq(redis_rig_number(r, "SCARD lovage.nodes"), 1);
    rig_fini(&other);
}

/* ---- putting back ---- */

/* Whoever comes second finds the message gone, and then, before it has cleaned
 * up behind it, a third has taken it again. */
REDIS(redis_edges, cleaning_up_takes_nothing_from_who_has_it_now)
{
    struct tcp_proxy *p = tcp_proxy_new(redis_server_port(r->server));
    struct error err;
    char url[64];

    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d/0",
                   tcp_proxy_port(p));
    plant(r, "dead/1", "tag-1", "");
    redis_rig_ask(r, "HDEL unacked tag-1");
    tcp_proxy_hold_at(p, redis_script_sha(SCRIPT_CLEAN));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    for (int i = 0; i < 300 && !tcp_proxy_is_held(p); i++)
        rig_run(r, 10);
    cr_assert(tcp_proxy_is_held(p));

    plant(r, "w3@test/1", "tag-1", "");
    DO(r, "SET", "lovage.node.w3@test/1", "1");
    tcp_proxy_hold(p, false);
    rig_run(r, 300);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 1);
    cr_assert_eq(redis_rig_number(r, "ZCARD unacked_index"), 1);
    rig_close(r, 1000);
    tcp_proxy_free(p);
}

static void
bind_nine(struct rig *r, const char *exchange)
{
    char key[64], member[64];

    (void)snprintf(key, sizeof key, "_kombu.binding.%s", exchange);
    for (int i = 1; i <= 9; i++) {
        (void)snprintf(member, sizeof member, "k" SEP SEP "list%d", i);
        DO(r, "SADD", key, member);
    }
    DO(r, "SET", "list5", "no list");
}

/* How many messages are in the eight queues that are queues. */
static long
in_eight(struct rig *r)
{
    long n = 0;
    char command[32];

    for (int i = 1; i <= 9; i++) {
        (void)snprintf(command, sizeof command, "LLEN list%d", i);
        n += i == 5 ? 0 : redis_rig_number(r, command);
    }
    return n;
}

REDIS(redis_edges, a_message_for_many_queues_reaches_all_or_none)
{
    struct message *m = rig_message("ex", "k", 1);
    struct error err;

    bind_nine(r, "ex");
    rig_open(r);
    cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK);
    rig_run(r, 300);
    cr_assert_eq(r->published_bad, 1);
    cr_assert_eq(in_eight(r), 0, "it would be there twice when sent again");
    redis_rig_ask(r, "DEL list5");
    cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK);
    cr_assert(rig_wait_published(r, 1, 3000));
    cr_assert_eq(in_eight(r), 8);
    message_free(m);
}

REDIS(redis_edges, a_message_is_put_back_to_all_its_queues_or_none)
{
    bind_nine(r, "ex");
    plant(r, "dead/1", "tag-1", "ex");
    rig_open(r);
    rig_run(r, 2500);
    cr_assert_eq(in_eight(r), 0);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 1);
    redis_rig_ask(r, "DEL list5");
    for (int i = 0; i < 30 && redis_rig_number(r, "HLEN unacked") > 0; i++)
        rig_run(r, 100);
    cr_assert_eq(in_eight(r), 8);
}

REDIS(redis_edges, a_limited_scan_puts_back_as_many_as_it_may)
{
    char tag[16];

    for (int i = 0; i < 60; i++) {
        (void)snprintf(tag, sizeof tag, "t%d", i);
        plant(r, "python/1", tag, "");
        DO(r, "ZADD", "unacked_index", "1000.5", tag);
    }
    redis_rig_ask(r, "DEL lovage.nodes lovage.held.python/1");
    redis_rig_options(r, "{\"unacked_restore_limit\": 40}");
    rig_open(r);
    rig_run(r, 500);
    cr_assert_eq(redis_rig_number(r, "LLEN q"), 40);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 20);
}

/* ---- taking ---- */

REDIS(redis_edges, a_queue_that_is_no_list_stops_no_other)
{
    DO(r, "SET", "q1", "no list");
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q1", 5);
    rig_consume(r, "q", 5);
    for (int i = 0; i < 3; i++) {
        rig_publish(r, "q", i);
        cr_assert(rig_wait_got(r, i + 1, 3000), "%d", i);
    }
    redis_rig_ask(r, "DEL q1");
    rig_publish(r, "q1", 3);
    cr_assert(rig_wait_got(r, 4, 3000));
}

/* ---- bounds ---- */

REDIS(redis_edges, forgotten_scripts_are_loaded_once_not_for_each_command)
{
    struct message *m = rig_message("ex", "k", 1);
    struct error err;
    const char *at;
    int loads = 0;

    DO(r, "SADD", "_kombu.binding.ex", "k" SEP SEP "list1");
    rig_open(r);
    redis_rig_ask(r, "SCRIPT FLUSH");
    redis_rig_ask(r, "CONFIG RESETSTAT");
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK);
    cr_assert(rig_wait_published(r, 1000, 5000));
    at = strstr(redis_rig_ask(r, "INFO commandstats"),
                "cmdstat_script|load:calls=");
    cr_assert_not_null(at);
    cr_assert_eq(sscanf(at, "cmdstat_script|load:calls=%d", &loads), 1);
    cr_assert_leq(loads, 3 * SCRIPT_COUNT);
    message_free(m);
}

REDIS(redis_edges, what_waits_for_a_frozen_server_is_bounded)
{
    static const char pidbox[] = "celery.pidbox";
    struct slice exchange = {pidbox, sizeof pidbox - 1};
    struct message *m = rig_message(pidbox, "", 1);
    enum status st = ST_OK;
    struct error err;
    int n = 0;

    rig_open(r);
    redis_server_freeze(r->server, true);
    for (; n < 50000 && st == ST_OK; n++) {
        st = r->b->ops->publish_fanout(r->b, exchange, m, &err);
        if (n % 100 == 0)
            rig_run(r, 1);
    }
    redis_server_freeze(r->server, false);
    cr_assert_eq(st, ST_BUSY, "%d", n);
    rig_run(r, 500);
    cr_assert_eq(r->b->ops->publish_fanout(r->b, exchange, m, &err), ST_OK);
    cr_assert_eq(r->lost, 0);
    message_free(m);
}

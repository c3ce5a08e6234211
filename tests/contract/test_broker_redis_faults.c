/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis broker when Redis, other consumers or connections fail. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/support/redis_rig.h"
#include "tests/support/redis_server.h"

static const char held_key[] = "lovage.held.w1@test/1";

/* ---- copies ---- */

REDIS(redis_faults, a_copy_of_what_is_held_is_ignored)
{
    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));
    /* Another worker's visibility scan thinks that it is lost. */
    redis_rig_ask(r, "HDEL unacked tag-1");
    redis_rig_ask(r, "ZREM unacked_index tag-1");
    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-1"));
    rig_run(r, 500);
    cr_assert_eq(r->got_count, 1);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 1);
    redis_rig_settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(redis_faults, what_redis_forgot_to_have_taken_is_not_run_again)
{
    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));
    redis_rig_settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    /* The last second is gone after a restart: the message is back. */
    r->impl->cut(r->server);
    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-1"));
    cr_assert(rig_wait_ready(r, 2, 3000));
    rig_run(r, 500);
    cr_assert_eq(r->got_count, 1);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked q"), 0);

    /* Long after that it is a new message with old bytes. */
    clock_shift_us(60 * 1000000);
    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-2"));
    cr_assert(rig_wait_got(r, 2, 3000));
    redis_rig_settle(r, 1, VERDICT_ACK);
    rig_run(r, 200);
    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-2"));
    cr_assert(rig_wait_got(r, 3, 3000));
    clock_shift_us(0);
}

REDIS(redis_faults, a_settled_message_that_redis_still_holds_is_settled_again)
{
    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));
    redis_rig_settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    DO(r, "HSET", "unacked", "tag-1", "[{}, \"\", \"q\"]");
    DO(r, "SADD", held_key, "tag-1");
    r->impl->cut(r->server);
    cr_assert(rig_wait_ready(r, 2, 3000));
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 1);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked lovage.held.w1@test/1"),
                 0);
}

REDIS(redis_faults, what_was_taken_and_never_delivered_is_put_back)
{
    char value[1200];

    rig_open(r);
    rig_consume(r, "q", 5);
    rig_run(r, 100);
    (void)snprintf(value, sizeof value, "[%s, \"\", \"q\"]",
                   redis_rig_envelope(1, "tag-1"));
    DO(r, "HSET", "unacked", "tag-1", value);
    DO(r, "ZADD", "unacked_index", "5000000000", "tag-1");
    DO(r, "SADD", held_key, "tag-1");
    r->impl->cut(r->server);
    cr_assert(rig_wait_got(r, 1, 3000));
    cr_assert_eq(r->got[0].n, 1);
}

/* ---- other consumers ---- */

REDIS(redis_faults, a_dead_consumer_is_noticed_after_its_lease)
{
    struct rig other;

    rig_open(r);
    for (int i = 0; i < 200; i++)
        rig_publish(r, "q", i);
    cr_assert(rig_wait_published(r, 200, 3000));
    rig_consume(r, "q", 200);
    cr_assert(rig_wait_got(r, 200, 3000));
    rig_close(r, 0);

    rig_init_beside(&other, r, "w2@test/1");
    rig_open(&other);
    rig_consume(&other, "q", 500);
    rig_run(&other, 300);
    cr_assert_eq(other.got_count, 0, "the lease has not run out");
    cr_assert(rig_wait_got(&other, 200, 2500), "%d", other.got_count);
    rig_run(&other, 1500);
    cr_assert_eq(redis_rig_number(r, "SCARD lovage.nodes"), 1);
    cr_assert_eq(redis_rig_number(r, "EXISTS lovage.held.w1@test/1"), 0);
    rig_fini(&other);
}

REDIS(redis_faults,
      a_living_consumer_keeps_what_it_holds_past_the_visibility_timeout)
{
    struct rig other;

    redis_rig_options(r, "{\"visibility_timeout\": 1}");
    rig_open(r);
    rig_publish(r, "q", 1);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    rig_run(r, 2500);

    rig_init_beside(&other, r, "w2@test/1");
    redis_rig_options(&other, "{\"visibility_timeout\": 1}");
    rig_open(&other); /* scans at once */
    rig_consume(&other, "q", 5);
    rig_run(&other, 500);
    cr_assert_eq(other.got_count, 0);
    rig_fini(&other);
}

REDIS(redis_faults,
      what_a_lost_worker_held_comes_back_after_the_visibility_timeout)
{
    char value[1200];

    for (int i = 0; i < 150; i++) {
        char tag[16];
        (void)snprintf(tag, sizeof tag, "t%d", i);
        (void)snprintf(value, sizeof value, "[%s, \"\", \"q\"]",
                       redis_rig_envelope(i, tag));
        DO(r, "HSET", "unacked", tag, value);
        DO(r, "ZADD", "unacked_index", "1000.5", tag);
    }
    DO(r, "HSET", "unacked", "broken", "[{, \"\", \"q\"]");
    DO(r, "ZADD", "unacked_index", "1000.5", "broken");
    DO(r, "ZADD", "unacked_index", "1000.5", "gone");
    DO(r, "HSET", "unacked", "fresh", value);
    DO(r, "ZADD", "unacked_index", "5000000000", "fresh");
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 50);
    cr_assert(rig_wait_got(r, 150, 3000), "%d", r->got_count);
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 150);
    cr_assert(r->got[0].redelivered);
    cr_assert_str_eq(redis_rig_ask(r, "HKEYS unacked"), "fresh");
    cr_assert_str_eq(redis_rig_ask(r, "ZRANGE unacked_index 0 -1"), "fresh");
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked_mutex"), 0);
}

REDIS(redis_faults, two_consumers_share_without_a_copy)
{
    static int seen[5000];
    struct rig other;

    rig_open(r);
    rig_init_beside(&other, r, "w2@test/1");
    rig_open(&other);
    r->ack_at_once = other.ack_at_once = true;
    rig_consume(r, "q", 10);
    rig_consume(&other, "q", 10);
    for (int i = 0; i < 5000; i++)
        rig_publish(r, "q", i);
    for (int i = 0; i < 2000 && r->got_count + other.got_count < 5000; i++) {
        rig_run(r, 3);
        rig_run(&other, 3);
    }
    for (int i = 0; i < r->got_count; i++)
        seen[r->got[i].n]++;
    for (int i = 0; i < other.got_count; i++)
        seen[other.got[i].n]++;
    for (int i = 0; i < 5000; i++)
        cr_assert_eq(seen[i], 1, "%d: %d", i, seen[i]);
    rig_fini(&other);
}

/* ---- a server in trouble ---- */

REDIS(redis_faults, it_survives_flushall_and_script_flush)
{
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    redis_rig_ask(r, "FLUSHALL");
    redis_rig_ask(r, "SCRIPT FLUSH");
    rig_publish(r, "q", 2);
    cr_assert(rig_wait_got(r, 2, 3000));
    cr_assert_eq(r->lost, 0);
}

static bool
binds_again(struct rig *r, int ms)
{
    rig_run(r, 300); /* it waits for messages, and is idle */
    cr_assert_eq(redis_rig_number(r, "EXISTS _kombu.binding.q lovage.nodes"),
                 2);
    redis_rig_ask(r, "FLUSHALL");
    for (int waited = 0; waited < ms; waited += 10) {
        if (redis_rig_number(r, "EXISTS _kombu.binding.q lovage.nodes") == 2)
            return true;
        rig_run(r, 10);
    }
    return false;
}

REDIS(redis_faults, after_flushall_it_binds_at_once)
{
    r->config.worker_lease = 30; /* the beat would be ten seconds later */
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(binds_again(r, 500));
}

REDIS(redis_faults, without_tracking_it_binds_at_the_next_beat)
{
    char url[128];
    struct error err;

    redis_rig_ask(r, "ACL SETUSER poor on >pw ~* &* +@all -client|tracking");
    (void)snprintf(url, sizeof url, "redis://poor:pw@127.0.0.1:%d/0",
                   redis_server_port(r->server));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    rig_consume(r, "q", 5);
    cr_assert(binds_again(r, 1500));
}

REDIS(redis_faults, without_memory_it_consumes_and_publishing_waits)
{
    rig_open(r);
    for (int i = 0; i < 50; i++)
        rig_publish(r, "q", i);
    cr_assert(rig_wait_published(r, 50, 3000));
    redis_rig_ask(r, "CONFIG SET maxmemory 1");
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 50, 3000), "%d", r->got_count);
    rig_run(r, 200);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 0);

    rig_publish(r, "q", 50);
    rig_run(r, 500);
    cr_assert_eq(r->published_ok, 50);
    redis_rig_ask(r, "CONFIG SET maxmemory 0");
    cr_assert(rig_wait_published(r, 51, 2500));
    cr_assert(rig_wait_got(r, 51, 2500));
    cr_assert_eq(r->lost, 0);
}

REDIS(redis_faults, a_key_of_another_type_loses_nothing)
{
    rig_open(r);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_published(r, 1, 3000));
    DO(r, "SET", "unacked", "not a hash");
    rig_consume(r, "q", 5);
    rig_run(r, 500);
    cr_assert_eq(r->got_count, 0);
    cr_assert_eq(redis_rig_number(r, "LLEN q"), 1);
    redis_rig_ask(r, "DEL unacked");
    cr_assert(rig_wait_got(r, 1, 3000));
}

REDIS(redis_faults, without_tracking_it_polls)
{
    char url[128];
    struct error err;

    redis_rig_ask(r, "ACL SETUSER poor on >pw ~* &* +@all -client|tracking");
    (void)snprintf(url, sizeof url, "redis://poor:pw@127.0.0.1:%d/0",
                   redis_server_port(r->server));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    for (int i = 0; i < 5; i++) {
        rig_run(r, 300);
        redis_rig_push(r, "q", redis_rig_envelope(i, "t"));
        cr_assert(rig_wait_got(r, i + 1, 150));
    }
}

REDIS(redis_faults, when_only_the_pubsub_connection_is_cut_it_goes_on)
{
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    for (int i = 0; i < 5; i++) {
        rig_run(r, 200);
        redis_rig_ask(r, "CLIENT KILL TYPE pubsub");
        redis_rig_push(r, "q", redis_rig_envelope(i, "t"));
        cr_assert(rig_wait_got(r, i + 1, 300), "%d", i);
    }
    cr_assert_eq(r->lost, 0);
}

REDIS(redis_faults, another_database_and_a_unix_socket)
{
    char url[256];
    struct error err;

    (void)snprintf(url, sizeof url, "%s?virtual_host=5",
                   redis_server_socket_url(r->server));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_published(r, 1, 3000));
    cr_assert_eq(redis_rig_number(r, "EXISTS q"), 0);
    redis_rig_ask(r, "SELECT 5");
    cr_assert_eq(redis_rig_number(r, "EXISTS q"), 1);
}

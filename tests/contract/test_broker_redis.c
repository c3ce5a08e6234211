/* SPDX-License-Identifier: Apache-2.0 */
/* What the Redis broker promises beyond the contract: kombu's layout to the
 * byte, and what happens when Redis, other consumers or producers misbehave. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tests/support/broker_impl_redis.h"
#include "tests/support/redis_server.h"

#define SEP "\x06\x16"

#define REDIS(behaviour)                          \
    static void behaviour(struct rig *r);         \
    Test(redis_layout, behaviour, .timeout = 120) \
    {                                             \
        struct rig rig;                           \
        rig_init(&rig, &broker_impl_redis);       \
        behaviour(&rig);                          \
        rig_fini(&rig);                           \
    }                                             \
    static void behaviour(struct rig *r)

static const char held_key[] = "lovage.held.w1@test/1";

static char *
ask(struct rig *r, const char *command)
{
    static char *last;

    free(last);
    last = redis_server_ask(r->server, command);
    return last;
}

static long
number(struct rig *r, const char *command)
{
    return redis_server_number(r->server, command);
}

static char *
do_words(struct rig *r, const char *const *words)
{
    static char *last;

    free(last);
    last = redis_server_do(r->server, words);
    return last;
}

#define DO(r, ...) do_words(r, (const char *[]){__VA_ARGS__, NULL})

/* An envelope as kombu writes it. */
static const char *
envelope(int n, const char *tag)
{
    static char text[1024];

    (void)snprintf(
        text, sizeof text,
        "{\"body\": \"[[%d], {}, {}]\", \"content-encoding\": \"utf-8\", "
        "\"content-type\": \"application/json\", \"headers\": {\"task\": "
        "\"t\", \"big\": 123456789012345678901234567890}, \"properties\": "
        "{\"delivery_mode\": 2, \"delivery_info\": {\"exchange\": \"\", "
        "\"routing_key\": \"q\"}, \"priority\": 0, \"body_encoding\": null, "
        "\"delivery_tag\": \"%s\"}}",
        n, tag);
    return text;
}

static void
settle(struct rig *r, int i, enum verdict v)
{
    r->b->ops->settle(r->b, r->got[i].tag, v);
}

static void
push(struct rig *r, const char *key, const char *text)
{
    DO(r, "LPUSH", key, text);
}

/* ---- the layout ---- */

REDIS(a_taken_message_is_recorded_as_kombu_does)
{
    char expected[1200];
    double score;

    push(r, "q", envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));

    (void)snprintf(expected, sizeof expected, "[%s, \"\", \"q\"]",
                   envelope(1, "tag-1"));
    cr_assert_str_eq(ask(r, "HGET unacked tag-1"), expected);
    score = strtod(ask(r, "ZSCORE unacked_index tag-1"), NULL);
    cr_assert_lt(fabs(score - (double)time(NULL)), 3.0);
    cr_assert_eq(number(r, "SISMEMBER lovage.held.w1@test/1 tag-1"), 1);
    cr_assert_eq(number(r, "EXISTS q"), 0);

    settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    cr_assert_eq(number(r, "EXISTS unacked unacked_index"), 0);
    cr_assert_eq(number(r, "EXISTS lovage.held.w1@test/1"), 0);
    cr_assert_str_eq(ask(r, "SMEMBERS _kombu.binding.q"), "q" SEP SEP "q");
}

REDIS(a_requeued_message_is_spliced_not_printed_anew)
{
    char *raw;

    push(r, "q", envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    r->b->ops->prefetch(r->b, 0);
    settle(r, 0, VERDICT_REQUEUE);
    rig_run(r, 200);

    raw = ask(r, "LINDEX q 0");
    cr_assert_not_null(strstr(raw, "123456789012345678901234567890"));
    cr_assert_not_null(strstr(raw, "\"delivery_tag\": \"tag-1\""));
    cr_assert_not_null(strstr(raw, "\"redelivered\": true"));
    cr_assert_eq(number(r, "EXISTS unacked unacked_index"), 0);
    cr_assert_eq(number(r, "EXISTS lovage.held.w1@test/1"), 0);
}

REDIS(own_keys_go_when_it_closes_and_expire_otherwise)
{
    rig_open(r);
    rig_consume(r, "q", 1);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    rig_run(r, 1000);
    cr_assert_gt(number(r, "PTTL lovage.node.w1@test/1"), 0);
    cr_assert_gt(number(r, "TTL lovage.nodes"), 0);
    cr_assert_gt(number(r, "TTL lovage.held.w1@test/1"), 0);
    rig_close(r, 2000);
    cr_assert_eq(number(r, "EXISTS lovage.node.w1@test/1 lovage.nodes "
                           "lovage.held.w1@test/1 unacked unacked_index"),
                 0);
    cr_assert_eq(number(r, "LLEN q"), 1);
}

REDIS(priorities_have_their_own_lists_and_lower_numbers_come_first)
{
    static const int priorities[] = {9, 5, 0, 3, 12, 7, -1};
    static const int order[] = {2, 6, 1, 3, 5, 0, 4};

    rig_open(r);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(rig_send(r, "q", i, priorities[i]), ST_OK);
    cr_assert(rig_wait_published(r, 7, 3000));
    cr_assert_eq(number(r, "LLEN q"), 2);
    cr_assert_eq(number(r, "LLEN q" SEP "3"), 2);
    cr_assert_eq(number(r, "LLEN q" SEP "6"), 1);
    cr_assert_eq(number(r, "LLEN q" SEP "9"), 2);
    cr_assert_eq(rig_depth(r, "q"), 7);

    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 7, 3000));
    for (int i = 0; i < 7; i++)
        cr_assert_eq(r->got[i].n, order[i], "place %d: %d", i, r->got[i].n);
    settle(r, 2, VERDICT_BACK);
    rig_run(r, 200);
    cr_assert_eq(r->got_count, 8);
    cr_assert_eq(r->got[7].n, 1);
}

REDIS(queues_are_served_in_turn)
{
    rig_open(r);
    for (int i = 0; i < 6; i++) {
        rig_publish(r, "a", i);
        rig_publish(r, "b", 100 + i);
    }
    rig_publish(r, "c", 200);
    cr_assert(rig_wait_published(r, 13, 3000));
    rig_consume(r, "a", 0);
    rig_consume(r, "b", 0);
    rig_consume(r, "c", 5);
    cr_assert(rig_wait_got(r, 5, 3000));
    cr_assert_str_eq(r->got[0].queue, "a");
    cr_assert_str_eq(r->got[1].queue, "b");
    cr_assert_str_eq(r->got[2].queue, "c");
    cr_assert_str_eq(r->got[3].queue, "a");
    cr_assert_str_eq(r->got[4].queue, "b");
    for (int i = 0; i < 5; i++)
        settle(r, i, VERDICT_ACK);
    cr_assert(rig_wait_got(r, 10, 3000));
    cr_assert_str_eq(r->got[5].queue, "a");
    cr_assert_str_eq(r->got[6].queue, "b");
}

REDIS(the_order_priority_empties_each_queue_before_the_next)
{
    free(r->config.broker_transport_options);
    r->config.broker_transport_options =
        strdup("{\"queue_order_strategy\": \"priority\"}");
    rig_open(r);
    for (int i = 0; i < 3; i++) {
        rig_publish(r, "a", i);
        rig_publish(r, "b", 100 + i);
    }
    cr_assert(rig_wait_published(r, 6, 3000));
    rig_consume(r, "a", 0);
    rig_consume(r, "b", 6);
    cr_assert(rig_wait_got(r, 6, 3000));
    for (int i = 0; i < 6; i++)
        cr_assert_str_eq(r->got[i].queue, i < 3 ? "a" : "b");
}

REDIS(large_messages_come_a_few_at_a_time)
{
    enum { N = 40, SIZE = 1024 * 1024 };
    char *body = malloc(SIZE), *text = malloc(SIZE + 1024);

    memset(body, ' ', SIZE - 1);
    body[SIZE - 1] = '\0';
    for (int i = 0; i < N; i++) {
        (void)snprintf(text, SIZE + 1024,
                       "{\"body\": \"[[%d], {}, {}]%s\", \"headers\": "
                       "{\"task\": \"t\"}, \"properties\": "
                       "{\"delivery_tag\": \"t%d\"}}",
                       i, body, i);
        push(r, "q", text);
    }
    free(body);
    free(text);
    rig_open(r);
    rig_consume(r, "q", 100);
    cr_assert(rig_wait_got(r, 1, 5000));
    cr_assert_leq(r->got_count, 6, "%d at once", r->got_count);
    cr_assert(rig_wait_got(r, N, 10000));
    for (int i = 0; i < N; i++)
        cr_assert_eq(r->got[i].n, i);
}

REDIS(the_key_prefix_is_on_every_key)
{
    char *keys;

    free(r->config.broker_transport_options);
    r->config.broker_transport_options =
        strdup("{\"global_keyprefix\": \"PFX_\"}");
    rig_open(r);
    rig_publish(r, "q", 1);
    rig_publish(r, "q", 2);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    rig_run(r, 100);
    keys = ask(r, "KEYS *");
    for (char *line = strtok(keys, "\n"); line; line = strtok(NULL, "\n"))
        cr_assert_eq(strncmp(line, "PFX_", 4), 0, "%s", line);
    cr_assert_eq(number(r, "LLEN PFX_q"), 1);
    settle(r, 0, VERDICT_REQUEUE);
    rig_run(r, 200);
    cr_assert_eq(r->got_count, 2);
    cr_assert_eq(r->got[1].n, 1);
}

static void
publish_to(struct rig *r, const char *exchange, const char *key, int n)
{
    struct message *m = rig_message(exchange, key, n);
    struct error err;

    cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK, "%s", err.text);
    message_free(m);
}

REDIS(named_exchanges_route_by_kombu_s_bindings)
{
    rig_open(r);
    DO(r, "SADD", "_kombu.binding.ex", "k1" SEP SEP "q1", "k1" SEP SEP "q2",
       "k2" SEP SEP "q3");
    DO(r, "SADD", "_kombu.binding.top", "a.#" SEP "^a\\..*?$" SEP "t1",
       "*.b" SEP "^.*?[^\\.]\\.b$" SEP "t2", "a.b" SEP "^a\\.b$" SEP "t3");
    publish_to(r, "ex", "k1", 1);
    publish_to(r, "ex", "k9", 2);
    publish_to(r, "nobody", "k1", 3);
    publish_to(r, "top", "a.b", 4);
    publish_to(r, "top", "a", 5);
    publish_to(r, "top", "axb", 6);
    cr_assert(rig_wait_published(r, 6, 3000));
    cr_assert_eq(number(r, "LLEN q1"), 1);
    cr_assert_eq(number(r, "LLEN q2"), 1);
    cr_assert_eq(number(r, "LLEN q3"), 0);
    cr_assert_eq(number(r, "LLEN t1"), 1);
    cr_assert_eq(number(r, "LLEN t2"), 1);
    cr_assert_eq(number(r, "LLEN t3"), 1);
}

/* ---- odd messages ---- */

REDIS(what_is_no_object_never_gets_into_unacked)
{
    static const char *const odd[] = {
        "",           "{not json",
        "{not json}", "[1, 2]",
        "null",       "\"text\"",
        "{\"a\"}",    "{\"properties\": {\"delivery_tag\": \"\xff\"} garbage}"};

    rig_open(r);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        push(r, "q", odd[i]);
    rig_consume(r, "q", 20);
    cr_assert(rig_wait_got(r, sizeof odd / sizeof *odd, 3000));
    for (int i = 0; i < r->got_count; i++)
        cr_assert_eq(r->got[i].n, -1);
    /* The last one looks like a message until its tag is read; it is rejected
     * like the others. */
    cr_assert_leq(number(r, "HLEN unacked"), 1);
    for (int i = 0; i < r->got_count; i++)
        settle(r, i, i % 2 ? VERDICT_REJECT : VERDICT_REQUEUE);
    rig_run(r, 200);
    cr_assert_eq(number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(a_message_without_tag_or_routing_is_delivered_and_can_be_restored)
{
    push(r, "q",
         "{\"body\": \"[[1], {}, {}]\", \"headers\": {\"task\": "
         "\"t\"}, \"properties\": {}}");
    push(r, "q", "{\"body\": \"[[2], {}, {}]\"}");
    push(r, "q",
         "{\"body\": \"[[3], {}, {}]\", \"headers\": {\"x\": \"\\ud800\"}, "
         "\"properties\": {\"delivery_info\": {\"exchange\": null}, "
         "\"delivery_tag\": 7}}");
    rig_open(r);
    rig_consume(r, "q", 3);
    cr_assert(rig_wait_got(r, 3, 3000));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(r->got[i].n, i + 1);
    cr_assert_eq(number(r, "HLEN unacked"), 3);
    cr_assert_eq(number(r, "ZCARD unacked_index"), 3);
    settle(r, 0, VERDICT_REQUEUE);
    cr_assert(rig_wait_got(r, 4, 3000));
    cr_assert_eq(r->got[3].n, 1);
    cr_assert(r->got[3].redelivered);
}

REDIS(the_tag_is_that_of_the_properties)
{
    push(r, "q",
         "{\"body\": \"[[1], {}, {}]\", \"headers\": {\"task\": \"t\", "
         "\"delivery_tag\": \"wrong\", \"note\": \"\\\"delivery_tag\\\": "
         "\\\"worse\\\"\", \"delivery_info\": {\"exchange\": \"no\", "
         "\"routing_key\": \"no\"}}, \"properties\": {\"delivery_info\": "
         "{\"exchange\": \"\", \"routing_key\": \"q\"}, \"delivery_tag\": "
         "\"right\"}}");
    rig_open(r);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    cr_assert_str_eq(ask(r, "HKEYS unacked"), "right");
    cr_assert_not_null(strstr(ask(r, "HGET unacked right"), ", \"\", \"q\"]"));
}

REDIS(two_messages_with_one_tag_are_two_messages)
{
    for (int i = 0; i < 3; i++)
        push(r, "q", envelope(i, "same"));
    rig_open(r);
    rig_consume(r, "q", 2);
    cr_assert(rig_wait_got(r, 2, 3000));
    cr_assert_eq(number(r, "HLEN unacked"), 2);
    settle(r, 0, VERDICT_ACK);
    settle(r, 1, VERDICT_ACK);
    cr_assert(rig_wait_got(r, 3, 3000));
    cr_assert_eq(r->got[2].n, 2);
    settle(r, 2, VERDICT_ACK);
    rig_run(r, 200);
    cr_assert_eq(number(r, "HLEN unacked"), 0);
}

/* ---- copies ---- */

REDIS(a_copy_of_what_is_held_is_ignored)
{
    push(r, "q", envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));
    /* Another worker's visibility scan thinks that it is lost. */
    ask(r, "HDEL unacked tag-1");
    ask(r, "ZREM unacked_index tag-1");
    push(r, "q", envelope(1, "tag-1"));
    rig_run(r, 500);
    cr_assert_eq(r->got_count, 1);
    cr_assert_eq(number(r, "HLEN unacked"), 1);
    settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    cr_assert_eq(number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(what_redis_forgot_to_have_taken_is_not_run_again)
{
    push(r, "q", envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));
    settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    /* The last second is gone after a restart: the message is back. */
    r->impl->cut(r->server);
    push(r, "q", envelope(1, "tag-1"));
    cr_assert(rig_wait_ready(r, 2, 3000));
    rig_run(r, 500);
    cr_assert_eq(r->got_count, 1);
    cr_assert_eq(number(r, "EXISTS unacked q"), 0);

    /* Long after that it is a new message with old bytes. */
    clock_shift_us(60 * 1000000);
    push(r, "q", envelope(1, "tag-2"));
    cr_assert(rig_wait_got(r, 2, 3000));
    settle(r, 1, VERDICT_ACK);
    rig_run(r, 200);
    push(r, "q", envelope(1, "tag-2"));
    cr_assert(rig_wait_got(r, 3, 3000));
    clock_shift_us(0);
}

REDIS(a_settled_message_that_redis_still_holds_is_settled_again)
{
    push(r, "q", envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));
    settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    DO(r, "HSET", "unacked", "tag-1", "[{}, \"\", \"q\"]");
    DO(r, "SADD", held_key, "tag-1");
    r->impl->cut(r->server);
    cr_assert(rig_wait_ready(r, 2, 3000));
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 1);
    cr_assert_eq(number(r, "EXISTS unacked lovage.held.w1@test/1"), 0);
}

REDIS(what_was_taken_and_never_delivered_is_put_back)
{
    char value[1200];

    rig_open(r);
    rig_consume(r, "q", 5);
    rig_run(r, 100);
    (void)snprintf(value, sizeof value, "[%s, \"\", \"q\"]",
                   envelope(1, "tag-1"));
    DO(r, "HSET", "unacked", "tag-1", value);
    DO(r, "ZADD", "unacked_index", "5000000000", "tag-1");
    DO(r, "SADD", held_key, "tag-1");
    r->impl->cut(r->server);
    cr_assert(rig_wait_got(r, 1, 3000));
    cr_assert_eq(r->got[0].n, 1);
}

/* ---- other consumers ---- */

REDIS(a_dead_consumer_is_noticed_after_its_lease)
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
    cr_assert_eq(number(r, "SCARD lovage.nodes"), 1);
    cr_assert_eq(number(r, "EXISTS lovage.held.w1@test/1"), 0);
    rig_fini(&other);
}

REDIS(a_living_consumer_keeps_what_it_holds_past_the_visibility_timeout)
{
    struct rig other;

    free(r->config.broker_transport_options);
    r->config.broker_transport_options = strdup("{\"visibility_timeout\": 1}");
    rig_open(r);
    rig_publish(r, "q", 1);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    rig_run(r, 2500);

    rig_init_beside(&other, r, "w2@test/1");
    free(other.config.broker_transport_options);
    other.config.broker_transport_options =
        strdup("{\"visibility_timeout\": 1}");
    rig_open(&other); /* scans at once */
    rig_consume(&other, "q", 5);
    rig_run(&other, 500);
    cr_assert_eq(other.got_count, 0);
    rig_fini(&other);
}

REDIS(what_a_lost_worker_held_comes_back_after_the_visibility_timeout)
{
    char value[1200];

    for (int i = 0; i < 150; i++) {
        char tag[16];
        (void)snprintf(tag, sizeof tag, "t%d", i);
        (void)snprintf(value, sizeof value, "[%s, \"\", \"q\"]",
                       envelope(i, tag));
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
    cr_assert_str_eq(ask(r, "HKEYS unacked"), "fresh");
    cr_assert_str_eq(ask(r, "ZRANGE unacked_index 0 -1"), "fresh");
    cr_assert_eq(number(r, "EXISTS unacked_mutex"), 0);
}

REDIS(two_consumers_share_without_a_copy)
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

REDIS(it_survives_flushall_and_script_flush)
{
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    ask(r, "FLUSHALL");
    ask(r, "SCRIPT FLUSH");
    rig_publish(r, "q", 2);
    cr_assert(rig_wait_got(r, 2, 3000));
    cr_assert_eq(r->lost, 0);
}

REDIS(without_memory_it_consumes_and_publishing_waits)
{
    rig_open(r);
    for (int i = 0; i < 50; i++)
        rig_publish(r, "q", i);
    cr_assert(rig_wait_published(r, 50, 3000));
    ask(r, "CONFIG SET maxmemory 1");
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 50, 3000), "%d", r->got_count);
    rig_run(r, 200);
    cr_assert_eq(number(r, "HLEN unacked"), 0);

    rig_publish(r, "q", 50);
    rig_run(r, 500);
    cr_assert_eq(r->published_ok, 50);
    ask(r, "CONFIG SET maxmemory 0");
    cr_assert(rig_wait_published(r, 51, 2500));
    cr_assert(rig_wait_got(r, 51, 2500));
    cr_assert_eq(r->lost, 0);
}

REDIS(a_key_of_another_type_loses_nothing)
{
    rig_open(r);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_published(r, 1, 3000));
    DO(r, "SET", "unacked", "not a hash");
    rig_consume(r, "q", 5);
    rig_run(r, 500);
    cr_assert_eq(r->got_count, 0);
    cr_assert_eq(number(r, "LLEN q"), 1);
    ask(r, "DEL unacked");
    cr_assert(rig_wait_got(r, 1, 3000));
}

REDIS(without_tracking_it_polls)
{
    char url[128];
    struct error err;

    ask(r, "ACL SETUSER poor on >pw ~* &* +@all -client|tracking");
    (void)snprintf(url, sizeof url, "redis://poor:pw@127.0.0.1:%d/0",
                   redis_server_port(r->server));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    for (int i = 0; i < 5; i++) {
        rig_run(r, 300);
        push(r, "q", envelope(i, "t"));
        cr_assert(rig_wait_got(r, i + 1, 150));
    }
}

REDIS(when_only_the_pubsub_connection_is_cut_it_goes_on)
{
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    for (int i = 0; i < 5; i++) {
        rig_run(r, 200);
        ask(r, "CLIENT KILL TYPE pubsub");
        push(r, "q", envelope(i, "t"));
        cr_assert(rig_wait_got(r, i + 1, 300), "%d", i);
    }
    cr_assert_eq(r->lost, 0);
}

REDIS(another_database_and_a_unix_socket)
{
    char url[256];
    struct error err;

    (void)snprintf(url, sizeof url, "%s?virtual_host=5",
                   redis_server_socket_url(r->server));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_published(r, 1, 3000));
    cr_assert_eq(number(r, "EXISTS q"), 0);
    ask(r, "SELECT 5");
    cr_assert_eq(number(r, "EXISTS q"), 1);
}

/* ---- cost ---- */

static long
commands(struct rig *r)
{
    const char *text = ask(r, "INFO stats");
    const char *at = strstr(text, "total_commands_processed:");

    cr_assert_not_null(at);
    return strtol(at + 25, NULL, 10);
}

REDIS(waiting_costs_nearly_nothing)
{
    struct timespec a, b;
    long before;
    double ms;

    r->config.worker_lease = 30;
    rig_open(r);
    rig_consume(r, "q", 5);
    rig_run(r, 500);
    before = commands(r);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    rig_run(r, 5000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    ms = (double)(b.tv_sec - a.tv_sec) * 1e3 +
         (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    /* A script's commands are counted too: 4 a second for one queue. */
    cr_assert_leq(commands(r) - before, 80);
    cr_assert_lt(ms, 50.0, "%.1f ms of CPU in 5 s", ms);
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

REDIS(a_message_wakes_an_idle_consumer_at_once)
{
    double ms[200];

    ask(r, "CONFIG SET appendonly no"); /* measure us, not the disk */
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    rig_run(r, 300);
    for (int i = 0; i < 200; i++) {
        uint64_t start = uv_hrtime();
        push(r, "q", envelope(i, "t"));
        while (r->got_count <= i)
            uv_run(&r->loop, UV_RUN_ONCE);
        ms[i] = (double)(uv_hrtime() - start) / 1e6;
        rig_run(r, 5);
    }
    qsort(ms, 200, sizeof *ms, by_size);
    fprintf(stderr, "publish to delivery: p50 %.3f ms, p99 %.3f ms\n", ms[100],
            ms[198]);
    cr_assert_lt(ms[100], 5.0, "p50 %.3f ms", ms[100]);
}

/* ---- kombu itself ---- */

static char *
kombu(struct rig *r, const char *command, int count)
{
    static char out[16384];
    char line[256];
    size_t n;
    FILE *f;

    (void)snprintf(line, sizeof line,
                   "/usr/bin/python3 tests/support/kombu_peer.py %s %s q %d",
                   command, redis_server_url(r->server), count);
    f = popen(line, "r");
    cr_assert_not_null(f);
    n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    cr_assert_eq(pclose(f), 0, "%s", line);
    return out;
}

REDIS(kombu_publishes_and_we_consume)
{
    kombu(r, "publish", 50);
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 50, 3000));
    for (int i = 0; i < 50; i++)
        cr_assert_eq(r->got[i].n, i);
    rig_run(r, 200);
    cr_assert_eq(number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(we_publish_and_kombu_consumes)
{
    rig_open(r);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(rig_send(r, "q", i, i % 2 ? 9 : 0), ST_OK);
    cr_assert(rig_wait_published(r, 20, 3000));
    cr_assert_eq(
        strncmp(kombu(r, "consume", 20), "0 False\n2 False\n4 False\n", 24), 0);
    cr_assert_eq(number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(kombu_restores_what_we_left)
{
    const char *out;

    rig_open(r);
    for (int i = 0; i < 5; i++)
        rig_publish(r, "q", i);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 5, 3000));
    rig_close(r, 0);
    kombu(r, "restore", 0);
    out = kombu(r, "consume", 5);
    for (int i = 0; i < 5; i++) {
        char line[16];
        (void)snprintf(line, sizeof line, "%d True\n", i);
        cr_assert_not_null(strstr(out, line), "%s", out);
    }
    cr_assert_eq(number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(we_restore_what_kombu_left)
{
    kombu(r, "publish", 5);
    kombu(r, "hold", 5);
    cr_assert_eq(number(r, "HLEN unacked"), 5);
    rig_run(r, 100); /* they grow old enough */
    free(r->config.broker_transport_options);
    r->config.broker_transport_options =
        strdup("{\"visibility_timeout\": 0.01}");
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 5, 3000));
    for (int i = 0; i < 5; i++)
        cr_assert(r->got[i].redelivered);
    rig_run(r, 300);
    cr_assert_eq(number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(kombu_consumes_what_we_put_back_and_the_reverse)
{
    kombu(r, "publish", 3);
    rig_open(r);
    rig_consume(r, "q", 3);
    cr_assert(rig_wait_got(r, 3, 3000));
    r->b->ops->prefetch(r->b, 0);
    settle(r, 2, VERDICT_REQUEUE);
    settle(r, 1, VERDICT_REQUEUE);
    settle(r, 0, VERDICT_BACK);
    rig_run(r, 300);
    cr_assert_str_eq(kombu(r, "consume", 3), "1 True\n2 True\n0 True\n");
}

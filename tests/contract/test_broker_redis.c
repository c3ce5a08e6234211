/* SPDX-License-Identifier: Apache-2.0 */
/* What the Redis broker promises beyond the contract: kombu's layout to the
 * byte, odd messages, the cost of waiting. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/redis_rig.h"

/* ---- the layout ---- */

REDIS(redis_layout, a_taken_message_is_recorded_as_kombu_does)
{
    char expected[1200];
    double score;

    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 1, 3000));

    (void)snprintf(expected, sizeof expected, "[%s, \"\", \"q\"]",
                   redis_rig_envelope(1, "tag-1"));
    cr_assert_str_eq(redis_rig_ask(r, "HGET unacked tag-1"), expected);
    score = strtod(redis_rig_ask(r, "ZSCORE unacked_index tag-1"), NULL);
    cr_assert_lt(fabs(score - (double)time(NULL)), 3.0);
    cr_assert_eq(redis_rig_number(r, "SISMEMBER lovage.held.w1@test/1 tag-1"),
                 1);
    cr_assert_eq(redis_rig_number(r, "EXISTS q"), 0);

    redis_rig_settle(r, 0, VERDICT_ACK);
    rig_run(r, 200);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index"), 0);
    cr_assert_eq(redis_rig_number(r, "EXISTS lovage.held.w1@test/1"), 0);
    cr_assert_str_eq(redis_rig_ask(r, "SMEMBERS _kombu.binding.q"),
                     "q" SEP SEP "q");
}

REDIS(redis_layout, a_requeued_message_is_spliced_not_printed_anew)
{
    char *raw;

    redis_rig_push(r, "q", redis_rig_envelope(1, "tag-1"));
    rig_open(r);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    r->b->ops->prefetch(r->b, 0);
    redis_rig_settle(r, 0, VERDICT_REQUEUE);
    rig_run(r, 200);

    raw = redis_rig_ask(r, "LINDEX q 0");
    cr_assert_not_null(strstr(raw, "123456789012345678901234567890"));
    cr_assert_not_null(strstr(raw, "\"delivery_tag\": \"tag-1\""));
    cr_assert_not_null(strstr(raw, "\"redelivered\": true"));
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index"), 0);
    cr_assert_eq(redis_rig_number(r, "EXISTS lovage.held.w1@test/1"), 0);
}

REDIS(redis_layout, own_keys_go_when_it_closes_and_expire_otherwise)
{
    rig_open(r);
    rig_consume(r, "q", 1);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    rig_run(r, 1000);
    cr_assert_gt(redis_rig_number(r, "PTTL lovage.node.w1@test/1"), 0);
    cr_assert_gt(redis_rig_number(r, "TTL lovage.nodes"), 0);
    cr_assert_gt(redis_rig_number(r, "TTL lovage.held.w1@test/1"), 0);
    rig_close(r, 2000);
    cr_assert_eq(
        redis_rig_number(r, "EXISTS lovage.node.w1@test/1 lovage.nodes "
                            "lovage.held.w1@test/1 unacked unacked_index"),
        0);
    cr_assert_eq(redis_rig_number(r, "LLEN q"), 1);
}

REDIS(redis_layout,
      priorities_have_their_own_lists_and_lower_numbers_come_first)
{
    static const int priorities[] = {9, 5, 0, 3, 12, 7, -1};
    static const int order[] = {2, 6, 1, 3, 5, 0, 4};

    rig_open(r);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(rig_send(r, "q", i, priorities[i]), ST_OK);
    cr_assert(rig_wait_published(r, 7, 3000));
    cr_assert_eq(redis_rig_number(r, "LLEN q"), 2);
    cr_assert_eq(redis_rig_number(r, "LLEN q" SEP "3"), 2);
    cr_assert_eq(redis_rig_number(r, "LLEN q" SEP "6"), 1);
    cr_assert_eq(redis_rig_number(r, "LLEN q" SEP "9"), 2);
    cr_assert_eq(rig_depth(r, "q"), 7);

    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 7, 3000));
    for (int i = 0; i < 7; i++)
        cr_assert_eq(r->got[i].n, order[i], "place %d: %d", i, r->got[i].n);
    redis_rig_settle(r, 2, VERDICT_BACK);
    rig_run(r, 200);
    cr_assert_eq(r->got_count, 8);
    cr_assert_eq(r->got[7].n, 1);
}

REDIS(redis_layout, queues_are_served_in_turn)
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
        redis_rig_settle(r, i, VERDICT_ACK);
    cr_assert(rig_wait_got(r, 10, 3000));
    cr_assert_str_eq(r->got[5].queue, "a");
    cr_assert_str_eq(r->got[6].queue, "b");
}

REDIS(redis_layout, the_order_priority_empties_each_queue_before_the_next)
{
    redis_rig_options(r, "{\"queue_order_strategy\": \"priority\"}");
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

REDIS(redis_layout, large_messages_come_a_few_at_a_time)
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
        redis_rig_push(r, "q", text);
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

REDIS(redis_layout, the_key_prefix_is_on_every_key)
{
    char *keys;

    redis_rig_options(r, "{\"global_keyprefix\": \"PFX_\"}");
    rig_open(r);
    rig_publish(r, "q", 1);
    rig_publish(r, "q", 2);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    rig_run(r, 100);
    keys = redis_rig_ask(r, "KEYS *");
    for (char *line = strtok(keys, "\n"); line; line = strtok(NULL, "\n"))
        cr_assert_eq(strncmp(line, "PFX_", 4), 0, "%s", line);
    cr_assert_eq(redis_rig_number(r, "LLEN PFX_q"), 1);
    redis_rig_settle(r, 0, VERDICT_REQUEUE);
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

REDIS(redis_layout, named_exchanges_route_by_kombu_s_bindings)
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
    cr_assert_eq(redis_rig_number(r, "LLEN q1"), 1);
    cr_assert_eq(redis_rig_number(r, "LLEN q2"), 1);
    cr_assert_eq(redis_rig_number(r, "LLEN q3"), 0);
    cr_assert_eq(redis_rig_number(r, "LLEN t1"), 1);
    cr_assert_eq(redis_rig_number(r, "LLEN t2"), 1);
    cr_assert_eq(redis_rig_number(r, "LLEN t3"), 1);
}

/* ---- odd messages ---- */

REDIS(redis_layout, what_is_no_object_never_gets_into_unacked)
{
    static const char *const odd[] = {
        "",           "{not json",
        "{not json}", "[1, 2]",
        "null",       "\"text\"",
        "{\"a\"}",    "{\"properties\": {\"delivery_tag\": \"\xff\"} garbage}"};

    rig_open(r);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        redis_rig_push(r, "q", odd[i]);
    rig_consume(r, "q", 20);
    cr_assert(rig_wait_got(r, sizeof odd / sizeof *odd, 3000));
    for (int i = 0; i < r->got_count; i++)
        cr_assert_eq(r->got[i].n, -1);
    /* The last one looks like a message until its tag is read; it is rejected
     * like the others. */
    cr_assert_leq(redis_rig_number(r, "HLEN unacked"), 1);
    for (int i = 0; i < r->got_count; i++)
        redis_rig_settle(r, i, i % 2 ? VERDICT_REJECT : VERDICT_REQUEUE);
    rig_run(r, 200);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(redis_layout,
      a_message_without_tag_or_routing_is_delivered_and_can_be_restored)
{
    redis_rig_push(r, "q",
                   "{\"body\": \"[[1], {}, {}]\", \"headers\": {\"task\": "
                   "\"t\"}, \"properties\": {}}");
    redis_rig_push(r, "q", "{\"body\": \"[[2], {}, {}]\"}");
    redis_rig_push(
        r, "q",
        "{\"body\": \"[[3], {}, {}]\", \"headers\": {\"x\": \"\\ud800\"}, "
        "\"properties\": {\"delivery_info\": {\"exchange\": null}, "
        "\"delivery_tag\": 7}}");
    rig_open(r);
    rig_consume(r, "q", 3);
    cr_assert(rig_wait_got(r, 3, 3000));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(r->got[i].n, i + 1);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 3);
    cr_assert_eq(redis_rig_number(r, "ZCARD unacked_index"), 3);
    redis_rig_settle(r, 0, VERDICT_REQUEUE);
    cr_assert(rig_wait_got(r, 4, 3000));
    cr_assert_eq(r->got[3].n, 1);
    cr_assert(r->got[3].redelivered);
}

REDIS(redis_layout, the_tag_is_that_of_the_properties)
{
    redis_rig_push(
        r, "q",
        "{\"body\": \"[[1], {}, {}]\", \"headers\": {\"task\": \"t\", "
        "\"delivery_tag\": \"wrong\", \"note\": \"\\\"delivery_tag\\\": "
        "\\\"worse\\\"\", \"delivery_info\": {\"exchange\": \"no\", "
        "\"routing_key\": \"no\"}}, \"properties\": {\"delivery_info\": "
        "{\"exchange\": \"\", \"routing_key\": \"q\"}, \"delivery_tag\": "
        "\"right\"}}");
    rig_open(r);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    cr_assert_str_eq(redis_rig_ask(r, "HKEYS unacked"), "right");
    cr_assert_not_null(
        strstr(redis_rig_ask(r, "HGET unacked right"), ", \"\", \"q\"]"));
}

REDIS(redis_layout, two_messages_with_one_tag_are_two_messages)
{
    for (int i = 0; i < 3; i++)
        redis_rig_push(r, "q", redis_rig_envelope(i, "same"));
    rig_open(r);
    rig_consume(r, "q", 2);
    cr_assert(rig_wait_got(r, 2, 3000));
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 2);
    redis_rig_settle(r, 0, VERDICT_ACK);
    redis_rig_settle(r, 1, VERDICT_ACK);
    cr_assert(rig_wait_got(r, 3, 3000));
    cr_assert_eq(r->got[2].n, 2);
    redis_rig_settle(r, 2, VERDICT_ACK);
    rig_run(r, 200);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 0);
}

/* ---- cost ---- */

static long
commands(struct rig *r)
{
    const char *text = redis_rig_ask(r, "INFO stats");
    const char *at = strstr(text, "total_commands_processed:");

    cr_assert_not_null(at);
    return strtol(at + 25, NULL, 10);
}

REDIS(redis_layout, waiting_costs_nearly_nothing)
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

REDIS(redis_layout, a_message_wakes_an_idle_consumer_at_once)
{
    double ms[200];

    redis_rig_ask(r, "CONFIG SET appendonly no"); /* measure us, not the disk */
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    rig_run(r, 300);
    for (int i = 0; i < 200; i++) {
        uint64_t start = uv_hrtime();
        redis_rig_push(r, "q", redis_rig_envelope(i, "t"));
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

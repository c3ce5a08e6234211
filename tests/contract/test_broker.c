/* SPDX-License-Identifier: Apache-2.0 */
/* What every broker promises (store/broker.h).  A behaviour is written once;
 * this program runs all for Redis, test_broker_amqp.c, which includes this one,
 * for RabbitMQ. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/broker_impl_amqp.h"
#include "tests/support/broker_impl_redis.h"

#ifndef BROKER
#define BROKER redis
#endif
#define NAME_OF(broker) broker_impl_##broker
#define IMPL(broker)    NAME_OF(broker)

#define CONTRACT(behaviour)                          \
    static void behaviour(struct rig *r);            \
    Test(broker_contract, behaviour, .timeout = 120) \
    {                                                \
        run(&IMPL(BROKER), behaviour);               \
    }                                                \
    static void behaviour(struct rig *r)

static void
run(const struct broker_impl *impl, void (*behaviour)(struct rig *r))
{
    struct rig r;

    rig_init(&r, impl);
    behaviour(&r);
    rig_fini(&r);
}

static void
publish_range(struct rig *r, const char *queue, int from, int to)
{
    int before = r->published_ok;

    for (int n = from; n < to; n++)
        rig_publish(r, queue, n);
    cr_assert(rig_wait_published(r, before + to - from, 20000));
}

static void
settle(struct rig *r, int i, enum verdict v)
{
    r->b->ops->settle(r->b, r->got[i].tag, v);
}

/* How many of the numbers 0 to count - 1 were delivered. */
static int
distinct(const struct rig *r, int count)
{
    static bool seen[RIG_MAX];
    int n = 0;

    memset(seen, 0, sizeof seen);
    for (int i = 0; i < r->got_count; i++) {
        int x = r->got[i].n;
        if (x >= 0 && x < count && !seen[x]) {
            seen[x] = true;
            n++;
        }
    }
    return n;
}

static bool
all_seen(void *arg)
{
    struct rig *r = arg;

    return distinct(r, (int)r->depth) == r->depth;
}

CONTRACT(what_is_published_is_delivered)
{
    rig_open(r);
    rig_consume(r, "q", 10);
    rig_publish(r, "q", 7);

    cr_assert(rig_wait_got(r, 1, 3000));
    cr_assert_eq(r->got[0].n, 7);
    cr_assert_neq(r->got[0].tag, 0);
    cr_assert_str_eq(r->got[0].queue, "q");
    cr_assert(!r->got[0].redelivered);
    cr_assert(rig_wait_published(r, 1, 3000));
}

CONTRACT(messages_keep_their_order)
{
    rig_open(r);
    publish_range(r, "q", 0, 1000);
    r->ack_at_once = true;
    rig_consume(r, "q", 100);

    cr_assert(rig_wait_got(r, 1000, 10000));
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(r->got[i].n, i, "%d came at place %d", r->got[i].n, i);
}

CONTRACT(no_more_than_prefetch_are_unsettled)
{
    rig_open(r);
    publish_range(r, "q", 0, 20);
    rig_consume(r, "q", 3);
    cr_assert(rig_wait_got(r, 3, 3000));
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 3);

    settle(r, 0, VERDICT_ACK);
    cr_assert(rig_wait_got(r, 4, 3000));
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 4);

    r->b->ops->prefetch(r->b, 8);
    cr_assert(rig_wait_got(r, 9, 3000));
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 9);
}

CONTRACT(prefetch_zero_takes_nothing)
{
    rig_open(r);
    rig_publish(r, "q", 1);
    rig_consume(r, "q", 0);
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 0);

    r->b->ops->prefetch(r->b, 1);
    cr_assert(rig_wait_got(r, 1, 3000));
}

CONTRACT(acknowledged_and_rejected_messages_are_gone)
{
    rig_open(r);
    publish_range(r, "q", 0, 4);
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 4, 3000));
    for (int i = 0; i < 4; i++)
        settle(r, i, i % 2 == 0 ? VERDICT_ACK : VERDICT_REJECT);
    rig_close(r, 2000);

    rig_open(r);
    rig_consume(r, "q", 10);
    rig_run(r, 500);
    cr_assert_eq(r->got_count, 4);
    cr_assert_eq(rig_depth(r, "q"), 0);
}

CONTRACT(closing_hands_back_what_is_unsettled_in_order)
{
    rig_open(r);
    publish_range(r, "q", 0, 10);
    rig_consume(r, "q", 6);
    cr_assert(rig_wait_got(r, 6, 3000));
    settle(r, 1, VERDICT_ACK);
    rig_close(r, 2000);

    r->got_count = 0;
    rig_open(r);
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 9, 3000));
    for (int i = 0; i < 9; i++)
        cr_assert_eq(r->got[i].n, i == 0 ? 0 : i + 1);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(r->got[i].redelivered, i < 5);
}

CONTRACT(a_requeued_message_comes_next_marked_redelivered)
{
    rig_open(r);
    publish_range(r, "q", 0, 5);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    settle(r, 0, VERDICT_REQUEUE);

    cr_assert(rig_wait_got(r, 2, 3000));
    cr_assert_eq(r->got[1].n, 0);
    cr_assert(r->got[1].redelivered);
}

CONTRACT(a_message_put_back_comes_after_the_others)
{
    rig_open(r);
    publish_range(r, "q", 0, 5);
    r->b->ops->prefetch(r->b, 1);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    settle(r, 0, VERDICT_BACK);
    for (int i = 1; i < 5; i++) {
        cr_assert(rig_wait_got(r, i + 1, 3000));
        settle(r, i, VERDICT_ACK);
    }

    cr_assert(rig_wait_got(r, 6, 3000));
    cr_assert_eq(r->got[5].n, 0);
    cr_assert(r->got[5].redelivered);
}

CONTRACT(settling_twice_or_an_unknown_tag_does_nothing)
{
    rig_open(r);
    publish_range(r, "q", 0, 2);
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    settle(r, 0, VERDICT_ACK);
    settle(r, 0, VERDICT_REQUEUE);
    r->b->ops->settle(r->b, 123456789, VERDICT_REQUEUE);

    cr_assert(rig_wait_got(r, 2, 3000));
    cr_assert_eq(r->got[1].n, 1);
    rig_run(r, 200);
    cr_assert_eq(r->got_count, 2);
}

CONTRACT(all_queues_are_served_and_a_cancelled_one_is_not)
{
    struct error err;

    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q1", 5);
    rig_consume(r, "q2", 5);
    rig_consume(r, "q2", 5);
    publish_range(r, "q1", 0, 10);
    publish_range(r, "q2", 10, 20);
    cr_assert(rig_wait_got(r, 20, 3000));
    cr_assert_eq(distinct(r, 20), 20);

    cr_assert_eq(r->b->ops->cancel(r->b, (struct slice){"q1", 2}, &err), ST_OK);
    rig_run(r, 200);
    publish_range(r, "q1", 20, 21);
    publish_range(r, "q2", 21, 22);
    cr_assert(rig_wait_got(r, 21, 3000));
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 21);
    cr_assert_eq(r->got[20].n, 21);
    cr_assert_eq(r->b->ops->cancel(r->b, (struct slice){"q1", 2}, &err),
                 ST_NOTFOUND);
}

CONTRACT(depth_counts_what_waits)
{
    rig_open(r);
    cr_assert_eq(rig_depth(r, "q"), 0);
    publish_range(r, "q", 0, 5);
    cr_assert_eq(rig_depth(r, "q"), 5);
}

CONTRACT(bytes_that_are_no_message_are_delivered_as_such)
{
    rig_open(r);
    r->impl->inject(r->server, "q", "{not json");
    r->impl->inject(r->server, "q", "[1, 2]");
    r->impl->inject(r->server, "q", "{\"body\": 5, \"properties\": {}}");
    r->impl->inject(r->server, "q", "");
    rig_publish(r, "q", 1);
    rig_consume(r, "q", 1);

    for (int i = 0; i < 4; i++) {
        cr_assert(rig_wait_got(r, i + 1, 3000));
        cr_assert_eq(r->got[i].n, -1);
        settle(r, i, VERDICT_REJECT);
    }
    cr_assert(rig_wait_got(r, 5, 3000));
    cr_assert_eq(r->got[4].n, 1);
}

CONTRACT(a_fanout_message_reaches_who_subscribed)
{
    struct message *m = rig_message("celery.pidbox", "", 1);
    struct slice ex = {"celery.pidbox", 13};
    struct error err;

    rig_open(r);
    cr_assert_eq(
        r->b->ops->subscribe(r->b, ex,
                             (struct slice){"w[1]@x.celery.pidbox", 20}, &err),
        ST_OK);
    for (int i = 0; i < 50 && r->fanouts == 0; i++) {
        cr_assert_eq(r->b->ops->publish_fanout(r->b, ex, m, &err), ST_OK);
        rig_run(r, 50);
    }
    cr_assert_gt(r->fanouts, 0);
    cr_assert_str_eq(r->fanout_exchange, "celery.pidbox");

    r->impl->cut(r->server);
    cr_assert(rig_wait_ready(r, 2, 5000));
    r->fanouts = 0;
    for (int i = 0; i < 50 && r->fanouts == 0; i++) {
        (void)r->b->ops->publish_fanout(r->b, ex, m, &err);
        rig_run(r, 50);
    }
    cr_assert_gt(r->fanouts, 0);
    message_free(m);
}

CONTRACT(closing_sends_what_was_published)
{
    rig_open(r);
    for (int n = 0; n < 500; n++)
        rig_publish(r, "q", n);
    rig_close(r, 5000);
    cr_assert_eq(r->published_ok, 500);

    rig_open(r);
    cr_assert_eq(rig_depth(r, "q"), 500);
}

CONTRACT(a_dead_consumer_s_messages_are_handed_to_who_adopts_it)
{
    struct rig heir;

    rig_open(r);
    publish_range(r, "q", 0, 200);
    rig_consume(r, "q", 150);
    cr_assert(rig_wait_got(r, 150, 3000));
    rig_close(r, 0); /* as by SIGKILL: nothing is said */

    rig_init_beside(&heir, r, "w1@test/2");
    heir.adopt = "w1@test/1";
    heir.ack_at_once = true;
    rig_open(&heir);
    rig_consume(&heir, "q", 10);
    cr_assert(rig_wait_got(&heir, 200, 900), "only %d", heir.got_count);
    cr_assert_eq(distinct(&heir, 200), 200);
    rig_fini(&heir);
}

CONTRACT(a_wrong_password_is_told_and_tried_again)
{
    const char *url = r->impl->wrong_url(r->server);
    struct error err;

    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_lost(r, 1, 3000));
    cr_assert_eq(r->lost_code, ST_DENIED);
    rig_run(r, 500);
    cr_assert_eq(r->ready, 0);
    cr_assert_eq(r->lost, 1, "told once an outage");
}

CONTRACT(after_so_many_attempts_it_says_failed)
{
    struct error err;

    r->config.broker_connection_max_retries = 3;
    r->impl->down(r->server, true);
    cr_assert_eq(rig_open_url(r, r->impl->url(r->server), &err), ST_OK);
    for (int i = 0; i < 100 && r->failed == 0; i++)
        rig_run(r, 50);
    cr_assert_eq(r->failed, 1);
    rig_run(r, 1500);
    cr_assert_eq(r->failed, 1);
}

CONTRACT(an_unknown_scheme_is_refused)
{
    struct error err;

    cr_assert_eq(rig_open_url(r, "smoke://signals", &err), ST_INVALID);
    cr_assert_not_null(strstr(err.text, "smoke"));
}

CONTRACT(a_cut_connection_loses_nothing)
{
    rig_open(r);
    publish_range(r, "q", 0, 2000);
    r->ack_at_once = true;
    rig_consume(r, "q", 20);
    for (int i = 0; i < 10; i++) {
        rig_wait_got(r, 100 * (i + 1), 3000);
        r->impl->cut(r->server);
    }
    r->depth = 2000;
    cr_assert(rig_wait_got(r, 2000, 20000));
    for (int i = 0; i < 100 && !all_seen(r); i++)
        rig_run(r, 50);
    cr_assert_eq(distinct(r, 2000), 2000);
    cr_assert_geq(r->lost, 5);
    cr_assert_eq(r->tags_void, r->impl->tags_void);
    cr_assert_eq(rig_depth(r, "q"), 0);
}

CONTRACT(an_unsettled_message_can_be_settled_after_a_loss)
{
    rig_open(r);
    publish_range(r, "q", 0, 2);
    rig_consume(r, "q", 2);
    cr_assert(rig_wait_got(r, 2, 3000));
    r->impl->cut(r->server);
    settle(r, 0, VERDICT_ACK);
    cr_assert(rig_wait_ready(r, 2, 5000));
    settle(r, 1, VERDICT_ACK);
    rig_run(r, 300);
    if (r->impl->tags_void)
        return; /* both come again */
    cr_assert_eq(r->got_count, 2);
    rig_close(r, 2000);
    rig_open(r);
    rig_consume(r, "q", 2);
    rig_run(r, 300);
    cr_assert_eq(r->got_count, 2);
}

CONTRACT(after_each_restart_it_goes_on_within_two_seconds)
{
    const int restarts = r->impl->restarts, n = 300 * restarts;
    int next = 0;

    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 16);
    for (int i = 0; i < restarts; i++) {
        int before;
        for (; next < 300 * (i + 1); next++)
            rig_publish(r, "q", next);
        rig_run(r, 30);
        before = r->ready;
        r->impl->restart(r->server);
        cr_assert(rig_wait_ready(r, before + 1, 2000), "restart %d", i);
        before = r->got_count;
        (void)rig_send(r, "q", n + i, 0);
        cr_assert(rig_wait_got(r, before + 1, 2000), "restart %d", i);
    }
    /* What was under way when the server went may have been lost or not: the
     * sender is told. */
    rig_run(r, 500);
    cr_assert(rig_wait_published(r, n + restarts - r->published_lost, 5000));
    for (int i = 0; i < 100 && distinct(r, n + restarts) < r->published_ok; i++)
        rig_run(r, 50);
    cr_assert_geq(distinct(r, n + restarts), r->published_ok);
}

CONTRACT(a_frozen_server_is_waited_for)
{
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 16);
    publish_range(r, "q", 0, 10);
    cr_assert(rig_wait_got(r, 10, 3000));
    r->impl->freeze(r->server, true);
    for (int n = 10; n < 20; n++)
        rig_publish(r, "q", n);
    rig_run(r, 3000);
    cr_assert_eq(r->got_count, 10);
    r->impl->freeze(r->server, false);

    cr_assert(rig_wait_got(r, 20, 1000));
    cr_assert_eq(distinct(r, 20), 20);
    cr_assert_eq(r->lost, 0);
}

CONTRACT(what_is_published_during_an_outage_goes_out_after_it)
{
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 16);
    r->impl->down(r->server, true);
    cr_assert(rig_wait_lost(r, 1, 3000));
    for (int n = 0; n < 100; n++)
        rig_publish(r, "q", n);
    rig_run(r, 500);
    cr_assert_eq(r->published_ok + r->published_lost, 0);
    r->impl->down(r->server, false);

    cr_assert(rig_wait_published(r, 100, 3000));
    cr_assert(rig_wait_got(r, 100, 3000));
    for (int i = 0; i < 100; i++)
        cr_assert_eq(r->got[i].n, i);
}

CONTRACT(the_bound_on_what_waits_is_kept)
{
    enum status st = ST_OK;
    int n = 0;

    rig_open(r);
    r->impl->down(r->server, true);
    cr_assert(rig_wait_lost(r, 1, 3000));
    for (; n < 100000 && st == ST_OK; n++)
        st = rig_send(r, "q", n, 0);
    cr_assert_eq(st, ST_BUSY);
    cr_assert_geq(n, 1000);
    cr_assert_leq(n, 20000);
    r->impl->down(r->server, false);
    cr_assert(rig_wait_published(r, n - 1, 10000));
    cr_assert_eq(rig_send(r, "q", 0, 0), ST_OK);
}

CONTRACT(the_last_answer_grows_older_only_when_there_is_none)
{
    uint64_t first, second;

    rig_open(r);
    rig_consume(r, "q", 1);
    rig_run(r, 1500);
    first = r->b->ops->last_answer(r->b);
    cr_assert_neq(first, 0);
    rig_run(r, 1500);
    second = r->b->ops->last_answer(r->b);
    cr_assert_gt(second, first);

    publish_range(r, "q", 0, 2);
    cr_assert(rig_wait_got(r, 1, 3000)); /* and no room is left */
    rig_run(r, 1500);
    cr_assert_gt(r->b->ops->last_answer(r->b), second + 1000000);

    r->impl->freeze(r->server, true);
    rig_run(r, 100);
    first = r->b->ops->last_answer(r->b);
    rig_run(r, 1500);
    cr_assert_eq(r->b->ops->last_answer(r->b), first);
    r->impl->freeze(r->server, false);
}

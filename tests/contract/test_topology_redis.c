/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges in Redis, beside real kombu. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/loop.h"
#include "tests/support/redis_rig.h"
#include "tests/support/redis_server.h"

/* What kombu_peer.py prints, with definitions and transport options. */
static char *
kombu(struct rig *r, const char *command, const char *arg, int count)
{
    static char out[16384];
    char line[512];
    size_t n;
    FILE *f;

    cr_assert_eq(setenv("KOMBU_QUEUES", r->config.task_queues, 1), 0);
    cr_assert_eq(setenv("KOMBU_OPTIONS", r->config.broker_transport_options, 1),
                 0);
    (void)snprintf(line, sizeof line,
                   "/usr/bin/python3 tests/support/kombu_peer.py %s %s '%s' %d",
                   command, redis_server_url(r->server), arg, count);
    f = popen(line, "r");
    cr_assert_not_null(f);
    n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    cr_assert_eq(pclose(f), 0, "%s", line);
    return out;
}

static void
define(struct rig *r, const char *queues)
{
    struct error err = {0};

    cr_assert_eq(config_set(&r->config, "task_queues", queues, &err), ST_OK);
    cr_assert_eq(topology_new(&r->topology, &r->config, &err), ST_OK, "%s",
                 err.text);
}

static void
consume(struct rig *r, const char *name, unsigned prefetch)
{
    struct error err = {0};
    const struct queue_def *q = topology_find(r->topology, slice_of(name));

    cr_assert_eq(r->b->ops->consume(r->b, q, &err), ST_OK, "%s", err.text);
    r->b->ops->prefetch(r->b, prefetch);
}

static void
publish(struct rig *r, const char *exchange, const char *key, int n)
{
    struct message *m = rig_message(exchange, key, n);
    struct error err = {0};
    int before = r->published_ok;

    cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK, "%s", err.text);
    message_free(m);
    cr_assert(rig_wait_published(r, before + 1, 3000));
}

static void
done(struct rig *r)
{
    if (r->b != NULL)
        rig_close(r, 2000);
    topology_free(r->topology);
    r->topology = NULL;
}

static const char kinds[] =
    "[{\"name\": \"d\", \"exchange\": {\"name\": \"dx\"}, \"routing_key\": "
    "\"k\"}, {\"name\": \"t\", \"exchange\": {\"name\": \"tx\", \"type\": "
    "\"topic\"}, \"routing_key\": \"a_b.*.c-d.#\"}, {\"name\": \"f\", "
    "\"exchange\": {\"name\": \"fx\", \"type\": \"fanout\"}, "
    "\"routing_key\": \"x.#\"}, {\"name\": \"b\", \"bindings\": "
    "[{\"exchange\": {\"name\": \"tx\", \"type\": \"topic\"}, "
    "\"routing_key\": \"#\"}, {\"exchange\": {\"name\": \"dx\"}, "
    "\"routing_key\": \"l\"}]}]";

REDIS(redis_topology, our_bindings_are_kombus)
{
    char *ours, *theirs;

    define(r, kinds);
    rig_open(r);
    for (const char *q = "dtfb"; *q != '\0'; q++) {
        const char name[] = {*q, '\0'};
        consume(r, name, 1);
    }
    rig_run(r, 100);
    ours = strdup(kombu(r, "bindings", "dx tx fx", 0));
    redis_rig_ask(r, "FLUSHALL");
    kombu(r, "declare", "-", 0);
    theirs = kombu(r, "bindings", "dx tx fx", 0);
    cr_expect_str_eq(ours, theirs);
    cr_expect_not_null(strstr(ours, "tx 2\n"), "%s", ours);
    free(ours);
    done(r);
}

/* Of the keys, those that kombu's topic exchange finds a queue for. */
REDIS(redis_topology, topics_are_matched_as_kombu_matches)
{
    static const char *const patterns[] = {"a",   "a.#", "#.a",   "a.*.b",
                                           "*",   "#",   "a.*",   "*.*",
                                           "a_b", "a+b", "a.#.b", "#.*"};
    static const char *const keys[] = {"a",     "b",       "a.b", "a.b.c",
                                       "a.x.b", "a.x.y.b", "b.a", "a_b",
                                       "aab",   "a+b",     "a.",  "x.a"};
    struct buf queues, want;
    char *text, *got;
    size_t n = sizeof patterns / sizeof *patterns;

    buf_init(&queues, 64 * 1024);
    for (size_t i = 0; i < n; i++)
        buf_addf(&queues,
                 "%s{\"name\": \"q%zu\", \"exchange\": {\"name\": \"tx\", "
                 "\"type\": \"topic\"}, \"routing_key\": \"%s\"}",
                 i ? ", " : "[", i, patterns[i]);
    buf_addf(&queues, "]");
    cr_assert_eq(buf_take(&queues, &text, NULL), ST_OK);
    define(r, text);
    free(text);
    rig_open(r);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        buf_init(&want, 4096);
        redis_rig_ask(r, "FLUSHALL"); /* and the bindings are put back */
        publish(r, "tx", keys[k], 1);
        for (size_t i = 0; i < n; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "q%zu", i);
            if (rig_depth(r, name) > 0)
                buf_addf(&want, "%s ", name);
        }
        buf_addf(&want, "\n");
        cr_assert_eq(buf_take(&want, &got, NULL), ST_OK);
        cr_expect_str_eq(got, kombu(r, "lookup", keys[k], 0), "%s", keys[k]);
        free(got);
    }
    done(r);
}

REDIS(redis_topology, a_direct_exchange_wants_the_whole_key)
{
    define(r, kinds);
    rig_open(r);
    publish(r, "dx", "k", 1);
    publish(r, "dx", "l", 2);
    publish(r, "dx", "k.l", 3); /* to nobody, as in kombu */
    cr_expect_eq(rig_depth(r, "d"), 1);
    cr_expect_eq(rig_depth(r, "b"), 1);
    done(r);
}

/* Emptied under a running consumer: it is found again. */
REDIS(redis_topology, bindings_come_back_after_a_restart)
{
    define(r, kinds);
    rig_open(r);
    r->ack_at_once = true;
    consume(r, "t", 5);
    r->impl->restart(r->server);
    cr_assert(rig_wait_ready(r, 2, 10000));
    rig_run(r, 100);
    cr_expect_not_null(
        strstr(kombu(r, "lookup-table", "a_b.x.c-d.y", 0), "t "));
    done(r);
}

static int
fanout_both_ways(struct rig *r)
{
    int got;

    define(r, kinds);
    rig_open(r);
    r->ack_at_once = true;
    consume(r, "f", 5);
    rig_run(r, 200); /* it is subscribed */
    kombu(r, "fanout", "x.y", 2);
    (void)rig_wait_got(r, 2, 2000);
    got = r->got_count;
    publish(r, "fx", "x.z", 7);
    (void)rig_wait_got(r, got + 1, 2000);
    rig_run(r, 300); /* acknowledged */
    cr_expect_eq(redis_rig_number(r, "EXISTS unacked unacked_index f"), 0);
    got = r->got_count;
    done(r);
    return got;
}

/* kombu's PUBLISH comes to us, and ours to ourselves on the same channel. */
REDIS(redis_topology, fanout_channels_are_kombus)
{
    static const char *const options[] = {
        "{}",
        "{\"fanout_prefix\": true}",
        "{\"fanout_prefix\": false}",
        "{\"fanout_prefix\": \"mine-{db}-\"}",
        "{\"fanout_prefix\": \"\"}",
        "{\"fanout_patterns\": false}",
        "{\"fanout_prefix\": false, \"fanout_patterns\": false}",
        "{\"global_keyprefix\": \"p_\"}",
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        r->got_count = 0;
        redis_rig_options(r, options[i]);
        cr_expect_eq(fanout_both_ways(r), 3, "%s", options[i]);
    }
}

REDIS(redis_topology, a_fanned_message_goes_back_to_its_own_queue)
{
    define(r, kinds);
    rig_open(r);
    consume(r, "f", 1);
    rig_run(r, 200);
    publish(r, "fx", "x.1", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    redis_rig_settle(r, 0, VERDICT_REQUEUE);
    cr_assert(rig_wait_got(r, 2, 3000));
    cr_expect(r->got[1].redelivered);
    cr_expect_str_eq(r->got[1].queue, "f");
    redis_rig_settle(r, 1, VERDICT_ACK);
    rig_run(r, 200);
    cr_expect_eq(redis_rig_number(r, "EXISTS unacked unacked_index f"), 0);
    done(r);
}

REDIS(redis_topology, a_broadcast_leaves_nothing_behind)
{
    define(r, "[{\"name\": \"n\", \"broadcast\": true}]");
    rig_open(r);
    consume(r, "n", 1);
    rig_run(r, 200);
    cr_expect_eq(redis_rig_number(r, "SCARD _kombu.binding.n"), 1);
    publish(r, "n", "celery", 1);
    publish(r, "n", "celery", 2);
    cr_assert(rig_wait_got(r, 1, 3000));
    cr_expect_str_eq(r->got[0].queue,
                     topology_find(r->topology, slice_of("n"))->name);
    done(r);
    cr_expect_eq(redis_rig_number(r, "SCARD _kombu.binding.n"), 0);
    cr_expect_str_eq(redis_rig_ask(r, "KEYS *bcast*"), "");
    cr_expect_eq(redis_rig_number(r, "EXISTS unacked unacked_index"), 0);
}

REDIS(redis_topology, a_cancelled_fanout_queue_hears_no_more)
{
    struct error err = {0};

    define(r, kinds);
    rig_open(r);
    consume(r, "f", 5);
    rig_run(r, 200);
    cr_assert_eq(r->b->ops->cancel(r->b, slice_of("f"), &err), ST_OK);
    rig_run(r, 200);
    publish(r, "fx", "x.1", 1);
    rig_run(r, 200);
    cr_expect_eq(r->got_count, 0);
    cr_expect_eq(rig_depth(r, "f"), 0);
    done(r);
}

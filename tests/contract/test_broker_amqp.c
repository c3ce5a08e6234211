/* SPDX-License-Identifier: Apache-2.0 */
/* What every broker promises, kept by RabbitMQ, and what only it does. */
#define BROKER amqp
#include "tests/contract/test_broker.c" /* the behaviours */

#include <criterion/hooks.h>
#include <criterion/options.h>

#include "tests/support/rabbit_server.h"

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    criterion_options.jobs = 1; /* they share a server */
    rabbit_server_begin();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    rabbit_server_end();
}

#define RABBIT(behaviour)                        \
    static void behaviour(struct rig *r);        \
    Test(amqp_broker, behaviour, .timeout = 120) \
    {                                            \
        run(&broker_impl_amqp, behaviour);       \
    }                                            \
    static void behaviour(struct rig *r)

/* ---- queues as they are found ---- */

RABBIT(a_queue_that_is_otherwise_is_used_as_it_is)
{
    rabbit_server_declare("q", "x-max-priority", 10, NULL);
    rig_open(r);
    r->ack_at_once = true;
    for (int n = 0; n < 10; n++)
        cr_assert_eq(rig_send(r, "q", n, n), ST_OK);
    cr_assert(rig_wait_published(r, 10, 3000));
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 10, 3000));
    for (int n = 0; n < 10; n++)
        cr_assert_eq(r->got[n].n, 9 - n, "the highest priority comes first");
}

RABBIT(a_quorum_queue_is_consumed_and_its_limit_changes)
{
    rabbit_server_declare("q", "x-queue-type", 0, "quorum");
    rig_open(r);
    publish_range(r, "q", 0, 50);
    rig_consume(r, "q", 2);
    cr_assert(rig_wait_got(r, 2, 5000));
    rig_run(r, 200);
    cr_assert_eq(r->got_count, 2);
    r->b->ops->prefetch(r->b, 20);
    cr_assert(rig_wait_got(r, 20, 3000));
    rig_run(r, 200);
    cr_assert_eq(r->got_count, 20);
    r->ack_at_once = true;
    for (int i = 0; i < 20; i++)
        settle(r, i, VERDICT_ACK);
    cr_assert(rig_wait_got(r, 50, 3000));
    cr_assert_eq(distinct(r, 50), 50);
}

RABBIT(a_deleted_queue_is_declared_and_consumed_again)
{
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    for (int n = 0; n < 3; n++) {
        rig_publish(r, "q", n);
        cr_assert(rig_wait_got(r, n + 1, 4000), "round %d", n);
        rabbit_server_delete("q");
    }
    rig_run(r, 1500);
    cr_assert_eq(r->lost, 0);
}

RABBIT(a_queue_deleted_behind_the_publisher_is_declared_again)
{
    rig_open(r);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_published(r, 1, 3000));
    rabbit_server_delete("q");
    publish_range(r, "q", 2, 12);
    cr_assert_eq(rig_depth(r, "q"), 10);
}

RABBIT(a_queue_that_somebody_has_for_himself_is_consumed_when_he_lets_go)
{
    void *hog;

    rig_open(r);
    publish_range(r, "q", 0, 3);
    rabbit_server_inject("q1", "[[7], {}, {}]");
    hog = rabbit_server_hog("q1");
    rig_consume(r, "q1", 5);
    cr_assert(rig_wait_lost(r, 1, 3000), "the channel is closed");
    cr_assert(r->tags_void);
    rabbit_server_let_go(hog);
    cr_assert(rig_wait_got(r, 1, 5000));
    cr_assert_eq(r->got[0].n, 7);
    cr_assert_gt(r->ready, 1);
    /* The connection was not lost. */
    cr_assert_eq(r->published_lost, 0);
}

/* Its producer signed it with its own name, which RabbitMQ checks. */
RABBIT(a_message_that_another_user_signed_is_put_at_the_back)
{
    const char *at = strchr(r->impl->url(r->server), '@');
    struct error err;
    char url[160];

    rabbit_server_tell("ctl add_user other pw");
    rabbit_server_tell("ctl set_permissions other .* .* .*");
    (void)snprintf(url, sizeof url, "amqp://other:pw%s", at);
    rabbit_server_inject("q", "[[7], {}, {}]");
    rabbit_server_inject("q", "[[8], {}, {}]");
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    settle(r, 0, VERDICT_BACK);
    cr_assert(rig_wait_got(r, 2, 3000));
    cr_assert_eq(r->got[1].n, 8);
    settle(r, 1, VERDICT_ACK);
    cr_assert(rig_wait_got(r, 3, 3000));
    cr_assert_eq(r->got[2].n, 7);
    rabbit_server_tell("ctl delete_user other");
}

/* ---- limits ---- */

RABBIT(a_limit_that_grows_with_what_is_parked_is_followed)
{
    int before = 0;

    rig_open(r);
    publish_range(r, "q", 0, 1000);
    rig_consume(r, "q", 8);
    while (r->got_count < 1000) {
        cr_assert(rig_wait_got(r, before + 1, 3000), "at %d", before);
        cr_assert_leq(r->got_count, before + 8);
        before = r->got_count;
        r->b->ops->prefetch(r->b, (unsigned)before + 8);
    }
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(r->got[i].n, i);
}

RABBIT(what_comes_beyond_a_lowered_limit_is_for_others)
{
    struct rig other;

    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 200);
    publish_range(r, "q", 0, 10);
    cr_assert(rig_wait_got(r, 10, 3000));
    r->ack_at_once = false;
    r->b->ops->prefetch(r->b, 2);
    publish_range(r, "q", 10, 110);
    rig_run(r, 1200);
    cr_assert_eq(r->got_count, 12);

    rig_init_beside(&other, r, "w2@test/1");
    other.ack_at_once = true;
    rig_open(&other);
    rig_consume(&other, "q", 10);
    cr_assert(rig_wait_got(&other, 90, 3000), "%d", other.got_count);
    rig_fini(&other);
}

RABBIT(a_limit_that_goes_up_and_down_all_the_time_costs_nothing)
{
    char *consumers;

    rig_open(r);
    publish_range(r, "q", 0, 300);
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 10, 3000));
    for (int i = 0; i < 200; i++) { /* as a worker with long tasks does */
        r->b->ops->prefetch(r->b, 0);
        rig_run(r, 1);
        settle(r, i, VERDICT_ACK);
        r->b->ops->prefetch(r->b, 10);
        cr_assert(rig_wait_got(r, i + 11, 3000), "%d", i);
    }
    consumers = rabbit_server_ask("ctl list_consumers -q consumer_tag");
    cr_assert_not_null(strstr(consumers, "lovage.0.1\n"),
                       "the first consumer still does: %s", consumers);
    free(consumers);
}

/* ---- what does not fit ---- */

RABBIT(a_large_message_passes_and_a_large_header_is_refused)
{
    struct message *m = rig_message("", "q", 1);
    size_t size = 3000000;
    struct error err;

    rig_open(r);
    free(m->body);
    m->body = malloc(size + 1);
    memset(m->body, 'x', size);
    memcpy(m->body, "[[5], ", 6);
    m->body[size] = '\0';
    m->body_len = size;
    cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK);
    cr_assert(rig_wait_published(r, 1, 5000));
    rig_consume(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 5000));
    cr_assert_eq(r->got[0].n, 5);
    settle(r, 0, VERDICT_BACK);
    cr_assert(rig_wait_got(r, 2, 5000));
    cr_assert(r->got[1].redelivered);

    json_object_object_add(m->headers, "big",
                           json_object_new_string(m->body + size - 140000));
    cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_TOOBIG);
    cr_assert_not_null(strstr(err.text, "frame"), "%s", err.text);
    rig_publish(r, "q", 2);
    cr_assert(rig_wait_published(r, 2, 3000));
    cr_assert_eq(r->lost, 0);
    message_free(m);
}

RABBIT(what_the_broker_refuses_is_told_and_what_has_no_exchange_too)
{
    struct message *m = rig_message("nowhere", "k", 1);
    struct error err;

    rabbit_server_declare("q", "x-max-length", 3, NULL);
    rabbit_server_tell(
        "ctl set_policy p ^q$ {\"overflow\":\"reject-publish\"}");
    rig_open(r);
    for (int n = 0; n < 50; n++)
        rig_publish(r, "q", n);
    cr_assert(rig_wait_published(r, 3, 3000));
    rig_run(r, 300);
    cr_assert_geq(r->published_ok, 3);
    cr_assert_eq(r->published_ok + r->published_bad, 50);
    cr_assert_gt(r->published_bad, 40);
    rabbit_server_tell("ctl clear_policy p");

    r->published_bad = 0;
    cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK);
    rig_run(r, 300);
    cr_assert_eq(r->published_bad, 1);
    cr_assert_eq(r->lost, 0);
    message_free(m);
}

/* ---- a broker in trouble ---- */

/* Sanitizers make all things slower. */
static double
stall_max_ms(void)
{
    const char *slow = getenv("LOVAGE_TEST_SLOW");

    return 50 * (slow == NULL ? 1 : strtod(slow, NULL));
}

/* The longest time between two turns of the loop. */
struct stall {
    uv_timer_t timer;
    uint64_t last, longest;
};

static void
on_stall_tick(uv_timer_t *t)
{
    struct stall *s = t->data;
    uint64_t now = uv_hrtime();

    if (now - s->last > s->longest)
        s->longest = now - s->last;
    s->last = now;
}

static void
stall_begin(struct stall *s, uv_loop_t *loop)
{
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->longest = 0;
    s->last = uv_hrtime();
    uv_timer_start(&s->timer, on_stall_tick, 2, 2);
}

static double
stall_end_ms(struct stall *s)
{
    uv_close((uv_handle_t *)&s->timer, NULL);
    return (double)s->longest / 1e6;
}

RABBIT(short_of_memory_it_consumes_and_publishing_waits)
{
    enum status st = ST_OK;
    struct stall stall;
    int n = 100, confirmed, waiting;
    double stall_ms;
    bool got;

    rig_open(r);
    r->ack_at_once = true;
    publish_range(r, "q", 0, 100);
    rabbit_server_tell("ctl set_vm_memory_high_watermark absolute 1MB");
    stall_begin(&stall, &r->loop);
    for (; n < 20000 && st == ST_OK; n++) {
        st = rig_send(r, "q1", n, 0);
        if (n % 100 == 0)
            rig_run(r, 1);
    }
    rig_run(r, 1000);
    confirmed = r->published_ok;
    rig_consume(r, "q", 10); /* acknowledging goes on */
    got = rig_wait_got(r, 100, 3000);
    rig_run(r, 500);
    waiting = (int)rig_depth(r, "q");
    stall_ms = stall_end_ms(&stall);
    rabbit_server_tell("ctl set_vm_memory_high_watermark 0.8");

    cr_assert_eq(st, ST_BUSY);
    cr_assert_eq(confirmed, 100);
    cr_assert(got);
    cr_assert_eq(waiting, 0);
    cr_assert(rig_wait_published(r, n - 1, 15000), "%d", r->published_ok);
    cr_assert_eq(rig_depth(r, "q1"), n - 101);
    cr_assert_eq(r->published_lost + r->published_bad + r->lost, 0);
    cr_assert_lt(stall_ms, stall_max_ms(), "%.1f ms", stall_ms);
}

RABBIT(a_silent_broker_is_given_up_after_two_heartbeats)
{
    struct tcp_proxy *p = broker_impl_amqp_proxy(r->server);
    char url[160];
    struct error err;

    (void)snprintf(url, sizeof url, "%s?heartbeat=1", r->impl->url(r->server));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 3000));
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    rig_run(r, 3500);
    cr_assert_eq(r->lost, 0, "ours reach the broker, and the reverse");

    tcp_proxy_hold(p, true);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_lost(r, 1, 5000));
    tcp_proxy_hold(p, false);
    cr_assert(rig_wait_ready(r, 2, 6000));
    rig_publish(r, "q", 2);
    cr_assert(rig_wait_got(r, 1, 3000));
}

RABBIT(of_a_list_of_brokers_the_next_is_taken)
{
    char urls[300];
    struct error err;

    (void)snprintf(urls, sizeof urls,
                   "amqp://127.0.0.1:1//;pyamqp://guest@127.0.0.1:2//;%s",
                   r->impl->url(r->server));
    cr_assert_eq(rig_open_url(r, urls, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 5000));
    r->ack_at_once = true;
    rig_consume(r, "q", 5);
    rig_publish(r, "q", 1);
    cr_assert(rig_wait_got(r, 1, 3000));
    r->impl->cut(r->server);
    cr_assert(rig_wait_ready(r, 2, 5000));
    rig_publish(r, "q", 2);
    cr_assert(rig_wait_got(r, 2, 3000));
}

RABBIT(of_shuffled_brokers_one_that_is_there_is_found)
{
    char urls[400];
    struct error err;

    (void)snprintf(urls, sizeof urls,
                   "amqp://127.0.0.1:1//;amqp://127.0.0.1:2//;"
                   "amqp://127.0.0.1:3//;%s",
                   r->impl->url(r->server));
    cr_assert_eq(
        config_set(&r->config, "broker_failover_strategy", "shuffle", &err),
        ST_OK);
    cr_assert_eq(rig_open_url(r, urls, &err), ST_OK);
    cr_assert(rig_wait_ready(r, 1, 20000));
}

RABBIT(an_unknown_virtual_host_is_denied)
{
    char url[160];
    struct error err;

    (void)snprintf(url, sizeof url, "%snowhere", r->impl->url(r->server));
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK);
    cr_assert(rig_wait_lost(r, 1, 3000));
    cr_assert_eq(r->lost_code, ST_DENIED);
}

/* ---- TLS ---- */

static void
open_tls(struct rig *r, const char *user, const char *host, const char *more)
{
    const char *dir = rabbit_server_certificates();
    struct error err;
    char url[900];

    (void)snprintf(url, sizeof url,
                   "amqps://%s%s:%d//?ssl_ca_certs=%s/ca.pem&%s", user, host,
                   rabbit_server_tls_port(), dir, more);
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK, "%s", err.text);
}

RABBIT(it_speaks_tls_to_whom_it_can_verify)
{
    open_tls(r, "guest:guest@", "127.0.0.1", "");
    cr_assert(rig_wait_ready(r, 1, 5000));
    rig_consume(r, "q", 5);
    publish_range(r, "q", 0, 5);
    cr_assert(rig_wait_got(r, 5, 3000));
    rig_close(r, 2000);

    /* The certificate is for the address, not for this name. */
    open_tls(r, "guest:guest@", "localhost", "");
    cr_assert(rig_wait_lost(r, 1, 5000));
    cr_assert_eq(r->lost_code, ST_DENIED);
}

RABBIT(a_certificate_is_a_login)
{
    const char *dir = rabbit_server_certificates();
    char more[600];

    (void)snprintf(more, sizeof more,
                   "ssl_certfile=%s/client.pem&ssl_keyfile=%s/client.key&"
                   "login_method=EXTERNAL",
                   dir, dir);
    open_tls(r, "", "127.0.0.1", more);
    cr_assert(rig_wait_ready(r, 1, 5000));
    publish_range(r, "q", 0, 5);
    cr_assert_eq(rig_depth(r, "q"), 5);
    rig_close(r, 2000);

    open_tls(r, "", "127.0.0.1", "login_method=EXTERNAL");
    cr_assert(rig_wait_lost(r, 1, 5000));
}

/* ---- kombu itself ---- */

static char *
kombu(const char *command, int count)
{
    static char out[16384];
    char line[256];
    size_t n;
    FILE *f;

    (void)snprintf(line, sizeof line,
                   "/usr/bin/python3 tests/support/kombu_peer.py %s "
                   "amqp://guest:guest@127.0.0.1:%d// q %d",
                   command, rabbit_server_port(), count);
    f = popen(line, "r");
    cr_assert_not_null(f);
    n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    cr_assert_eq(pclose(f), 0, "%s", line);
    return out;
}

RABBIT(kombu_publishes_and_we_consume)
{
    kombu("publish", 50);
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 50, 3000));
    for (int i = 0; i < 50; i++)
        cr_assert_eq(r->got[i].n, i);
}

RABBIT(we_publish_and_kombu_consumes)
{
    rig_open(r);
    publish_range(r, "q", 0, 5);
    cr_assert_eq(
        strncmp(kombu("consume", 5), "0 False\n1 False\n2 False\n", 24), 0);
    cr_assert_eq(rig_depth(r, "q"), 0);
}

RABBIT(what_kombu_held_when_it_died_comes_to_us_and_the_reverse)
{
    kombu("publish", 3);
    kombu("hold", 3);
    rig_open(r);
    rig_consume(r, "q", 3);
    cr_assert(rig_wait_got(r, 3, 5000));
    cr_assert(r->got[0].redelivered);
    r->b->ops->prefetch(r->b, 0);
    settle(r, 0, VERDICT_BACK);
    settle(r, 1, VERDICT_REQUEUE);
    settle(r, 2, VERDICT_REQUEUE);
    rig_run(r, 300);
    cr_assert_str_eq(kombu("consume", 3), "1 False\n2 False\n0 True\n", "%s",
                     "a header tells of the copy");
}

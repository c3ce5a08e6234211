/* SPDX-License-Identifier: Apache-2.0 */
/* The AMQP broker against a server that does what RabbitMQ does seldom, and in
 * an order that cannot be hit with RabbitMQ itself. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "store/amqp/content.h"
#include "store/amqp/table.h"
#include "tests/support/amqp_script.h"
#include "tests/support/broker_rig.h"
#include "tests/support/loop.h"

enum { SEEN_MAX = 4096, NESTED = 120000 };

/* What the server has seen, and how it is to answer. */
struct scene {
    struct rig rig;
    struct amqp_script *script;
    bool keeps_confirms; /* the test confirms */
    uint16_t refuses;    /* consumers on this channel; 0: none */
    bool no_exchange;    /* channel 3 is closed when something is published */
    int opened[4];       /* channel.open, both connections */
    int declared, loose; /* exchange.declare, basic.publish on channel 3 */
    int consumed, acked, rejected;
    int published; /* on channel 1 */
    char consumer_tag[64];
    char id[SEEN_MAX][40]; /* of what was published */
};

static void *
start_nothing(void)
{
    static int nothing;

    return &nothing;
}

static void
stop_nothing(void *server)
{
    (void)server;
}

static const struct broker_impl impl_script = {
    .name = "script", .start = start_nothing, .stop = stop_nothing};

static void
see_message(struct scene *s, const struct amqp_peer *p)
{
    struct message *m = NULL;
    char *body = calloc(1, p->body.len + 1);
    struct error err;

    cr_assert_lt(s->published, SEEN_MAX);
    cr_assert_eq(amq_content_decode((struct slice){p->head.data, p->head.len},
                                    &body, p->body.len, &m, &err),
                 ST_OK);
    (void)snprintf(s->id[s->published++], sizeof s->id[0], "%s",
                   m->correlation_id);
    message_free(m);
}

static void
see_consumer(struct scene *s, const amqp_basic_consume_t *m)
{
    s->consumed++;
    (void)snprintf(s->consumer_tag, sizeof s->consumer_tag, "%.*s",
                   (int)m->consumer_tag.len,
                   (const char *)m->consumer_tag.bytes);
}

static bool
on_method(void *arg, struct amqp_peer *p, uint16_t channel,
          amqp_method_number_t id, void *fields)
{
    struct scene *s = arg;

    s->opened[channel] += id == AMQP_CHANNEL_OPEN_METHOD;
    s->acked += id == AMQP_BASIC_ACK_METHOD;
    s->rejected += id == AMQP_BASIC_REJECT_METHOD;
    s->declared += id == AMQP_EXCHANGE_DECLARE_METHOD && channel == 3;
    if (id == AMQP_BASIC_CONSUME_METHOD) {
        see_consumer(s, fields);
        if (channel == s->refuses)
            amqp_peer_close_channel(p, channel, 403);
    } else if (id == AMQP_BASIC_PUBLISH_METHOD && channel == 3) {
        s->loose++;
        if (s->no_exchange)
            amqp_peer_close_channel(p, channel, 404);
    } else if (id == AMQP_BASIC_PUBLISH_METHOD) {
        see_message(s, p);
        return s->keeps_confirms;
    }
    return false;
}

static void
scene_open(struct scene *s)
{
    struct error err;

    cr_assert_eq(rig_open_url(&s->rig, amqp_script_url(s->script), &err),
                 ST_OK);
    cr_assert(rig_wait_ready(&s->rig, 1, 5000));
}

#define SCRIPT(behaviour)                                        \
    static void behaviour(struct scene *s, struct rig *r);       \
    Test(amqp_script, behaviour, .timeout = 60)                  \
    {                                                            \
        struct scene *s = calloc(1, sizeof *s);                  \
        rig_init(&s->rig, &impl_script);                         \
        s->script = amqp_script_new(&s->rig.loop, on_method, s); \
        behaviour(s, &s->rig);                                   \
        if (s->rig.b != NULL)                                    \
            rig_close(&s->rig, 500);                             \
        amqp_script_free(s->script);                             \
        rig_fini(&s->rig);                                       \
        free(s);                                                 \
    }                                                            \
    static void behaviour(struct scene *s, struct rig *r)

static void
publish_and_wait(struct scene *s, int n)
{
    int before = s->published;

    for (int i = 0; i < n; i++)
        rig_publish(&s->rig, "q", i);
    for (int i = 0; i < 200 && s->published < before + n; i++)
        rig_run(&s->rig, 10);
    cr_assert_eq(s->published, before + n);
}

/* ---- confirms ---- */

SCRIPT(a_confirm_of_many_tells_each_once)
{
    struct amqp_peer *p;

    s->keeps_confirms = true;
    scene_open(s);
    p = amqp_script_publisher(s->script);
    publish_and_wait(s, 6);
    amqp_peer_confirm(p, 2, false, true);
    amqp_peer_confirm(p, 4, true, false); /* 1, 3 and 4 */
    rig_run(r, 50);
    cr_assert_eq(r->published_ok, 1);
    cr_assert_eq(r->published_bad, 3);
    amqp_peer_confirm(p, 2, false, true);
    amqp_peer_confirm(p, 4, true, true);
    amqp_peer_confirm(p, 99, true, true);
    rig_run(r, 50);
    cr_assert_eq(r->published_ok, 1, "told twice, or what was never sent");
    amqp_peer_confirm(p, 0, true, true); /* all */
    rig_run(r, 50);
    cr_assert_eq(r->published_ok, 3);
    cr_assert_eq(r->published_bad, 3);
}

SCRIPT(a_channel_closed_while_publishing_costs_only_what_was_under_way)
{
    s->keeps_confirms = true;
    scene_open(s);
    publish_and_wait(s, 5);
    amqp_peer_confirm(amqp_script_publisher(s->script), 1, false, true);
    amqp_peer_close_channel(amqp_script_publisher(s->script), 1, 406);
    rig_run(r, 50);
    cr_assert_eq(r->published_ok, 1);
    cr_assert_eq(r->published_lost, 4);
    s->keeps_confirms = false;
    publish_and_wait(s, 5);
    cr_assert(rig_wait_published(r, 6, 1000), "the count begins at 1 again");
    cr_assert_eq(r->lost, 0);
}

/* Two with the same body: the second is returned, the first was taken. */
SCRIPT(of_two_messages_alike_the_returned_one_is_sent_again)
{
    amqp_basic_return_t back = {.reply_code = 312,
                                .routing_key = amq_bytes("q")};
    struct amqp_peer *p;

    s->keeps_confirms = true;
    scene_open(s);
    p = amqp_script_publisher(s->script);
    for (int i = 0; i < 2; i++)
        rig_publish(r, "q", 7);
    for (int i = 0; i < 200 && s->published < 2; i++)
        rig_run(r, 10);
    amqp_peer_send_content(p, 1, AMQP_BASIC_RETURN_METHOD, &back,
                           (struct slice){p->head.data, p->head.len},
                           (struct slice){p->body.data, p->body.len});
    s->keeps_confirms = false;
    amqp_peer_confirm(p, 2, true, true);
    cr_assert(rig_wait_published(r, 2, 2000));
    cr_assert_eq(s->published, 3);
    cr_assert_str_eq(s->id[2], s->id[1]);
    cr_assert_str_neq(s->id[0], s->id[1]);
}

SCRIPT(a_connection_lost_while_blocked_is_not_blocked_when_it_is_back)
{
    amqp_connection_blocked_t blocked = {.reason = amq_bytes("low on memory")};

    scene_open(s);
    amqp_peer_send(amqp_script_publisher(s->script), 0,
                   AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
    rig_run(r, 50);
    rig_publish(r, "q", 1);
    rig_run(r, 300);
    cr_assert_eq(s->published, 0);
    amqp_script_cut(amqp_script_publisher(s->script));
    cr_assert(rig_wait_published(r, 1, 3000));
    cr_assert_eq(r->published_lost, 0);
}

/* ---- frames ---- */

SCRIPT(bodies_at_the_edges_of_frames_pass_in_both_directions)
{
    static const size_t sizes[] = {0, 1, 4087, 4088, 4089, 8176, 8177};
    struct amqp_peer *p;
    amqp_basic_deliver_t d = {.routing_key = amq_bytes("q")};

    amqp_script_frame_max(s->script, 4096);
    scene_open(s);
    rig_consume(r, "q", 100);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct message *m = rig_message("", "q", 1);
        int before = r->got_count;
        struct error err;

        free(m->body);
        m->body = malloc(sizes[i] + 1);
        memset(m->body, 'x', sizes[i]);
        m->body[sizes[i]] = '\0';
        m->body_len = sizes[i];
        cr_assert_eq(r->b->ops->publish(r->b, m, r, &err), ST_OK);
        cr_assert(rig_wait_published(r, (int)i + 1, 1000), "%zu", sizes[i]);
        message_free(m);
        p = amqp_script_publisher(s->script);
        cr_assert_eq(p->body.len, sizes[i]);
        d.delivery_tag = i + 1;
        d.consumer_tag = amq_bytes(s->consumer_tag);
        amqp_peer_send_content(amqp_script_consumer(s->script), 1,
                               AMQP_BASIC_DELIVER_METHOD, &d,
                               (struct slice){p->head.data, p->head.len},
                               (struct slice){p->body.data, p->body.len});
        cr_assert(rig_wait_got(r, before + 1, 1000), "%zu", sizes[i]);
    }
    cr_assert_eq(r->lost, 0);
}

/* As many arrays in each other as a frame holds. */
static void
nest(struct buf *head)
{
    static const char start[] = {0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 0};
    uint32_t inside = NESTED;
    char n[4];

    inside -= inside % 5;
    buf_add(head, (struct slice){start, sizeof start});
    for (int i = 0; i < 4; i++)
        n[i] = (char)((inside + 2) >> (24 - 8 * i) & 0xff);
    buf_add(head, (struct slice){n, 4});
    buf_add(head, (struct slice){"\1h", 2});
    for (; inside > 0; inside -= 5) {
        uint32_t rest = inside - 5;
        buf_add(head, (struct slice){"A", 1});
        for (int i = 0; i < 4; i++)
            n[i] = (char)(rest >> (24 - 8 * i) & 0xff);
        buf_add(head, (struct slice){n, 4});
    }
}

SCRIPT(headers_nested_as_deep_as_a_frame_holds_are_no_message)
{
    amqp_basic_deliver_t d = {.routing_key = amq_bytes("q"), .delivery_tag = 1};
    struct buf head;

    scene_open(s);
    rig_consume(r, "q", 5);
    for (int i = 0; i < 100 && s->consumed == 0; i++)
        rig_run(r, 10);
    d.consumer_tag = amq_bytes(s->consumer_tag);
    buf_init(&head, AMQ_FRAME_MAX);
    nest(&head);
    cr_assert(!head.failed);
    amqp_peer_send_content(
        amqp_script_consumer(s->script), 1, AMQP_BASIC_DELIVER_METHOD, &d,
        (struct slice){head.data, head.len}, (struct slice){"[]", 2});
    cr_assert(rig_wait_got(r, 1, 3000));
    cr_assert_eq(r->got[0].n, -1);
    r->b->ops->settle(r->b, r->got[0].tag, VERDICT_REJECT);
    rig_run(r, 100);
    cr_assert_eq(r->lost, 0);
    buf_fini(&head);
}

/* ---- channels ---- */

SCRIPT(a_tag_of_a_closed_channel_is_never_settled)
{
    amqp_basic_deliver_t d = {.routing_key = amq_bytes("q"), .delivery_tag = 1};
    struct amqp_peer *p;

    scene_open(s);
    rig_consume(r, "q", 5);
    publish_and_wait(s, 1);
    d.consumer_tag = amq_bytes(s->consumer_tag);
    p = amqp_script_publisher(s->script);
    amqp_peer_send_content(amqp_script_consumer(s->script), 1,
                           AMQP_BASIC_DELIVER_METHOD, &d,
                           (struct slice){p->head.data, p->head.len},
                           (struct slice){p->body.data, p->body.len});
    cr_assert(rig_wait_got(r, 1, 1000));
    amqp_peer_close_channel(amqp_script_consumer(s->script), 1, 406);
    cr_assert(rig_wait_lost(r, 1, 1000));
    cr_assert(r->tags_void);
    r->b->ops->settle(r->b, r->got[0].tag, VERDICT_ACK);
    cr_assert(rig_wait_ready(r, 2, 3000));
    rig_run(r, 100);
    cr_assert_eq(s->acked + s->rejected, 0);
    cr_assert_geq(s->consumed, 2, "it consumes again");
}

SCRIPT(a_fanout_queue_that_may_not_be_read_is_asked_for_once_a_second)
{
    struct error err;

    s->refuses = 3;
    scene_open(s);
    cr_assert_eq(r->b->ops->subscribe(r->b, slice_of("celery.pidbox"),
                                      slice_of("w.celery.pidbox"), &err),
                 ST_OK);
    rig_run(r, 700);
    cr_assert_geq(s->consumed, 1);
    cr_assert_leq(s->consumed, 2);
    s->refuses = 0;
    rig_run(r, 1500);
    cr_assert_leq(s->consumed, 4);
    cr_assert_eq(r->lost, 0);
}

static void
publish_fanout_and_wait(struct scene *s, const struct message *m)
{
    struct broker *b = s->rig.b;
    int before = s->loose;
    struct error err;

    cr_assert_eq(b->ops->publish_fanout(b, slice_of("celeryev"), m, &err),
                 ST_OK);
    for (int i = 0; i < 200 && s->loose == before; i++)
        rig_run(&s->rig, 10);
    cr_assert_eq(s->loose, before + 1);
}

SCRIPT(a_fanout_exchange_that_was_deleted_is_declared_again)
{
    struct message *m = rig_message("celeryev", "", 1);

    scene_open(s);
    publish_fanout_and_wait(s, m);
    s->no_exchange = true;
    publish_fanout_and_wait(s, m);
    s->no_exchange = false;
    for (int i = 0; i < 200 && s->opened[3] < 3; i++)
        rig_run(r, 10);
    rig_run(r, 50); /* until it knows that the channel is open again */
    publish_fanout_and_wait(s, m);
    cr_assert_eq(s->declared, 2, "%d", s->declared);
    message_free(m);
}

SCRIPT(no_event_comes_after_close_at_whatever_moment)
{
    bool stays = false;
    struct error err;

    for (int turns = 1; !stays; turns++) {
        int before = r->ready, ready;

        cr_assert_eq(rig_open_url(r, amqp_script_url(s->script), &err), ST_OK);
        rig_consume(r, "q", 5);
        for (int i = 0; i < turns; i++)
            uv_run(&r->loop, UV_RUN_ONCE);
        ready = r->ready;
        stays = ready > before; /* it was connected: all moments are tried */
        rig_close(r, turns % 2 == 0 ? 0 : 500);
        cr_assert_eq(r->ready, ready, "ready after %d turns", turns);
        cr_assert_eq(r->lost, 0, "lost after %d turns", turns);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What remote control shows and orders, without a broker. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/data.h"
#include "tests/support/node_rig.h"
#include "worker/control.h"

static struct node_rig rig;

static lovage_status
wait_for_end(lovage_task *t)
{
    (void)t;
    return LOVAGE_PENDING;
}

static struct json_object *
dump(const char *name, const char *args)
{
    const struct control_command *c = control_dumps;
    struct json_object *a = data_json(args), *reply;

    while (c->name && strcmp(c->name, name) != 0)
        c++;
    cr_assert_not_null(c->name);
    reply = c->fn(rig.n, a);
    json_object_put(a);
    return reply;
}

/* Sends a command, with a reply address; its reply. */
static struct json_object *
order(const char *body)
{
    struct message *m = message_new();
    size_t n = json_object_array_length(rig.sent);
    struct json_object *sent;

    data_set(&m->content_type, "application/json");
    data_set(&m->body, body);
    m->body_len = strlen(body);
    consumer_events.fanout(rig.n, data_text("celery.pidbox"), m);
    sent = json_object_array_get_idx(rig.sent, n);
    cr_assert_not_null(sent, "no reply");
    return json_get(json_get(sent, "body"), "rig@lab");
}

static void
text_is(struct json_object *v, const char *want)
{
    struct slice s = json_str(v);

    cr_expect(slice_is(s, want), "%.*s, not %s", (int)s.len, s.ptr ? s.ptr : "",
              want);
}

static void
tear_down(void)
{
    shutdown_cold(rig.n);
    node_rig_fini(&rig);
}

static void
start(void)
{
    node_rig_init(&rig);
    node_rig_task("rig.wait", LOVAGE_ASYNC, wait_for_end, true);
}

TestSuite(control, .fini = tear_down);

Test(control, stats_of_a_list_of_brokers_show_the_first_and_no_password)
{
    struct json_object *stats, *broker, *rest;

    node_rig_set(&rig, "broker_url",
                 "amqps://me:secret@one:5671/v;amqp://me:hidden@two//");
    start();
    stats = dump("stats", "{}");
    broker = json_get(stats, "broker");
    text_is(json_get(broker, "hostname"), "one");
    text_is(json_get(broker, "virtual_host"), "v");
    cr_expect(json_get_bool(broker, "ssl", false));
    rest = json_get(broker, "alternates");
    cr_assert_eq(json_object_array_length(rest), 1);
    text_is(json_object_array_get_idx(rest, 0), "amqp://me:***@two//");
    json_object_put(stats);
}

#define HEADERS                                                        \
    "{\"task\": \"rig.wait\", \"id\": \"a\", \"argsrepr\": \"(1,)\", " \
    "\"kwargsrepr\": \"{}\"}"

Test(control, active_shows_arguments_or_only_their_description)
{
    struct json_object *list, *args;

    start();
    node_rig_deliver(&rig, HEADERS, "[[1], {}, {}]");
    list = dump("active", "{}");
    args = json_get(json_object_array_get_idx(list, 0), "args");
    cr_expect(json_object_is_type(args, json_type_array));
    json_object_put(list);
    list = dump("active", "{\"safe\": true}");
    text_is(json_get(json_object_array_get_idx(list, 0), "args"), "(1,)");
    json_object_put(list);
}

Test(control, a_task_is_asked_for_by_one_id_or_by_many)
{
    struct json_object *one, *many;

    start();
    node_rig_deliver(&rig, HEADERS, "[[1], {}, {}]");
    one = dump("query_task", "{\"ids\": \"a\"}");
    many = dump("query_task", "{\"ids\": [\"a\", \"b\"]}");
    cr_expect(json_object_equal(one, many));
    text_is(json_object_array_get_idx(json_get(one, "a"), 0), "active");
    json_object_put(one);
    json_object_put(many);
}

#define REPLY                                                 \
    "\"ticket\": \"t\", \"reply_to\": {\"exchange\": \"x\", " \
    "\"routing_key\": \"y\"}}"

Test(control, a_task_that_waits_may_be_terminated_too)
{
    node_rig_set(&rig, "worker_async_concurrency", "1");
    start();
    node_rig_deliver(&rig, HEADERS, "[[1], {}, {}]");
    node_rig_deliver(&rig, "{\"task\": \"rig.wait\", \"id\": \"b\"}",
                     "[[1], {}, {}]");
    cr_assert_eq(rig.n->counts[RQ_READY], 1);
    text_is(json_get(order("{\"method\": \"terminate\", \"arguments\": "
                           "{\"task_id\": \"b\"}, " REPLY),
                     "ok"),
            "terminate: b");
    text_is(json_get(order("{\"method\": \"terminate\", \"arguments\": "
                           "{\"task_id\": \"a\"}, " REPLY),
                     "ok"),
            "terminate: a");
    node_rig_turn(&rig, 20);
    text_is(json_get(node_rig_stored(&rig, "a"), "status"), "REVOKED");
    text_is(json_get(node_rig_stored(&rig, "b"), "status"), "REVOKED");
}

Test(control, a_time_limit_is_a_number_that_can_be_waited_for)
{
    static const char *const odd[] = {"1e300", "-1", "NaN", "Infinity"};
    char body[256];

    start();
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        const struct task_entry *e;

        snprintf(body, sizeof(body),
                 "{\"method\": \"time_limit\", \"arguments\": {\"task_name\": "
                 "\"rig.wait\", \"hard\": %s, \"soft\": 1}, " REPLY,
                 odd[i]);
        text_is(json_get(order(body), "ok"), "time limits set successfully");
        e = registry_entry(registry_find(data_text("rig.wait")));
        cr_expect(e->hard_s >= 0 && e->hard_s < 1e10, "%s", odd[i]);
    }
}

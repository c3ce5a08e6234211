/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/topology.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/data.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct config config;
static struct topology *t;
static struct error err;

static void
set(const char *name, const char *value)
{
    cr_assert_eq(config_set(&config, name, value, &err), ST_OK, "%s", err.text);
}

static void
begin(void)
{
    cr_assert_eq(config_init(&config, &err), ST_OK);
    t = NULL;
}

static void
end(void)
{
    topology_free(t);
    config_fini(&config);
}

static void
make(void)
{
    cr_assert_eq(topology_new(&t, &config, &err), ST_OK, "%s", err.text);
}

static const struct queue_def *
queue(const char *name)
{
    const struct queue_def *q = topology_find(t, slice_of(name));

    cr_assert_not_null(q, "%s", name);
    return q;
}

static void
expect_json(struct json_object *v, const char *want)
{
    char *text = json_text(v);

    cr_expect_str_eq(text, want);
    free(text);
}

TestSuite(topology, .init = begin, .fini = end);

Test(topology, without_settings_there_is_celerys_queue)
{
    const struct queue_def *q;

    make();
    cr_assert_eq(topology_count(t), 1);
    q = queue("celery");
    cr_expect(q->consumed && q->durable && !q->auto_delete && !q->exclusive);
    cr_expect_str_eq(q->exchange.name, "celery");
    cr_expect_str_eq(q->exchange.type, "direct");
    cr_expect_str_eq(q->routing_key, "celery");
    cr_expect_eq(q->binding_count, 1);
    expect_json(q->arguments, "{}");
}

/* As kombu 5.2.4 gives it. */
Test(topology, a_queue_is_shown_as_kombu_shows_it)
{
    make();
    expect_json(
        queue("celery")->doc,
        "{\"name\": \"celery\", \"exchange\": {\"name\": \"celery\", \"type\": "
        "\"direct\", \"arguments\": null, \"durable\": true, \"passive\": "
        "false, \"auto_delete\": false, \"delivery_mode\": null, "
        "\"no_declare\": false}, \"routing_key\": \"celery\", "
        "\"queue_arguments\": null, \"binding_arguments\": null, "
        "\"consumer_arguments\": null, \"durable\": true, \"exclusive\": "
        "false, \"auto_delete\": false, \"no_ack\": false, \"alias\": null, "
        "\"no_declare\": null, \"expires\": null, \"message_ttl\": null, "
        "\"max_length\": null, \"max_length_bytes\": null, \"max_priority\": "
        "null, \"bindings\": []}");
}

Test(topology, defaults_come_from_the_settings)
{
    const struct queue_def *q;

    set("task_default_queue", "d");
    set("task_default_exchange", "dx");
    set("task_default_exchange_type", "topic");
    set("task_default_routing_key", "dk");
    set("task_default_queue_type", "quorum");
    set("task_queue_max_priority", "7");
    set("task_queues", "[{\"name\": \"a\"}, \"d\", \"b\"]");
    make();
    q = queue("a");
    cr_expect_str_eq(q->exchange.name, "dx");
    cr_expect_str_eq(q->exchange.type, "topic");
    cr_expect_str_eq(q->routing_key, "dk");
    expect_json(q->arguments, "{\"x-max-priority\": 7}");
    expect_json(queue("d")->arguments,
                "{\"x-queue-type\": \"quorum\", \"x-max-priority\": 7}");
    cr_expect_str_eq(queue("b")->exchange.name, "b");
    cr_expect_str_eq(queue("b")->exchange.type, "direct");
    cr_expect(topology_has_quorum(t));
}

Test(topology, arguments_are_in_milliseconds_and_win)
{
    set("task_queues",
        "[{\"name\": \"a\", \"message_ttl\": 1.5, \"expires\": 2, "
        "\"max_length\": 3, \"max_length_bytes\": 4, \"max_priority\": 5, "
        "\"queue_arguments\": {\"x-max-priority\": 9, \"x\": [1, true]}}]");
    make();
    expect_json(queue("a")->arguments,
                "{\"x-max-priority\": 5, \"x\": [1, true], \"x-expires\": "
                "2000, \"x-message-ttl\": 1500, \"x-max-length\": 3, "
                "\"x-max-length-bytes\": 4}");
}

/* Celery's dict form: a key of the queue's name, and what is said of the queue
 * alone holds for the exchange. */
Test(topology, the_dict_form_has_defaults_of_its_own)
{
    const struct queue_def *q;

    set("task_queues",
        "{\"a\": {\"exchange\": \"e\", \"exchange_type\": \"topic\", "
        "\"binding_key\": \"a.#\", \"durable\": false, \"auto_delete\": true}, "
        "\"b\": null, \"c\": {\"exchange\": \"x\", \"exchange_durable\": "
        "false, \"delivery_mode\": \"transient\"}}");
    make();
    q = queue("a");
    cr_expect_str_eq(q->routing_key, "a.#");
    cr_expect(!q->durable && q->auto_delete);
    cr_expect(!q->exchange.durable && q->exchange.auto_delete);
    cr_expect_str_eq(queue("b")->routing_key, "b");
    cr_expect_str_eq(queue("b")->exchange.name, "celery");
    q = queue("c");
    cr_expect(q->durable && !q->exchange.durable);
    cr_expect_eq(q->exchange.delivery_mode, 1);
}

Test(topology, bindings_replace_the_queues_own)
{
    const struct queue_def *q;

    set("task_queues",
        "[{\"name\": \"a\", \"exclusive\": true, \"bindings\": ["
        "{\"exchange\": {\"name\": \"x\", \"type\": \"topic\"}, "
        "\"routing_key\": \"k.*\", \"arguments\": {\"m\": 1}}, "
        "{\"exchange\": \"y\", \"exchange_type\": \"fanout\"}]}]");
    make();
    q = queue("a");
    cr_expect(q->exclusive && q->auto_delete);
    cr_assert_eq(q->binding_count, 2);
    cr_expect_str_eq(q->bindings[0].exchange.name, "x");
    cr_expect_str_eq(q->bindings[0].routing_key, "k.*");
    expect_json(q->bindings[0].arguments, "{\"m\": 1}");
    cr_expect_str_eq(q->bindings[1].exchange.type, "fanout");
    cr_expect_str_eq(q->exchange.name, "celery", "where tasks are sent to");
    cr_expect_null(json_get(q->doc, "exchange"));
}

Test(topology, a_broadcast_has_a_queue_of_its_own)
{
    const struct queue_def *q;

    set("task_queues", "[{\"name\": \"n\", \"broadcast\": true}]");
    make();
    q = queue("n");
    cr_expect_eq(strncmp(q->name, "bcast.", 6), 0);
    cr_expect_str_eq(q->alias, "n");
    cr_expect_str_eq(q->exchange.name, "n");
    cr_expect_str_eq(q->exchange.type, "fanout");
    cr_expect(q->broadcast && q->auto_delete);
}

Test(topology, a_copy_is_the_same)
{
    struct queue_def *copy;

    set("task_queues", "[{\"name\": \"a\", \"max_length\": 3, \"bindings\": "
                       "[{\"exchange\": \"x\"}]}]");
    make();
    copy = queue_def_copy(queue("a"));
    cr_assert_not_null(copy);
    cr_expect_str_eq(copy->name, "a");
    cr_expect_str_eq(copy->exchange.name, "celery");
    cr_expect_str_eq(copy->bindings[0].exchange.name, "x");
    expect_json(copy->arguments, "{\"x-max-length\": 3}");
    queue_def_free(copy);
}

Test(topology, what_is_wrong_is_named)
{
    static const struct {
        const char *name, *value, *text;
    } rows[] = {
        {"task_queues", "[", "task_queues: JSON: "},
        {"task_queues", "[{}]", "task_queues: queue \"\": name is missing"},
        {"task_queues", "[3]", "task_queues: queue \"\":  is no JSON object"},
        {"task_queues", "[{\"name\": \"a\", \"ttl\": 1}]",
         "task_queues: queue \"a\": no field is called \"ttl\""},
        {"task_queues", "[{\"name\": \"a\", \"message_ttl\": \"1\"}]",
         "task_queues: queue \"a\": message_ttl is not a number of seconds"},
        {"task_queues", "[{\"name\": \"a\", \"durable\": 1}]",
         "task_queues: queue \"a\": durable is neither true nor false"},
        {"task_queues", "[{\"name\": \"a\", \"max_length\": -1}]",
         "task_queues: queue \"a\": max_length is not a number from 0 on"},
        {"task_queues", "[{\"name\": \"a\", \"exchange\": {\"kind\": 1}}]",
         "task_queues: queue \"a\": exchange: no field is called \"kind\""},
        {"task_queues", "[{\"name\": \"a\", \"exchange\": 1}]",
         "task_queues: queue \"a\": exchange is neither a name nor a JSON "
         "object"},
        {"task_queues", "[{\"name\": \"a\", \"bindings\": [{}]}]",
         "task_queues: queue \"a\": bindings: one has no exchange"},
        {"task_queues", "[{\"name\": \"a\", \"delivery_mode\": 3}]",
         "task_queues: queue \"a\": delivery_mode is not 1, 2,"},
        {"task_routes", "{", "task_routes: JSON: "},
        {"task_routes", "1", "task_routes: is neither a JSON object nor"},
        {"task_routes", "{\"t\": 1}",
         "task_routes: \"t\": is neither the name of a queue nor a JSON "
         "object"},
        {"task_routes", "{\"t\": {\"que\": \"q\"}}",
         "task_routes: \"t\": que is no option of a route here"},
        {"task_routes", "{\"t\": {\"priority\": 256}}",
         "task_routes: \"t\": priority is not a number from 0 to 255"},
        {"task_routes", "[[[{\"regex\": \"(\"}, \"q\"]]]",
         "task_routes: \"(\": is no regular expression: "},
        {"task_routes", "[\"mod.router\"]",
         "task_routes: element 0 is neither a JSON object nor a list of "
         "pairs (a router written in Python"},
        {"worker_exclude_queues", "celery",
         "worker_exclude_queues (-X): no queue is left"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        config_fini(&config);
        cr_assert_eq(config_init(&config, &err), ST_OK);
        set(rows[i].name, rows[i].value);
        cr_expect_eq(topology_new(&t, &config, &err), ST_INVALID, "%s",
                     rows[i].value);
        cr_expect_eq(strncmp(err.text, rows[i].text, strlen(rows[i].text)), 0,
                     "%s", err.text);
    }
    t = NULL;
}

Test(topology, queues_are_selected_and_deselected)
{
    set("task_queues", "a,b,c");
    set("worker_queues", "a,b,new");
    set("worker_exclude_queues", "b,nowhere");
    make();
    cr_assert_eq(topology_count(t), 4);
    cr_expect(queue("a")->consumed && queue("new")->consumed);
    cr_expect(!queue("b")->consumed && !queue("c")->consumed);
}

Test(topology, unknown_queues_are_refused_if_they_are_not_to_be_made)
{
    struct task_route r = {.queue = slice_of("x"), .priority = -1};

    set("task_create_missing_queues", "false");
    set("worker_queues", "new");
    cr_expect_eq(topology_new(&t, &config, &err), ST_INVALID);
    cr_expect_not_null(strstr(err.text, "\"new\" is not defined"));
    t = NULL;
    set("worker_queues", "");
    set("task_routes", "{\"t\": \"x\"}");
    cr_expect_eq(topology_new(&t, &config, &err), ST_INVALID);
    cr_expect_not_null(strstr(err.text, "queue \"x\" is not defined"));
    t = NULL;
    set("task_routes", "");
    make();
    cr_expect_eq(topology_route(t, slice_of("t"), &r, &err), ST_NOTFOUND);
    cr_expect_str_eq(err.text, "Queue 'x' missing from task_queues");
}

/* ---- routing ---- */

/* "queue exchange key priority mode" of a task, as the sender said. */
static void
expect_route(const char *task, struct task_route said, const char *want)
{
    char got[200];

    cr_assert_eq(topology_route(t, slice_of(task), &said, &err), ST_OK, "%s",
                 err.text);
    snprintf(got, sizeof(got), "%.*s|%.*s|%.*s|%d|%d", (int)said.queue.len,
             said.queue.len ? said.queue.ptr : "", (int)said.exchange.len,
             said.exchange.ptr, (int)said.routing_key.len, said.routing_key.ptr,
             said.priority, said.delivery_mode);
    cr_expect_str_eq(got, want, "%s: %s, not %s", task, got, want);
}

static const struct task_route nothing = TASK_ROUTE_INIT;

static void
with_queues(const char *routes)
{
    set("task_queues",
        "[{\"name\": \"d\"}, "
        "{\"name\": \"top\", \"exchange\": {\"name\": \"tx\", \"type\": "
        "\"topic\", \"delivery_mode\": 1}, \"routing_key\": \"a.#\"}, "
        "{\"name\": \"fan\", \"exchange\": {\"name\": \"fx\", \"type\": "
        "\"fanout\"}}]");
    set("task_default_queue", "d");
    set("task_routes", routes);
    make();
}

/* The answers are those of Celery 5.2.6's Router and send_task_message(). */
Test(topology, tasks_go_where_celery_sends_them)
{
    with_queues("{\"exact\": \"top\", \"g*b\": {\"queue\": \"fan\"}, "
                "\"key\": {\"queue\": \"top\", \"routing_key\": \"a.k\"}, "
                "\"ex\": {\"exchange\": \"other\", \"routing_key\": \"o\", "
                "\"exchange_type\": \"topic\", \"priority\": 5}, "
                "\"empty\": {}, \"new\": \"made\", \"q?\": \"never\"}");
    expect_route("any", nothing, "d||d|-1|2");
    expect_route("exact", nothing, "top|tx|a.#|-1|1");
    expect_route("glob", nothing, "fan|fx|d|-1|2");
    expect_route("key", nothing, "top|tx|a.k|-1|1");
    expect_route("ex", nothing, "|other|o|5|2");
    expect_route("empty", nothing, "d||d|-1|2");
    expect_route("new", nothing, "made||made|-1|2");
    expect_route("qx", nothing, "d||d|-1|2"); /* "?" alone is no glob */
}

Test(topology, what_the_sender_says_wins)
{
    struct task_route r = nothing;

    with_queues("{\"t\": {\"queue\": \"top\", \"priority\": 3}}");
    r.queue = slice_of("d");
    expect_route("t", r, "d||d|3|2");
    r = nothing;
    r.routing_key = slice_of("a.b");
    r.priority = 9;
    expect_route("t", r, "top|tx|a.b|9|1");
    r = nothing;
    r.exchange = slice_of("e");
    r.routing_key = slice_of("k");
    expect_route("t", r, "top|e|k|3|1");
    expect_route("other", r, "d|e|k|-1|2");
    r.routing_key = slice_of("");
    expect_route("other", r, "d||d|-1|2");
}

Test(topology, routes_are_tried_in_their_order)
{
    with_queues("[{\"a.*\": \"1\"}, "
                "[[\"a.b\", \"2\"], [{\"regex\": \"(b|c)[.]\"}, \"3\"], "
                "[\"b*\", \"4\"], [\"b.exact\", \"5\"]]]");
    expect_route("a.b", nothing, "1||1|-1|2");
    expect_route("b.x", nothing, "3||3|-1|2");
    expect_route("bx", nothing, "4||4|-1|2");
    expect_route("b.exact", nothing, "5||5|-1|2");
    expect_route("x.b.", nothing, "d||d|-1|2"); /* matched at the start */
}

Test(topology, pairs_may_stand_in_the_list_itself)
{
    with_queues("[[\"a*\", \"1\"], [\"*\", {\"queue\": \"2\"}]]");
    expect_route("ab", nothing, "1||1|-1|2");
    expect_route("b", nothing, "2||2|-1|2");
}

Test(topology, missing_queues_are_made_as_the_settings_say)
{
    struct queue_def *q = NULL;

    set("task_create_missing_queue_type", "quorum");
    set("task_create_missing_queue_exchange_type", "topic");
    set("task_default_priority", "4");
    set("task_default_delivery_mode", "1");
    make();
    expect_route("t", (struct task_route){.queue = {"n", 1}, .priority = -1},
                 "n|n|n|4|1");
    cr_assert_eq(topology_missing(t, slice_of("n"), &q, &err), ST_OK);
    cr_expect(queue_def_is_quorum(q));
    cr_expect_str_eq(q->exchange.type, "topic");
    queue_def_free(q);
    cr_assert_eq(topology_missing(NULL, slice_of("n"), &q, &err), ST_OK);
    cr_expect(!queue_def_is_quorum(q));
    queue_def_free(q);
}

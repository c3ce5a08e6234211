/* SPDX-License-Identifier: Apache-2.0 */
/* A node with a broker and a result backend that only remember. */
#include "tests/support/node_rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/support/data.h"
#include "tests/support/loop.h"
#include "worker/fields.h"

static struct node_rig *the_rig;

/* ---- answers, at the end of the turn ---- */

struct answer {
    struct list link;
    void *cookie; /* of a published message, else: */
    result_fn *fn;
    void (*part)(void *arg, enum status st, bool ready,
                 struct json_object *parts);
    void (*closed)(void *arg);
    void *arg;
    enum status st;
};

static struct answer *
answer_new(void *arg)
{
    struct answer *a = calloc(1, sizeof(*a));

    cr_assert_not_null(a);
    a->arg = arg;
    list_add_tail(&the_rig->answers, &a->link);
    turn_ask(&the_rig->turn);
    return a;
}

static void
give_answers(void *arg)
{
    struct node_rig *r = arg;
    struct list *l;

    while ((l = list_pop(&r->answers))) {
        struct answer *a = list_entry(l, struct answer, link);

        if (a->closed)
            a->closed(a->arg);
        else if (a->part)
            a->part(a->arg, ST_OK, r->ready != NULL, r->ready);
        else if (a->fn)
            a->fn(a->arg, a->st, NULL);
        else
            consumer_events.published(r->n, a->cookie, ST_OK);
        free(a);
    }
}

/* ---- the broker ---- */

static enum status
broker_publish(struct broker *b, const struct message *m, void *cookie,
               struct error *err)
{
    struct json_object *o;

    (void)b;
    if (the_rig->publish_st != ST_OK &&
        (!the_rig->refused_task ||
         slice_is(json_get_str(m->headers, "task"), the_rig->refused_task)))
        return error_set(err, the_rig->publish_st, "the rig refuses");
    o = json_object_new_object();
    field_take(o, "headers", json_copy(m->headers));
    field_take(o, "body", data_json(m->body));
    field_text(o, "routing_key", m->routing_key);
    field_text(o, "expiration", m->expiration);
    cr_assert_eq(json_append(the_rig->sent, o), ST_OK);
    answer_new(NULL)->cookie = cookie;
    return ST_OK;
}

static void
broker_settle(struct broker *b, uint64_t tag, enum verdict v)
{
    struct node_rig *r = the_rig;

    (void)b;
    cr_assert_lt(r->verdict_count, RIG_MAX);
    cr_assert_eq(node_rig_verdict(r, tag), -1, "tag %d is settled twice",
                 (int)tag);
    r->verdicts[r->verdict_count++] = (struct rig_verdict){tag, v};
}

static void
broker_prefetch(struct broker *b, unsigned n)
{
    (void)b;
    (void)n;
}

static uint64_t
broker_last_answer(const struct broker *b)
{
    (void)b;
    return clock_mono_us();
}

static void
broker_close(struct broker *b, uint32_t flush_ms, void (*closed)(void *arg),
             void *arg)
{
    (void)b;
    (void)flush_ms;
    answer_new(arg)->closed = closed;
}

static const struct broker_ops broker_ops = {
    .scheme = "rig",
    .publish = broker_publish,
    .settle = broker_settle,
    .prefetch = broker_prefetch,
    .last_answer = broker_last_answer,
    .close = broker_close,
};

/* ---- the result backend ---- */

static struct json_object *
state_of(const struct task_state *ts)
{
    struct json_object *o = json_object_new_object(), *value = NULL;

    field_str(o, "id", ts->id);
    field_str(o, "status", ts->status);
    field_str(o, "group", ts->group_id);
    if (ts->result_text.ptr)
        cr_assert_eq(json_parse(ts->result_text, JSON_DEPTH, &value, NULL),
                     ST_OK);
    field_take(o, "result",
               ts->result_text.ptr ? value : json_object_get(ts->result));
    return o;
}

static void
result_put(struct result *r, const struct task_state *ts, result_fn *fn,
           void *arg)
{
    (void)r;
    cr_assert_eq(json_append(the_rig->stored, state_of(ts)), ST_OK);
    if (fn)
        answer_new(arg)->fn = fn;
}

static void
result_chord_size(struct result *r, struct slice group, int64_t size,
                  result_fn *fn, void *arg)
{
    struct answer *a;

    (void)r;
    (void)group;
    (void)size;
    a = answer_new(arg);
    a->fn = fn;
    a->st = the_rig->chord_st;
}

static void
result_chord_part(struct result *r, struct slice group, int64_t index,
                  const struct task_state *part,
                  void (*fn)(void *arg, enum status st, bool ready,
                             struct json_object *parts),
                  void *arg)
{
    struct json_object *o = state_of(part);

    (void)r;
    field_str(o, "group", group);
    field_int(o, "index", index);
    cr_assert_eq(json_append(the_rig->parts, o), ST_OK);
    answer_new(arg)->part = fn;
}

static void
result_chord_done(struct result *r, struct slice group)
{
    (void)r;
    (void)group;
}

static size_t
result_backlog(const struct result *r)
{
    (void)r;
    return 0;
}

static void
result_close(struct result *r, uint32_t flush_ms, void (*closed)(void *arg),
             void *arg)
{
    (void)r;
    (void)flush_ms;
    answer_new(arg)->closed = closed;
}

static const struct result_ops result_ops = {
    .scheme = "rig",
    .can = RESULT_KEEPS | RESULT_COUNTS_CHORDS,
    .put = result_put,
    .chord_size = result_chord_size,
    .chord_part = result_chord_part,
    .chord_done = result_chord_done,
    .backlog = result_backlog,
    .close = result_close,
};

/* ---- for tests ---- */

void
node_rig_set(struct node_rig *r, const char *setting, const char *value)
{
    if (!r->config.broker_url)
        cr_assert_eq(config_init(&r->config, NULL), ST_OK);
    cr_assert_eq(config_set(&r->config, setting, value, NULL), ST_OK);
}

void
node_rig_init(struct node_rig *r)
{
    struct pool_opts pool = {.config = &r->config, .size = 1, .idle = true};
    struct node *n = calloc(1, sizeof(*n));

    cr_assert_not_null(n);
    node_rig_set(r, "worker_hostname", "rig@lab");
    the_rig = r;
    r->n = n;
    r->broker.ops = &broker_ops;
    r->result.ops = &result_ops;
    r->sent = json_object_new_array();
    r->stored = json_object_new_array();
    r->parts = json_object_new_array();
    list_init(&r->answers);
    n->page = calloc(1, sizeof(*n->page));
    cr_assert_not_null(n->page);
    node_init(n, &r->config, 0, NULL);
    memcpy(n->name, "rig@lab", 8);
    cr_assert_eq(topology_new(&n->topology, &r->config, NULL), ST_OK);
    turn_init(&r->turn, &n->loop, give_answers, r);
    pool.loop = &n->loop;
    cr_assert_eq(pool_open(&n->pool, &pool, &run_pool_events, n, NULL), ST_OK);
    shutdown_signals(n);
    tick_start(n);
    n->broker = &r->broker;
    n->result = &r->result;
    consumer_events.ready(n);
}

void
node_rig_fini(struct node_rig *r)
{
    struct node *n = r->n;

    shutdown_warm(n);
    loop_until(&n->loop, NULL, NULL, 50);
    cr_expect_eq(n->phase, NODE_CLOSING);
    turn_close(&r->turn, NULL);
    uv_run(&n->loop, UV_RUN_DEFAULT);
    free(n->page);
    node_fini(n);
    free(n);
    json_object_put(r->sent);
    json_object_put(r->stored);
    json_object_put(r->parts);
    json_object_put(r->ready);
    config_fini(&r->config);
}

void
node_rig_task(const char *name, lovage_kind kind, lovage_run_fn *run, bool late)
{
    const lovage_task_def def = {
        .size = sizeof(def),
        .name = name,
        .kind = kind,
        .run = run,
        .params = -1,
        .acks_late = late,
    };

    cr_assert_eq(lovage_register(registry_get(), &def), 0);
}

uint64_t
node_rig_deliver(struct node_rig *r, const char *headers, const char *body)
{
    struct message *m = message_new();
    struct delivery d = {.tag = ++r->tag, .queue = data_text("q"), .msg = m};

    cr_assert_not_null(m);
    m->headers = data_json(headers);
    data_set(&m->content_type, "application/json");
    data_set(&m->content_encoding, "utf-8");
    data_set(&m->body, body);
    data_set(&m->exchange, "");
    data_set(&m->routing_key, "q");
    m->body_len = strlen(body);
    consumer_events.delivered(r->n, &d);
    node_rig_turn(r, 5);
    return d.tag;
}

void
node_rig_turn(struct node_rig *r, int ms)
{
    loop_until(&r->n->loop, NULL, NULL, ms);
}

int
node_rig_verdict(const struct node_rig *r, uint64_t tag)
{
    for (size_t i = 0; i < r->verdict_count; i++)
        if (r->verdicts[i].tag == tag)
            return (int)r->verdicts[i].verdict;
    return -1;
}

struct json_object *
node_rig_stored(const struct node_rig *r, const char *id)
{
    size_t n = json_object_array_length(r->stored);

    while (n-- > 0) {
        struct json_object *o = json_object_array_get_idx(r->stored, n);

        if (slice_is(json_get_str(o, "id"), id))
            return o;
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The second connection: messages of fanout exchanges (celery-wire.md 3.8), and
 * word from Redis that a list which was empty has changed. */
#include "store/redis/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "protocol/envelope.h"

enum { BROADCAST_S = 24 * 3600 };

static const char invalidate[] = "__redis__:invalidate";

static bool
is(const struct redisReply *r, const char *text)
{
    struct slice s = redis_str(r);

    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

/* Into the list of a queue, where it is taken and acknowledged like any other.
 * Should we die with some of it untaken, nobody else wants it. */
static void
put_into(struct broker_redis *b, const struct queue *q, struct slice payload)
{
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "LPUSH");
    redis_cmd_str(&cmd, q->keys[0]);
    redis_cmd_add(&cmd, payload);
    if (calls_send(b->calls, CALL_ORDERED, &cmd, NULL, NULL) != ST_OK)
        log_error("no memory for a message of a fanout exchange", "queue=%s",
                  q->name);
    if (!q->def->broadcast)
        return;
    redis_cmd_init(&cmd, "EXPIRE");
    redis_cmd_str(&cmd, q->keys[0]);
    redis_cmd_int(&cmd, BROADCAST_S);
    (void)calls_send(b->calls, CALL_ORDERED, &cmd, NULL, NULL);
}

static void
receive(struct broker_redis *b, const struct subscription *s,
        struct slice payload)
{
    struct message *m = NULL;
    struct error err;

    if (s->into != NULL) {
        put_into(b, s->into, payload);
        return;
    }
    if (envelope_decode(payload, &m, &err) != ST_OK) {
        log_warning("a fanout message does not decode", "exchange=%s reason=%s",
                    s->exchange, err.text);
        return;
    }
    b->ev.fanout(b->arg, slice_of(s->exchange), m);
}

/* It comes once, however many have subscribed to the pattern. */
static void
on_pmessage(struct broker_redis *b, const struct redisReply *pattern,
            const struct redisReply *payload)
{
    list_for_each_safe (n, &b->subscriptions) {
        struct subscription *s = list_entry(n, struct subscription, node);
        if (!b->closing && is(pattern, s->pattern))
            receive(b, s, redis_str(payload));
    }
}

static void
on_push(void *arg, const struct redisReply *r)
{
    struct broker_redis *b = arg;

    if (r->type == REDIS_REPLY_ERROR)
        log_warning("redis refuses a subscription", "reason=%s", r->str);
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 3)
        return;
    if (is(r->element[0], "message") && is(r->element[1], invalidate)) {
        if (r->element[2]->type == REDIS_REPLY_NIL)
            redis_flushed(b);
        redis_take_wake(b);
    } else if (is(r->element[0], "pmessage") && r->elements == 4)
        on_pmessage(b, r->element[1], r->element[3]);
    else if (is(r->element[0], "subscribe") && is(r->element[1], invalidate)) {
        b->invalidations = true;
        if (b->ready)
            redis_take_track(b);
    }
}

static void
on_up(void *arg)
{
    struct broker_redis *b = arg;

    if (b->instance != NULL)
        (void)redis_subscribe(b->pubsub, "SUBSCRIBE", slice_of(invalidate));
    list_for_each (n, &b->subscriptions) {
        struct subscription *s = list_entry(n, struct subscription, node);
        (void)redis_subscribe(b->pubsub, "PSUBSCRIBE", slice_of(s->pattern));
    }
}

static void
on_down(void *arg, const struct error *why)
{
    struct broker_redis *b = arg;

    (void)why;
    b->invalidations = false;
    b->tracking = TRACK_OFF;
    if (b->pause == PAUSE_IDLE || b->pause == PAUSE_REARM)
        redis_take_wake(b); /* and poll from then on */
}

enum status
redis_pubsub_open(struct broker_redis *b, struct error *err)
{
    static const struct redis_events events = {
        .up = on_up, .down = on_down, .push = on_push};
    struct redis_opts opts = {.url = b->url,
                              .config = b->config,
                              .role = REDIS_BROKER,
                              .name = "pubsub",
                              .pubsub = true};

    return redis_open(&b->pubsub, b->loop, &opts, &events, b, err);
}

char *
redis_fanout_channel(const struct broker_redis *b, struct slice exchange,
                     const char *routing_key)
{
    struct buf name;
    char *channel = NULL;

    buf_init(&name, 64 * 1024);
    buf_addf(&name, "%s%s", b->lay.prefix, b->lay.fanout_prefix);
    buf_add(&name, exchange);
    if (routing_key != NULL && *routing_key != '\0' && b->lay.fanout_patterns)
        buf_addf(&name, "/%s", routing_key);
    return buf_take(&name, &channel, NULL) == ST_OK ? channel : NULL;
}

/* Redis reads these characters of a node's or exchange's name as a pattern. */
static char *
escape(const char *text)
{
    struct buf out;
    char *pattern = NULL;

    buf_init(&out, 128 * 1024);
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr("*?[]\\^", *p) != NULL)
            buf_add(&out, (struct slice){"\\", 1});
        buf_add(&out, (struct slice){p, 1});
    }
    return buf_take(&out, &pattern, NULL) == ST_OK ? pattern : NULL;
}

static void
subscription_free(struct subscription *s)
{
    if (s == NULL)
        return;
    list_del(&s->node);
    free(s->exchange);
    free(s->pattern);
    free(s->queue);
    free(s);
}

/* kombu subscribes to the channel of a key with "*" for "#". */
static char *
pattern_of(const struct broker_redis *b, struct slice exchange, const char *key)
{
    char *channel = redis_fanout_channel(b, exchange, NULL), *pattern = NULL;
    char *escaped = channel == NULL ? NULL : escape(channel);
    struct buf out;

    buf_init(&out, (size_t)128 * 1024);
    if (escaped != NULL)
        buf_addf(&out, "%s", escaped);
    if (*key != '\0' && b->lay.fanout_patterns)
        buf_addf(&out, "/");
    for (; *key != '\0' && b->lay.fanout_patterns; key++)
        buf_addf(&out, "%c", *key == '#' ? '*' : *key);
    if (escaped == NULL || buf_take(&out, &pattern, NULL) != ST_OK)
        pattern = NULL;
    buf_fini(&out);
    free(escaped);
    free(channel);
    return pattern;
}

static struct subscription *
subscription_new(const struct broker_redis *b, struct slice exchange,
                 struct slice queue, const char *key)
{
    struct subscription *s = calloc(1, sizeof *s);

    if (s != NULL) {
        list_init(&s->node);
        s->exchange = strndup(exchange.ptr, exchange.len);
        s->queue = strndup(queue.ptr == NULL ? "" : queue.ptr, queue.len);
        s->pattern = pattern_of(b, exchange, key);
        if (s->exchange == NULL || s->queue == NULL || s->pattern == NULL) {
            subscription_free(s);
            s = NULL;
        }
    }
    return s;
}

/* kombu's mark of the node's own queue: ["", "", queue]. */
static void
send_binding(struct broker_redis *b, const struct subscription *s,
             const char *verb)
{
    char *key =
        redis_layout_key(&b->lay, "_kombu.binding.", slice_of(s->exchange));
    struct redis_cmd cmd;
    struct buf member;

    if (key == NULL || *s->queue == '\0' || s->into != NULL) {
        free(key);
        return;
    }
    buf_init(&member, 64 * 1024);
    buf_addf(&member, "%s%s%s", b->lay.sep, b->lay.sep, s->queue);
    redis_cmd_init(&cmd, verb);
    redis_cmd_str(&cmd, key);
    redis_cmd_add(&cmd, (struct slice){member.data, member.len});
    (void)redis_send(calls_client(b->calls), &cmd, NULL, NULL);
    buf_fini(&member);
    free(key);
}

void
redis_bind_subscriptions(struct broker_redis *b, bool remove)
{
    list_for_each (n, &b->subscriptions)
        send_binding(b, list_entry(n, struct subscription, node),
                     remove ? "SREM" : "SADD");
}

static enum status
add(struct broker_redis *b, struct slice exchange, struct slice queue,
    const char *key, struct subscription **out, struct error *err)
{
    struct subscription *s;
    enum status st;

    if (b->pubsub == NULL) {
        st = redis_pubsub_open(b, err);
        if (st != ST_OK)
            return st;
    }
    s = subscription_new(b, exchange, queue, key);
    if (s == NULL)
        return error_set(err, ST_NOMEM, "no memory for a subscription");
    list_add_tail(&b->subscriptions, &s->node);
    (void)redis_subscribe(b->pubsub, "PSUBSCRIBE", slice_of(s->pattern));
    *out = s;
    return ST_OK;
}

enum status
redis_broker_subscribe(struct broker *base, struct slice exchange,
                       struct slice queue, struct error *err)
{
    struct broker_redis *b = (struct broker_redis *)base;
    struct subscription *s = NULL;
    enum status st = add(b, exchange, queue, "", &s, err);

    if (st == ST_OK)
        send_binding(b, s, "SADD");
    return st;
}

enum status
redis_subscribe_queue(struct broker_redis *b, struct queue *q,
                      struct error *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < q->def->binding_count && st == ST_OK; i++) {
        const struct binding_def *bind = &q->def->bindings[i];
        struct subscription *s = NULL;

        if (!exchange_def_is(&bind->exchange, "fanout"))
            continue;
        st = add(b, slice_of(bind->exchange.name), slice_of(q->name),
                 bind->routing_key, &s, err);
        if (st == ST_OK)
            s->into = q;
        q->fanned = true;
    }
    return st;
}

static bool
is_shared(const struct broker_redis *b, const struct subscription *s)
{
    list_for_each (n, &b->subscriptions) {
        struct subscription *o = list_entry(n, struct subscription, node);
        if (o != s && strcmp(o->pattern, s->pattern) == 0)
            return true;
    }
    return false;
}

void
redis_unsubscribe_queue(struct broker_redis *b, const struct queue *q)
{
    list_for_each_safe (n, &b->subscriptions) {
        struct subscription *s = list_entry(n, struct subscription, node);

        if (s->into != q)
            continue;
        if (!is_shared(b, s))
            (void)redis_subscribe(b->pubsub, "PUNSUBSCRIBE",
                                  slice_of(s->pattern));
        subscription_free(s);
    }
}

void
redis_subscriptions_free(struct broker_redis *b)
{
    list_for_each_safe (n, &b->subscriptions)
        subscription_free(list_entry(n, struct subscription, node));
}

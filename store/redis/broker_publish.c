/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing to queues and exchanges (celery-wire.md 3.2, 3.8). */
#include "store/redis/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "protocol/envelope.h"

enum {
    ENVELOPE_MAX = 512 * 1024 * 1024,    /* Redis' own limit of a value */
    FANOUT_BACKLOG_MAX = 4 * 1024 * 1024 /* unsent bytes */
};

struct publish {
    struct list node; /* in publishes */
    struct broker_redis *b;
    void *cookie;
    char *exchange; /* of a named exchange: for the log; or NULL */
};

/* The envelope of m, with what it may lack. */
static enum status
encode(const struct message *m, char *exchange, struct buf *out)
{
    static char none[] = "";
    struct message full = *m;
    char tag[ID_LEN + 1];

    if (full.delivery_tag == NULL) {
        id_new(tag);
        full.delivery_tag = tag;
    }
    full.exchange = exchange;
    if (full.routing_key == NULL)
        full.routing_key = none;
    envelope_encode(&full, out);
    return out->failed ? ST_TOOBIG : ST_OK;
}

static void
on_published(void *arg, enum status st, const struct redisReply *reply)
{
    struct publish *p = arg;
    struct broker_redis *b = p->b;
    void *cookie = p->cookie;

    if (reply != NULL && st != ST_OK && !b->refuses)
        log_error("publishing was refused", "reason=%s", reply->str);
    b->refuses = st != ST_OK && (reply != NULL || b->refuses);
    if (st == ST_OK && p->exchange != NULL && reply->integer == 0)
        log_warning("published to no queue: nothing is bound", "exchange=%s",
                    p->exchange);
    free(p->exchange);
    list_del(&p->node);
    free(p);
    b->publishing--;
    b->ev.published(b->arg, cookie, st);
    redis_broker_progress(b);
}

/* A list's key for m, in the anonymous exchange. */
static char *
list_key(const struct broker_redis *b, const struct message *m)
{
    struct buf suffix;
    char *key;

    buf_init(&suffix, 64);
    redis_layout_suffix(&b->lay, m->priority, &suffix);
    key = redis_layout_key(&b->lay, m->routing_key,
                           (struct slice){suffix.data, suffix.len});
    buf_fini(&suffix);
    return key;
}

struct members {
    const struct broker_redis *b;
    struct redis_cmd *cmd;
};

static void
add_member(void *arg, const struct queue_def *q, const struct binding_def *bind)
{
    const struct members *m = arg;
    struct buf member;

    if (q->broadcast || q->exclusive || q->no_declare)
        return; /* its consumer binds it */
    buf_init(&member, (size_t)64 * 1024);
    redis_add_member(m->b, q, bind, &member);
    redis_cmd_add(m->cmd, (struct slice){member.data, member.len});
    buf_fini(&member);
}

static void
take_type(void *arg, const struct queue_def *q, const struct binding_def *bind)
{
    const char **type = arg;

    (void)q;
    *type = exchange_def_is(&bind->exchange, "topic")    ? "topic"
            : exchange_def_is(&bind->exchange, "fanout") ? "fanout"
                                                         : "direct";
}

/* To the queues that are bound to a direct or topic exchange. */
static void
build_route(struct broker_redis *b, const struct message *m,
            struct slice envelope, const char *type, struct redis_cmd *cmd)
{
    struct members members = {b, cmd};
    struct buf suffix;

    buf_init(&suffix, 64);
    redis_layout_suffix(&b->lay, m->priority, &suffix);
    redis_cmd_init_script(cmd, SCRIPT_ROUTE, 0);
    redis_cmd_str(cmd, b->lay.prefix);
    redis_cmd_str(cmd, b->lay.sep);
    redis_cmd_add(cmd, (struct slice){suffix.data, suffix.len});
    redis_cmd_str(cmd, m->exchange);
    redis_cmd_str(cmd, m->routing_key == NULL ? "" : m->routing_key);
    redis_cmd_add(cmd, envelope);
    redis_cmd_str(cmd, type);
    (void)topology_each_bound(b->topology, slice_of(m->exchange), add_member,
                              &members);
    buf_fini(&suffix);
}

static enum status
build(struct broker_redis *b, const struct message *m, struct slice envelope,
      struct redis_cmd *cmd)
{
    const char *type = "";
    char *key;

    if (m->exchange != NULL && *m->exchange != '\0')
        (void)topology_each_bound(b->topology, slice_of(m->exchange), take_type,
                                  &type);
    if (m->exchange == NULL || *m->exchange == '\0') {
        key = list_key(b, m);
        if (key == NULL)
            return ST_NOMEM;
        redis_cmd_init(cmd, "LPUSH");
        redis_cmd_str(cmd, key);
        free(key);
        redis_cmd_add(cmd, envelope);
    } else if (strcmp(type, "fanout") == 0) {
        key = redis_fanout_channel(b, slice_of(m->exchange), m->routing_key);
        if (key == NULL)
            return ST_NOMEM;
        redis_cmd_init(cmd, "PUBLISH");
        redis_cmd_str(cmd, key);
        redis_cmd_add(cmd, envelope);
        free(key);
    } else {
        build_route(b, m, envelope, type, cmd);
    }
    return ST_OK;
}

/* Whom it is for may be gone for good. */
static void
expire(struct broker_redis *b, const struct message *m)
{
    char *key = list_key(b, m);
    struct redis_cmd cmd;

    if (key == NULL)
        return;
    redis_cmd_init(&cmd, "EXPIRE");
    redis_cmd_str(&cmd, key);
    redis_cmd_int(&cmd, b->replies_expire_s);
    (void)calls_send(b->calls, CALL_ORDERED, &cmd, NULL, NULL);
    free(key);
}

static struct publish *
publish_new(struct broker_redis *b, const struct message *m, void *cookie)
{
    struct publish *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->b = b;
    p->cookie = cookie;
    list_init(&p->node);
    if (m->exchange != NULL && *m->exchange != '\0')
        p->exchange = strdup(m->exchange);
    return p;
}

enum status
redis_publish(struct broker *base, const struct message *m, void *cookie,
              struct error *err)
{
    static char anonymous[] = "";
    struct broker_redis *b = (struct broker_redis *)base;
    struct publish *p = NULL;
    struct slice text = {m->envelope, m->envelope_len};
    struct redis_cmd cmd;
    struct buf envelope;
    enum status st = ST_OK;

    if (b->publishing >= PUBLISH_MAX ||
        calls_bytes(b->calls) >= PUBLISH_BYTES_MAX)
        return error_set(err, ST_BUSY, "%zu messages wait to be published",
                         b->publishing);
    if ((m->exchange == NULL || *m->exchange == '\0') &&
        (m->routing_key == NULL || *m->routing_key == '\0'))
        return error_set(err, ST_INVALID, "a message without routing key");
    buf_init(&envelope, ENVELOPE_MAX);
    if (text.ptr == NULL) {
        st =
            encode(m, m->exchange == NULL ? anonymous : m->exchange, &envelope);
        text = (struct slice){envelope.data, envelope.len};
    }
    if (st == ST_OK)
        p = publish_new(b, m, cookie);
    if (st == ST_OK && p == NULL)
        st = ST_NOMEM;
    if (st == ST_OK)
        st = build(b, m, text, &cmd);
    if (st == ST_OK)
        st = calls_send(b->calls, CALL_ONCE, &cmd, on_published, p);
    buf_fini(&envelope);
    if (st != ST_OK) {
        if (p != NULL)
            free(p->exchange);
        free(p);
        return error_set(err, st, "publishing: %s", status_text(st));
    }
    list_add_tail(&b->publishes, &p->node);
    b->publishing++;
    if (m->reply && b->replies_expire_s > 0)
        expire(b, m);
    return ST_OK;
}

enum status
redis_publish_fanout(struct broker *base, struct slice exchange,
                     const struct message *m, struct error *err)
{
    struct broker_redis *b = (struct broker_redis *)base;
    char *name = strndup(exchange.ptr, exchange.len), *channel = NULL;
    struct redis_cmd cmd;
    struct buf envelope;
    enum status st = ST_NOMEM;

    buf_init(&envelope, ENVELOPE_MAX);
    if (redis_backlog(calls_client(b->calls)) > FANOUT_BACKLOG_MAX) {
        st = ST_BUSY;
        goto out;
    }
    if (name != NULL)
        channel = redis_fanout_channel(b, exchange, m->routing_key);
    if (channel == NULL || encode(m, name, &envelope) != ST_OK)
        goto out;
    redis_cmd_init(&cmd, "PUBLISH");
    redis_cmd_str(&cmd, channel);
    redis_cmd_add(&cmd, (struct slice){envelope.data, envelope.len});
    st = redis_send(calls_client(b->calls), &cmd, NULL, NULL);
out:
    buf_fini(&envelope);
    free(channel);
    free(name);
    return st == ST_OK
               ? ST_OK
               : error_set(err, st, "fanout to %.*s: %s", (int)exchange.len,
                           exchange.ptr, status_text(st));
}

void
redis_publishes_free(struct broker_redis *b)
{
    list_for_each_safe (n, &b->publishes) {
        struct publish *p = list_entry(n, struct publish, node);
        list_del(&p->node);
        free(p->exchange);
        free(p);
    }
}

/* ---- depth ---- */

struct depth {
    struct list node; /* in depths */
    struct broker_redis *b;
    void (*fn)(void *arg, enum status st, int64_t n);
    void *arg;
    size_t left;
    int64_t sum;
    enum status st;
};

static void
on_length(void *arg, enum status st, const struct redisReply *reply)
{
    struct depth *d = arg;

    if (st != ST_OK)
        d->st = st;
    else
        d->sum += reply->integer;
    if (--d->left > 0)
        return;
    list_del(&d->node);
    d->fn(d->arg, d->st, d->st == ST_OK ? d->sum : 0);
    free(d);
}

/* One LLEN a priority step; they run one after the other, close enough. */
enum status
redis_depth(struct broker *base, struct slice queue,
            void (*fn)(void *arg, enum status st, int64_t n), void *arg)
{
    struct broker_redis *b = (struct broker_redis *)base;
    struct depth *d = calloc(1, sizeof *d);
    char *name = strndup(queue.ptr, queue.len);

    if (d == NULL || name == NULL || !redis_up(calls_client(b->calls))) {
        free(d);
        free(name);
        return d == NULL || name == NULL ? ST_NOMEM : ST_LOST;
    }
    *d = (struct depth){.b = b, .fn = fn, .arg = arg};
    list_init(&d->node);
    for (size_t s = 0; s < b->lay.step_count; s++) {
        struct message m = {.routing_key = name, .priority = b->lay.steps[s]};
        char *key = list_key(b, &m);
        struct redis_cmd cmd;

        redis_cmd_init(&cmd, "LLEN");
        redis_cmd_str(&cmd, key == NULL ? "" : key);
        free(key);
        if (calls_send(b->calls, CALL_REPEAT, &cmd, on_length, d) == ST_OK)
            d->left++;
    }
    free(name);
    if (d->left == 0) {
        free(d);
        return ST_NOMEM;
    }
    list_add_tail(&b->depths, &d->node);
    return ST_OK;
}

void
redis_depths_free(struct broker_redis *b)
{
    struct list *n;

    while ((n = list_pop(&b->depths)) != NULL)
        free(list_entry(n, struct depth, node));
}

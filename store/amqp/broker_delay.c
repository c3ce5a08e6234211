/* SPDX-License-Identifier: Apache-2.0 */
/* Celery's native delayed delivery (5.5 and newer; celery-wire.md 4.5): with
 * quorum queues a task with an ETA waits in RabbitMQ.  28 topic exchanges, each
 * with a queue whose messages expire after 2^N seconds, pass it down: the first
 * 28 words of its routing key say where it waits and where it only passes. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/iso8601.h"
#include "store/amqp/broker.h"
#include "store/amqp/table.h"

enum { LEVEL_BYTES = 32, PATTERN_BYTES = 80 };

const char amq_delay_exchange[] = "celery_delayed_27";
static const char delivery_exchange[] = "celery_delayed_delivery";

static void
name_level(int level, char *name)
{
    if (level < 0)
        (void)snprintf(name, LEVEL_BYTES, "%s", delivery_exchange);
    else
        (void)snprintf(name, LEVEL_BYTES, "celery_delayed_%d", level);
}

/* "*.*.1.#": the words before this level's, its own, and the rest. */
static void
pattern_of(int level, char bit, char *out)
{
    size_t n = 2 * (size_t)(DELAY_LEVELS - 1 - level);

    for (size_t i = 0; i < n; i += 2)
        memcpy(out + i, "*.", 2);
    memcpy(out + n, "1.#", 4);
    out[n] = bit;
}

/* ---- declaring ---- */

static void
declare_topic(struct amq_job *j, uint16_t channel, const char *name)
{
    amqp_exchange_declare_t e = {
        .exchange = amq_bytes(name), .type = amq_bytes("topic"), .durable = 1};

    amq_job_add(j, channel, AMQP_EXCHANGE_DECLARE_METHOD, &e);
}

static enum status
level_arguments(int level, const char *type, struct json_object **out)
{
    char next[LEVEL_BYTES];
    struct json_object *a = json_object_new_object();
    enum status st = json_set(a, "x-queue-type", json_new_str(slice_of(type)));

    name_level(level - 1, next);
    if (st == ST_OK)
        st =
            json_set(a, "x-overflow", json_new_str(slice_of("reject-publish")));
    if (st == ST_OK)
        st = json_set(a, "x-message-ttl",
                      json_object_new_int64((INT64_C(1) << level) * 1000));
    if (st == ST_OK)
        st =
            json_set(a, "x-dead-letter-exchange", json_new_str(slice_of(next)));
    if (st == ST_OK && strcmp(type, "quorum") == 0)
        st = json_set(a, "x-dead-letter-strategy",
                      json_new_str(slice_of("at-least-once")));
    if (st == ST_OK)
        *out = a;
    else
        json_object_put(a);
    return st;
}

static enum status
declare_level(struct amq_job *j, uint16_t channel, int level, const char *type)
{
    char name[LEVEL_BYTES], pattern[PATTERN_BYTES];
    struct json_object *arguments = NULL;
    amqp_queue_declare_t q = {.durable = 1};
    amqp_queue_bind_t bind = {0};
    amqp_pool_t pool;
    enum status st = level_arguments(level, type, &arguments);

    if (st != ST_OK)
        return st;
    name_level(level, name);
    pattern_of(level, '1', pattern);
    init_amqp_pool(&pool, 4096);
    q.queue = bind.queue = bind.exchange = amq_bytes(name);
    bind.routing_key = amq_bytes(pattern);
    st = amq_declare_arguments(arguments, &pool, &q.arguments);
    if (st == ST_OK) {
        declare_topic(j, channel, name);
        amq_job_add(j, channel, AMQP_QUEUE_DECLARE_METHOD, &q);
        amq_job_add(j, channel, AMQP_QUEUE_BIND_METHOD, &bind);
    }
    empty_amqp_pool(&pool);
    json_object_put(arguments);
    return st;
}

/* What need not wait at a level passes to the next. */
static void
bind_next(struct amq_job *j, uint16_t channel, int level)
{
    char from[LEVEL_BYTES], to[LEVEL_BYTES], pattern[PATTERN_BYTES];
    amqp_exchange_bind_t bind = {0};

    name_level(level, from);
    name_level(level - 1, to);
    pattern_of(level, '0', pattern);
    bind.source = amq_bytes(from);
    bind.destination = amq_bytes(to);
    bind.routing_key = amq_bytes(pattern);
    amq_job_add(j, channel, AMQP_EXCHANGE_BIND_METHOD, &bind);
}

enum status
amq_declare_delay(struct amq_job *j, uint16_t channel, const char *queue_type)
{
    enum status st = ST_OK;

    for (int level = DELAY_LEVELS - 1; level >= 0 && st == ST_OK; level--)
        st = declare_level(j, channel, level, queue_type);
    declare_topic(j, channel, delivery_exchange);
    for (int level = DELAY_LEVELS - 1; level >= 0; level--)
        bind_next(j, channel, level);
    return st;
}

/* Celery binds the queue once more, by the key that comes out. */
static enum status
bind_delayed(struct amq_job *j, uint16_t channel, const struct queue_def *q,
             const struct binding_def *own)
{
    char pattern[NAME_MAX_BYTES + 3];
    amqp_exchange_bind_t come = {.source = amq_bytes(delivery_exchange),
                                 .destination = amq_bytes(own->exchange.name)};
    amqp_queue_bind_t bind = {.queue = amq_bytes(q->name),
                              .exchange = amq_bytes(own->exchange.name)};

    if (*own->exchange.name == '\0' ||
        exchange_def_is(&own->exchange, "direct"))
        return ST_NOTFOUND;
    (void)snprintf(pattern, sizeof pattern, "%s%s",
                   *own->routing_key == '#' ? "" : "#.", own->routing_key);
    if (strlen(pattern) > NAME_MAX_BYTES)
        return ST_TOOBIG;
    come.routing_key = bind.routing_key = amq_bytes(pattern);
    amq_job_add(j, channel, AMQP_EXCHANGE_BIND_METHOD, &come);
    amq_job_add(j, channel, AMQP_QUEUE_BIND_METHOD, &bind);
    return ST_OK;
}

enum status
amq_declare_delayed(struct amq_job *j, uint16_t channel,
                    const struct queue_def *q)
{
    enum status st = ST_NOTFOUND;

    for (size_t i = 0; i < q->binding_count && st != ST_TOOBIG; i++) {
        enum status one = bind_delayed(j, channel, q, &q->bindings[i]);
        st = one == ST_NOTFOUND ? st : one;
    }
    return st;
}

/* ---- for consumers ---- */

static void
on_declared(void *arg, enum status st, uint32_t count, const struct error *why)
{
    const char *what = arg;

    (void)count;
    if (st != ST_OK && st != ST_LOST)
        log_warning("native delayed delivery is not as it should be",
                    "what=%s reason=%s", what, why->text);
}

static void
start(struct broker_amqp *b, struct amq_job *j, enum status st)
{
    if (st == ST_OK)
        st = amq_rpc_start(&b->in_rpc, j);
    else
        amq_job_free(j);
    if (st != ST_OK && st != ST_LOST)
        log_error("native delayed delivery cannot be declared", "reason=%s",
                  status_text(st));
}

void
amq_delay_start(struct broker_amqp *b)
{
    static char what[] = "its exchanges and queues";
    struct amq_job *j = amq_job_new(on_declared, what, NULL);

    if (j != NULL)
        start(
            b, j,
            amq_declare_delay(j, IN_SCRATCH, topology_delay_type(b->topology)));
}

void
amq_delay_bind(struct broker_amqp *b, const struct queue *q)
{
    static char what[] = "a queue's binding";
    struct amq_job *j;
    enum status st;

    if (q->def->broadcast)
        return;
    j = amq_job_new(on_declared, what, NULL);
    if (j == NULL)
        return;
    st = amq_declare_delayed(j, IN_SCRATCH, q->def);
    if (st == ST_NOTFOUND) {
        log_info("ETA tasks of a direct exchange wait in the worker",
                 "queue=%s", q->name);
        amq_job_free(j);
        return;
    }
    start(b, j, st);
}

/* ---- for publishers ---- */

/* What the key has already, from an earlier wait. */
static const char *
without_prefix(const char *key)
{
    for (int i = 0; i < DELAY_PREFIX; i += 2)
        if ((key[i] != '0' && key[i] != '1') || key[i + 1] != '.')
            return key;
    return key + DELAY_PREFIX;
}

static int64_t
seconds_left(const struct message *m)
{
    struct slice eta = json_get_str(m->headers, "eta");
    int64_t us;

    if (eta.len == 0 || iso8601_parse(eta, &us, NULL) != ST_OK)
        return 0;
    return (us - clock_unix_us()) / 1000000;
}

bool
amq_delay(const struct broker_amqp *b, const struct message *m, char *key)
{
    const struct exchange_def *e;
    const char *rest;
    int64_t s;

    if (!b->delays || m->exchange == NULL || m->routing_key == NULL)
        return false;
    e = topology_exchange(b->topology, slice_of(m->exchange));
    if (e == NULL || *e->name == '\0' || exchange_def_is(e, "direct"))
        return false;
    s = seconds_left(m);
    rest = without_prefix(m->routing_key);
    if (s < 1 || s >= INT64_C(1) << DELAY_LEVELS || *rest == '\0' ||
        strlen(rest) + DELAY_PREFIX > NAME_MAX_BYTES)
        return false;
    for (int i = 0; i < DELAY_LEVELS; i++) {
        key[2 * i] = s >> (DELAY_LEVELS - 1 - i) & 1 ? '1' : '0';
        key[2 * i + 1] = '.';
    }
    memcpy(key + DELAY_PREFIX, rest, strlen(rest) + 1);
    return true;
}

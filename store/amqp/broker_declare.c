/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges, queues and bindings exactly as Celery declares them, or RabbitMQ
 * refuses whoever comes second (celery-wire.md 4.2). */
#include <string.h>

#include "store/amqp/broker.h"
#include "store/amqp/table.h"

enum {
    PIDBOX_EXPIRES_MS = 10000, /* control_queue_expires */
    PIDBOX_TTL_MS = 300000     /* control_queue_ttl */
};

static bool
ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && memcmp(s + n - m, end, m) == 0;
}

static bool
is_pidbox(const char *name)
{
    return ends_with(name, ".pidbox");
}

amqp_exchange_declare_t
amq_exchange_fields(const char *name)
{
    amqp_exchange_declare_t e = {
        .exchange = amq_bytes(name), .type = amq_bytes("fanout"), .durable = 1};

    if (is_pidbox(name))
        e.durable = 0;
    if (is_pidbox(name) && strncmp(name, "reply.", 6) == 0)
        e.type = amq_bytes("direct");
    else if (strcmp(name, "celeryev") == 0)
        e.type = amq_bytes("topic");
    return e;
}

bool
amq_declare_exchange(struct amq_job *j, uint16_t channel, const char *name)
{
    amqp_exchange_declare_t e = amq_exchange_fields(name);

    if (!is_pidbox(name) && strcmp(name, "celeryev") != 0)
        return false;
    amq_job_add(j, channel, AMQP_EXCHANGE_DECLARE_METHOD, &e);
    return true;
}

void
amq_declare_passive(struct amq_job *j, uint16_t channel, const char *exchange,
                    const char *queue)
{
    amqp_exchange_declare_t e = {.exchange = amq_bytes(exchange),
                                 .type = amq_bytes("direct"),
                                 .passive = 1};
    amqp_queue_declare_t q = {.queue = amq_bytes(queue), .passive = 1};

    if (exchange != NULL)
        amq_job_add(j, channel, AMQP_EXCHANGE_DECLARE_METHOD, &e);
    if (queue != NULL)
        amq_job_add(j, channel, AMQP_QUEUE_DECLARE_METHOD, &q);
}

enum status
amq_declare_arguments(struct json_object *arguments, amqp_pool_t *pool,
                      amqp_table_t *out)
{
    struct error err;

    return amq_table_encode(arguments, pool, out, &err);
}

static enum status
declare_exchange(struct amq_job *j, uint16_t channel,
                 const struct exchange_def *e, amqp_pool_t *pool)
{
    amqp_exchange_declare_t d = {.exchange = amq_bytes(e->name),
                                 .type = amq_bytes(e->type),
                                 .durable = e->durable,
                                 .auto_delete = e->auto_delete};
    enum status st;

    if (!exchange_def_is_ours(e))
        return ST_OK;
    st = amq_declare_arguments(e->arguments, pool, &d.arguments);
    if (st == ST_OK)
        amq_job_add(j, channel, AMQP_EXCHANGE_DECLARE_METHOD, &d);
    return st;
}

static enum status
declare_queue(struct amq_job *j, uint16_t channel, const struct queue_def *q,
              amqp_pool_t *pool)
{
    amqp_queue_declare_t d = {.queue = amq_bytes(q->name),
                              .durable = q->durable,
                              .exclusive = q->exclusive,
                              .auto_delete = q->auto_delete};
    enum status st = amq_declare_arguments(q->arguments, pool, &d.arguments);

    if (st == ST_OK)
        amq_job_add(j, channel, AMQP_QUEUE_DECLARE_METHOD, &d);
    return st;
}

static enum status
bind_queue(struct amq_job *j, uint16_t channel, const struct queue_def *q,
           const struct binding_def *b, amqp_pool_t *pool)
{
    amqp_queue_bind_t d = {.queue = amq_bytes(q->name),
                           .exchange = amq_bytes(b->exchange.name),
                           .routing_key = amq_bytes(b->routing_key)};
    enum status st;

    if (*b->exchange.name == '\0')
        return ST_OK;
    st = amq_declare_arguments(b->arguments, pool, &d.arguments);
    if (st == ST_OK)
        amq_job_add(j, channel, AMQP_QUEUE_BIND_METHOD, &d);
    return st;
}

enum status
amq_declare_exchange_of(struct amq_job *j, uint16_t channel,
                        const struct binding_def *b)
{
    amqp_pool_t pool;
    enum status st;

    init_amqp_pool(&pool, 4096);
    st = declare_exchange(j, channel, &b->exchange, &pool);
    empty_amqp_pool(&pool);
    return st;
}

enum status
amq_declare_queue(struct amq_job *j, uint16_t channel,
                  const struct queue_def *q)
{
    enum status st = ST_OK;
    amqp_pool_t pool;

    if (q->no_declare)
        return ST_OK;
    init_amqp_pool(&pool, 4096);
    for (size_t i = 0; i < q->binding_count && st == ST_OK; i++)
        st = declare_exchange(j, channel, &q->bindings[i].exchange, &pool);
    if (st == ST_OK)
        st = declare_queue(j, channel, q, &pool);
    for (size_t i = 0; i < q->binding_count && st == ST_OK; i++)
        st = bind_queue(j, channel, q, &q->bindings[i], &pool);
    empty_amqp_pool(&pool);
    return st;
}

static amqp_table_entry_t
argument(const char *name, int32_t value)
{
    amqp_table_entry_t e = {.key = amq_bytes(name)};

    e.value.kind = AMQP_FIELD_KIND_I32;
    e.value.value.i32 = value;
    return e;
}

/* As Celery's rpc backend has it. */
static void
declare_replies(struct amq_job *j, uint16_t channel,
                const struct subscription *s)
{
    amqp_table_entry_t expires = {.key = amq_bytes("x-expires")};
    amqp_queue_declare_t q = {
        .queue = amq_bytes(s->queue),
        .auto_delete = 1,
        .arguments = {s->expires_ms > 0 ? 1 : 0, &expires}};

    expires.value.kind = AMQP_FIELD_KIND_I64;
    expires.value.value.i64 = s->expires_ms;
    if (s->expires_ms <= INT32_MAX) {
        expires.value.kind = AMQP_FIELD_KIND_I32;
        expires.value.value.i32 = (int32_t)s->expires_ms;
    }
    amq_job_add(j, channel, AMQP_QUEUE_DECLARE_METHOD, &q);
}

void
amq_declare_subscription(struct amq_job *j, uint16_t channel,
                         const struct subscription *s)
{
    amqp_table_entry_t arguments[] = {argument("x-expires", PIDBOX_EXPIRES_MS),
                                      argument("x-message-ttl", PIDBOX_TTL_MS)};
    amqp_exchange_declare_t e = amq_exchange_fields(s->exchange);
    amqp_queue_declare_t q = {.queue = amq_bytes(s->queue),
                              .auto_delete = 1,
                              .arguments = {2, arguments}};
    amqp_queue_bind_t bind = {.queue = amq_bytes(s->queue),
                              .exchange = amq_bytes(s->exchange)};

    if (*s->exchange == '\0') {
        declare_replies(j, channel, s);
        return;
    }
    amq_job_add(j, channel, AMQP_EXCHANGE_DECLARE_METHOD, &e);
    amq_job_add(j, channel, AMQP_QUEUE_DECLARE_METHOD, &q);
    amq_job_add(j, channel, AMQP_QUEUE_BIND_METHOD, &bind);
}

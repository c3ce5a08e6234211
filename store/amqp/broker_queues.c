/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues are consumed, and how much each may get.
 *
 * The limit of a consumer (basic.qos, not global: it works for quorum queues
 * and is the only kind that stays) is set when it begins.  To change it another
 * consumer is begun and the old one cancelled, so that is not done for each
 * change of what the owner wants: a limit grows by doubling when the consumer
 * has used it up or when much more is wanted, and is lowered when more comes
 * than is wanted for a while.  What is too much meanwhile waits as pending. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/amqp/broker.h"
#include "store/amqp/table.h"

enum {
    TAG_BYTES = 48,
    RETRY_US = 1000 * 1000,
    REFUSALS_MAX = 6, /* then a minute passes between two attempts */
    SURPLUS_US = 200 * 1000,
    HOARD_US = 10 * 1000 * 1000, /* others may have what waits for so long */
    PROBE_US = 700 * 1000,
    SOON_MS = 20 /* an owner that wants nothing often changes its mind */
};

/* ---- consumers ---- */

static void
name_consumer(const struct queue *q, char *tag)
{
    (void)snprintf(tag, TAG_BYTES, "lovage.%u.%llu", q->slot,
                   (unsigned long long)q->consumer);
}

static void
stop_consumer(struct queue *q)
{
    char tag[TAG_BYTES];
    amqp_basic_cancel_t cancel = {.nowait = 1};

    if (q->consumer == 0)
        return;
    name_consumer(q, tag);
    cancel.consumer_tag = amq_bytes(tag);
    (void)amq_link_send(q->b->in, IN_CONSUME, AMQP_BASIC_CANCEL_METHOD,
                        &cancel);
    q->consumer = 0;
    q->limit = q->used = 0;
}

static void
begin_consumer(struct queue *q, unsigned limit)
{
    struct broker_amqp *b = q->b;
    char tag[TAG_BYTES], old[TAG_BYTES];
    amqp_basic_qos_t qos = {.prefetch_count = (uint16_t)limit};
    amqp_basic_consume_t consume = {.queue = amq_bytes(q->name), .nowait = 1};
    amqp_basic_cancel_t cancel = {.nowait = 1};
    bool replaces = q->consumer != 0;
    amqp_pool_t pool;

    name_consumer(q, old);
    q->consumer = ++b->last_consumer;
    q->limit = limit;
    q->used = 0;
    name_consumer(q, tag);
    consume.consumer_tag = amq_bytes(tag);
    cancel.consumer_tag = amq_bytes(old);
    init_amqp_pool(&pool, 4096);
    (void)amq_declare_arguments(q->def->consumer_arguments, &pool,
                                &consume.arguments);
    (void)amq_link_send(b->in, IN_CONSUME, AMQP_BASIC_QOS_METHOD, &qos);
    (void)amq_link_send(b->in, IN_CONSUME, AMQP_BASIC_CONSUME_METHOD, &consume);
    empty_amqp_pool(&pool);
    if (replaces)
        (void)amq_link_send(b->in, IN_CONSUME, AMQP_BASIC_CANCEL_METHOD,
                            &cancel);
}

struct queue *
amq_queue_of(struct broker_amqp *b, struct slice tag, uint64_t *consumer)
{
    char text[TAG_BYTES];
    unsigned long long number;
    unsigned slot;

    if (tag.len >= sizeof text)
        return NULL;
    memcpy(text, tag.ptr, tag.len);
    text[tag.len] = '\0';
    if (sscanf(text, "lovage.%u.%llu", &slot, &number) != 2 ||
        slot >= b->queue_count || number < b->queues[slot]->first)
        return NULL;
    *consumer = number;
    return b->queues[slot];
}

/* ---- declaring ---- */

static void
declare_failed(struct queue *q, enum status st, const struct error *why)
{
    q->state = st == ST_LOST ? QUEUE_NEW : QUEUE_FAILED;
    q->retry_us = clock_mono_us() + RETRY_US;
    if (st != ST_LOST && !q->complains)
        log_error("a queue cannot be declared, trying again",
                  "queue=%s reason=%s", q->name, why->text);
    q->complains = q->complains || st != ST_LOST;
    turn_ask(&q->b->turn);
}

static void
declared(struct queue *q)
{
    q->state = QUEUE_DECLARED;
    q->complains = false;
    if (q->b->delays)
        amq_delay_bind(q->b, q);
    turn_ask(&q->b->turn);
}

/* Whatever it is like, it is there. */
static void
on_found(void *arg, enum status st, uint32_t count, const struct error *why)
{
    struct queue *q = arg;

    (void)count;
    if (q->state != QUEUE_DECLARING)
        return;
    if (st == ST_OK)
        declared(q);
    else
        declare_failed(q, st, why);
}

/* It, or its exchange, is not as we would have made it.  What RabbitMQ says of
 * the difference may tell that it is a quorum queue. */
static void
look(struct queue *q, const struct error *why)
{
    struct amq_job *j = amq_job_new(on_found, q, NULL);

    if (strstr(why->text, "'x-queue-type'") != NULL &&
        strstr(why->text, "the value 'quorum'") != NULL)
        q->quorum = true;
    if (!q->complains)
        log_warning("a queue is not as the settings have it, and is used as it "
                    "is",
                    "queue=%s reason=%s", q->name, why->text);
    q->complains = true;
    if (j != NULL)
        amq_declare_passive(j, IN_SCRATCH, NULL, q->name);
    if (j == NULL || amq_rpc_start(&q->b->in_rpc, j) != ST_OK)
        q->state = QUEUE_NEW;
}

static void
on_declared(void *arg, enum status st, uint32_t count, const struct error *why)
{
    struct queue *q = arg;

    (void)count;
    if (q->state != QUEUE_DECLARING)
        return;
    if (st == ST_OK)
        declared(q);
    else if (st == ST_INVALID || st == ST_DENIED)
        look(q, why);
    else
        declare_failed(q, st, why);
}

static void
declare(struct queue *q)
{
    struct amq_job *j = amq_job_new(on_declared, q, NULL);
    struct error err;
    enum status st;

    if (j == NULL)
        return; /* the beat asks again */
    if (q->def->no_declare)
        amq_declare_passive(j, IN_SCRATCH, NULL, q->name);
    st = amq_declare_queue(j, IN_SCRATCH, q->def);
    q->state = QUEUE_DECLARING;
    if (st != ST_OK) {
        amq_job_free(j);
        error_set(&err, st, "its arguments: %s", status_text(st));
        declare_failed(q, st, &err);
    } else if (amq_rpc_start(&q->b->in_rpc, j) != ST_OK) {
        q->state = QUEUE_NEW;
    }
}

/* ---- limits ---- */

static unsigned
least(size_t a, size_t b)
{
    size_t n = a < b ? a : b;

    return (unsigned)(n < PREFETCH_MAX ? n : PREFETCH_MAX);
}

/* What q's consumer should be allowed now; its limit: leave it. */
static unsigned
better_limit(const struct queue *q)
{
    const struct broker_amqp *b = q->b;
    size_t room = b->prefetch - b->out_count; /* > 0 */
    size_t share = (b->prefetch + b->wanted - 1) / b->wanted;
    size_t twice = 2 * (size_t)q->limit;
    bool used_up = q->used >= q->limit && list_empty(&b->pending);

    if (q->limit == 0)
        return least(share, room);
    if (share >= twice)
        return least(share, twice > room ? twice : room);
    if (used_up)
        return least(b->prefetch, twice > room ? twice : room);
    return q->limit;
}

static void
adjust(struct queue *q)
{
    struct broker_amqp *b = q->b;
    unsigned limit;

    if (q->state == QUEUE_NEW) {
        declare(q);
        return;
    }
    if (q->state != QUEUE_DECLARED || b->prefetch <= b->out_count)
        return;
    limit = better_limit(q);
    if (limit > q->limit)
        begin_consumer(q, limit);
}

/* A queue that goes when its last consumer does, with all that waits in it. */
static bool
is_bound_to_us(const struct queue *q)
{
    return q->def->auto_delete || q->def->exclusive;
}

/* Nothing is wanted, and has not been for a while. */
static void
on_soon(uv_timer_t *t)
{
    struct broker_amqp *b = t->data;

    if (b->prefetch > 0 || b->closing)
        return;
    for (size_t i = 0; i < b->queue_count; i++)
        if (b->queues[i]->used < b->queues[i]->limit &&
            !is_bound_to_us(b->queues[i]))
            stop_consumer(b->queues[i]);
}

void
amq_queues_adjust(struct broker_amqp *b)
{
    if (b->in == NULL || !b->ready || b->closing)
        return;
    for (size_t i = 0; i < b->queue_count; i++)
        if (b->queues[i]->wanted)
            adjust(b->queues[i]);
    if (b->prefetch == 0 && !uv_is_active((uv_handle_t *)&b->soon))
        uv_timer_start(&b->soon, on_soon, SOON_MS, 0);
}

void
amq_queues_release(struct broker_amqp *b)
{
    for (size_t i = 0; i < b->queue_count; i++) {
        if (is_bound_to_us(b->queues[i]))
            continue;
        stop_consumer(b->queues[i]);
        if (!b->queues[i]->quorum)
            amq_held_give_back(b, b->queues[i]);
    }
}

/* More has come than the owner wants, and its consumer may get yet more.  What
 * comes from a quorum queue is kept: each return is counted there, and beyond
 * its delivery limit a message would be dropped that nobody has looked at. */
static void
shrink(struct broker_amqp *b, uint64_t waits_us)
{
    unsigned limit = least(b->prefetch, PREFETCH_MAX);

    if (waits_us < (limit > 0 ? SURPLUS_US : HOARD_US))
        return;
    for (size_t i = 0; i < b->queue_count; i++) {
        struct queue *q = b->queues[i];

        if (q->limit > limit && limit > 0 && !q->quorum) {
            begin_consumer(q, limit);
            amq_held_give_back(b, q);
        }
    }
    if (limit == 0)
        amq_queues_release(b);
}

/* ---- from time to time ---- */

/* An answer once a second shows that the channel lives. */
static void
probe(struct broker_amqp *b, uint64_t now)
{
    amqp_basic_qos_t qos = {.prefetch_count = 1};

    if (now > amq_link_heard_us(b->in) + PROBE_US)
        (void)amq_link_send(b->in, IN_CONSUME, AMQP_BASIC_QOS_METHOD, &qos);
}

void
amq_queues_beat(struct broker_amqp *b, uint64_t now)
{
    const struct held *oldest = NULL;

    if (b->in == NULL || !amq_link_up(b->in))
        return;
    if (!amq_link_channel_up(b->in, IN_CONSUME) &&
        now > b->consume_down_us + RETRY_US)
        amq_link_reopen(b->in, IN_CONSUME);
    for (size_t i = 0; i < b->queue_count; i++) {
        struct queue *q = b->queues[i];
        if (q->state == QUEUE_FAILED && now > q->retry_us)
            q->state = QUEUE_NEW;
    }
    if (!list_empty(&b->pending))
        oldest = list_entry(b->pending.next, struct held, settle);
    if (oldest != NULL && now > oldest->since_us)
        shrink(b, now - oldest->since_us);
    probe(b, now);
    turn_ask(&b->turn);
}

void
amq_queues_stop(struct broker_amqp *b)
{
    for (size_t i = 0; i < b->queue_count; i++)
        stop_consumer(b->queues[i]);
}

void
amq_queues_lost(struct broker_amqp *b)
{
    for (size_t i = 0; i < b->queue_count; i++) {
        struct queue *q = b->queues[i];
        q->consumer = 0;
        q->limit = q->used = 0;
        q->state = QUEUE_NEW;
    }
    uv_timer_stop(&b->soon);
}

/* The channel is shared: the queue that must not be consumed has to leave the
 * others alone for a while, which grows.  RabbitMQ names it: queue 'name'. */
static void
refuse(struct queue *q, const char *text, uint64_t now)
{
    if (now > q->refused_us + (2u << REFUSALS_MAX) * (uint64_t)RETRY_US)
        q->refusals = 0;
    if (q->refusals++ == 0)
        log_error("a queue cannot be consumed, trying again",
                  "queue=%s reason=%s", q->name, text);
    if (q->refusals > REFUSALS_MAX)
        q->refusals = REFUSALS_MAX;
    q->state = QUEUE_FAILED;
    q->refused_us = now;
    q->retry_us = now + (1u << q->refusals) * (uint64_t)RETRY_US;
}

void
amq_queues_refused(struct broker_amqp *b, const char *text, uint64_t now)
{
    char named[NAME_MAX_BYTES + sizeof " queue ''"];

    for (size_t i = 0; i < b->queue_count; i++) {
        (void)snprintf(named, sizeof named, " queue '%s'", b->queues[i]->name);
        if (b->queues[i]->wanted && strstr(text, named) != NULL)
            refuse(b->queues[i], text, now);
    }
}

/* The queue was deleted, or has moved to another node. */
void
amq_queue_cancelled(struct broker_amqp *b, struct slice tag)
{
    uint64_t consumer, now = clock_mono_us();
    struct queue *q = amq_queue_of(b, tag, &consumer);

    if (q == NULL || consumer != q->consumer)
        return;
    log_warning("the broker ends a consumer, consuming anew", "queue=%s",
                q->name);
    q->consumer = 0;
    q->limit = q->used = 0;
    q->state = QUEUE_NEW;
    if (now < q->cancelled_us + RETRY_US) { /* not in a tight loop */
        q->state = QUEUE_FAILED;
        q->retry_us = now + RETRY_US;
    }
    q->cancelled_us = now;
    turn_ask(&b->turn);
}

/* ---- the owner ---- */

static struct queue *
find(struct broker_amqp *b, struct slice name)
{
    for (size_t i = 0; i < b->queue_count; i++)
        if (strlen(b->queues[i]->name) == name.len &&
            memcmp(b->queues[i]->name, name.ptr, name.len) == 0)
            return b->queues[i];
    return NULL;
}

/* A slot that nothing needs any more; NULL: none. */
static struct queue *
idle_slot(struct broker_amqp *b)
{
    for (size_t i = 0; i < b->queue_count; i++)
        if (!b->queues[i]->wanted && b->queues[i]->held == 0 &&
            b->queues[i]->state != QUEUE_DECLARING)
            return b->queues[i];
    return NULL;
}

static struct queue *
queue_new(struct broker_amqp *b, const struct queue_def *def, struct error *err)
{
    struct queue *q = NULL;
    struct queue_def *copy = queue_def_copy(def);

    if (b->queue_count < QUEUES_MAX) {
        q = calloc(1, sizeof *q);
    } else if ((q = idle_slot(b)) == NULL) {
        queue_def_free(copy);
        error_set(err, ST_TOOBIG, "more than %d queues", QUEUES_MAX);
        return NULL;
    }
    if (q == NULL || copy == NULL) {
        if (b->queue_count < QUEUES_MAX)
            free(q);
        queue_def_free(copy);
        error_set(err, ST_NOMEM, "no memory for a queue");
        return NULL;
    }
    if (b->queue_count < QUEUES_MAX) {
        q->slot = (unsigned)b->queue_count;
        b->queues[b->queue_count++] = q;
    }
    queue_def_free(q->def);
    *q = (struct queue){.b = b,
                        .def = copy,
                        .name = copy->name,
                        .slot = q->slot,
                        .first = b->last_consumer + 1,
                        .quorum = queue_def_is_quorum(copy)};
    return q;
}

enum status
amq_consume(struct broker *base, const struct queue_def *def, struct error *err)
{
    struct broker_amqp *b = (struct broker_amqp *)base;
    struct slice queue = slice_of(def->name);
    struct queue *q = find(b, queue);
    struct error why;

    if (!b->consumes)
        return error_set(err, ST_INVALID, "a broker without instance consumes");
    if (queue.len == 0 || queue.len > NAME_MAX_BYTES)
        return error_set(err, ST_INVALID, "a queue name of %zu bytes",
                         queue.len);
    if (q == NULL)
        q = queue_new(b, def, &why);
    if (q == NULL)
        return error_set(err, why.code, "%s", why.text);
    if (!q->wanted) {
        q->wanted = true;
        if (q->state != QUEUE_DECLARING)
            q->state = QUEUE_NEW;
        b->wanted++;
    }
    turn_ask(&b->turn);
    return ST_OK;
}

enum status
amq_cancel(struct broker *base, struct slice queue, struct error *err)
{
    struct broker_amqp *b = (struct broker_amqp *)base;
    struct queue *q = find(b, queue);

    if (q == NULL || !q->wanted)
        return error_set(err, ST_NOTFOUND, "not consuming from %.*s",
                         (int)queue.len, queue.ptr);
    q->wanted = false;
    b->wanted--;
    stop_consumer(q);
    amq_held_give_back(b, q);
    return ST_OK;
}

void
amq_prefetch(struct broker *base, unsigned n)
{
    struct broker_amqp *b = (struct broker_amqp *)base;

    b->prefetch = n;
    turn_ask(&b->turn);
}

uint64_t
amq_last_answer(const struct broker *base)
{
    const struct broker_amqp *b = (const struct broker_amqp *)base;

    return amq_link_heard_us(b->in != NULL ? b->in : b->out);
}

void
amq_queues_free(struct broker_amqp *b)
{
    for (size_t i = 0; i < b->queue_count; i++) {
        queue_def_free(b->queues[i]->def);
        free(b->queues[i]);
    }
    b->queue_count = 0;
}

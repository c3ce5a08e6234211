/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues are consumed, and their keys. */
#include "store/redis/broker.h"

#include <stdlib.h>
#include <string.h>

static void
queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    for (size_t s = 0; s < LAYOUT_STEPS_MAX; s++)
        free(q->keys[s]);
    free(q->name);
    free(q);
}

static struct queue *
queue_new(const struct broker_redis *b, struct slice name)
{
    struct queue *q = calloc(1, sizeof *q);

    if (q == NULL)
        return NULL;
    q->name = strndup(name.ptr, name.len);
    if (q->name == NULL)
        goto fail;
    for (size_t s = 0; s < b->lay.step_count; s++) {
        struct buf suffix;
        buf_init(&suffix, 64);
        redis_layout_suffix(&b->lay, b->lay.steps[s], &suffix);
        q->keys[s] = redis_layout_key(&b->lay, q->name,
                                      (struct slice){suffix.data, suffix.len});
        buf_fini(&suffix);
        if (q->keys[s] == NULL)
            goto fail;
    }
    return q;
fail:
    queue_free(q);
    return NULL;
}

bool
redis_queue_is(const struct queue *q, struct slice name)
{
    return strlen(q->name) == name.len &&
           memcmp(q->name, name.ptr, name.len) == 0;
}

/* As Celery declares it: a direct exchange of the queue's name, bound by it. */
void
redis_bind_queue(struct broker_redis *b, const struct queue *q)
{
    char *key = redis_layout_key(&b->lay, "_kombu.binding.", slice_of(q->name));
    struct redis_cmd cmd;
    struct buf member;

    if (q->replies) {
        free(key);
        return;
    }
    buf_init(&member, 64 * 1024);
    buf_addf(&member, "%s%s%s%s", q->name, b->lay.sep, b->lay.sep, q->name);
    redis_cmd_init(&cmd, "SADD");
    redis_cmd_str(&cmd, key == NULL ? "" : key);
    redis_cmd_add(&cmd, (struct slice){member.data, member.len});
    if (key != NULL)
        (void)redis_send(calls_client(b->calls), &cmd, NULL, NULL);
    else
        redis_cmd_fini(&cmd);
    buf_fini(&member);
    free(key);
}

static enum status
add_queue(struct broker_redis *b, struct slice queue, bool replies,
          struct error *err)
{
    struct queue *q;
    size_t at = b->queue_count;

    if (b->instance == NULL)
        return error_set(err, ST_INVALID, "a broker without instance consumes");
    if (queue.len == 0 || queue.len > 1024)
        return error_set(err, ST_INVALID, "a queue name of %zu bytes",
                         queue.len);
    for (size_t i = 0; i < b->queue_count; i++)
        if (redis_queue_is(b->queues[i], queue))
            return ST_OK;
    if (b->queue_count == QUEUES_MAX)
        return error_set(err, ST_TOOBIG, "more than %d queues", QUEUES_MAX);
    q = queue_new(b, queue);
    if (q == NULL)
        return error_set(err, ST_NOMEM, "no memory for a queue");
    q->replies = replies;
    if (b->lay.order == ORDER_SORTED)
        for (; at > 0 && strcmp(b->queues[at - 1]->name, q->name) > 0; at--)
            b->queues[at] = b->queues[at - 1];
    b->queues[at] = q;
    b->queue_count++;
    redis_bind_queue(b, q);
    b->hungry = true;
    turn_ask(&b->turn);
    return ST_OK;
}

enum status
redis_consume(struct broker *base, struct slice queue, struct error *err)
{
    return add_queue((struct broker_redis *)base, queue, false, err);
}

/* Who answers lets the list expire. */
enum status
redis_consume_replies(struct broker *base, struct slice queue,
                      int64_t expires_s, struct error *err)
{
    (void)expires_s;
    return add_queue((struct broker_redis *)base, queue, true, err);
}

void
redis_drop_replies(struct broker_redis *b)
{
    for (size_t i = 0; i < b->queue_count; i++) {
        struct redis_cmd cmd;

        if (!b->queues[i]->replies)
            continue;
        redis_cmd_init(&cmd, "DEL");
        for (size_t s = 0; s < b->lay.step_count; s++)
            redis_cmd_str(&cmd, b->queues[i]->keys[s]);
        (void)calls_send(b->calls, CALL_REPEAT, &cmd, NULL, NULL);
    }
}

enum status
redis_cancel(struct broker *base, struct slice queue, struct error *err)
{
    struct broker_redis *b = (struct broker_redis *)base;
    size_t i = 0;

    while (i < b->queue_count && !redis_queue_is(b->queues[i], queue))
        i++;
    if (i == b->queue_count)
        return error_set(err, ST_NOTFOUND, "not consuming from %.*s",
                         (int)queue.len, queue.ptr);
    queue_free(b->queues[i]);
    b->queue_count--;
    for (; i < b->queue_count; i++)
        b->queues[i] = b->queues[i + 1];
    b->hungry = true; /* the next empty take arms for what is left */
    turn_ask(&b->turn);
    return ST_OK;
}

void
redis_queues_free(struct broker_redis *b)
{
    for (size_t i = 0; i < b->queue_count; i++)
        queue_free(b->queues[i]);
    b->queue_count = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues are consumed, their keys and bindings. */
#include "store/redis/broker.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void
queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    for (size_t s = 0; s < LAYOUT_STEPS_MAX; s++)
        free(q->keys[s]);
    queue_def_free(q->def);
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

/* kombu's key_to_pattern(): a "*" is one word or more, and a "#" any text. */
static void
add_pattern(const char *key, struct buf *out)
{
    buf_addf(out, "^");
    for (const char *word = key;; word++) {
        size_t n = strcspn(word, ".");

        if (n == 1 && *word == '*')
            buf_addf(out, "%s", ".*?[^\\.]");
        else if (n == 1 && *word == '#')
            buf_addf(out, "%s", ".*?");
        for (size_t i = 0; i < n && !(n == 1 && strchr("*#", *word)); i++) {
            unsigned char c = (unsigned char)word[i];
            bool plain = c >= 0x80 || isalnum(c) || c == '*' || c == '#';
            buf_addf(out, "%s%c", plain ? "" : "\\", c);
        }
        word += n;
        if (*word == '\0')
            break;
        buf_addf(out, "%s", "\\.");
    }
    buf_addf(out, "$");
}

void
redis_add_member(const struct broker_redis *b, const struct queue_def *q,
                 const struct binding_def *bind, struct buf *out)
{
    buf_addf(out, "%s%s", bind->routing_key, b->lay.sep);
    if (exchange_def_is(&bind->exchange, "topic"))
        add_pattern(bind->routing_key, out);
    buf_addf(out, "%s%s", b->lay.sep, q->name);
}

static void
send_member(struct broker_redis *b, const char *verb, const struct queue_def *q,
            const struct binding_def *bind)
{
    char *key = redis_layout_key(&b->lay, "_kombu.binding.",
                                 slice_of(bind->exchange.name));
    struct redis_cmd cmd;
    struct buf member;

    buf_init(&member, (size_t)64 * 1024);
    redis_add_member(b, q, bind, &member);
    redis_cmd_init(&cmd, verb);
    redis_cmd_str(&cmd, key == NULL ? "" : key);
    redis_cmd_add(&cmd, (struct slice){member.data, member.len});
    if (key != NULL && !member.failed)
        (void)redis_send(calls_client(b->calls), &cmd, NULL, NULL);
    else
        redis_cmd_fini(&cmd);
    buf_fini(&member);
    free(key);
}

static void
send_members(struct broker_redis *b, const char *verb,
             const struct queue_def *q)
{
    for (size_t i = 0; i < q->binding_count; i++)
        if (*q->bindings[i].exchange.name != '\0')
            send_member(b, verb, q, &q->bindings[i]);
}

void
redis_bind_queue(struct broker_redis *b, const struct queue *q)
{
    if (q->def != NULL && !q->def->no_declare)
        send_members(b, "SADD", q->def);
}

static void
insert(struct broker_redis *b, struct queue *q)
{
    size_t at = b->queue_count;

    if (b->lay.order == ORDER_SORTED)
        for (; at > 0 && strcmp(b->queues[at - 1]->name, q->name) > 0; at--)
            b->queues[at] = b->queues[at - 1];
    b->queues[at] = q;
    b->queue_count++;
    b->hungry = true;
    turn_ask(&b->turn);
}

/* *out NULL: it is consumed already. */
static enum status
make_queue(struct broker_redis *b, struct slice name, struct queue **out,
           struct error *err)
{
    *out = NULL;
    if (b->instance == NULL)
        return error_set(err, ST_INVALID, "a broker without instance consumes");
    if (name.len == 0 || name.len > 1024)
        return error_set(err, ST_INVALID, "a queue name of %zu bytes",
                         name.len);
    for (size_t i = 0; i < b->queue_count; i++)
        if (redis_queue_is(b->queues[i], name))
            return ST_OK;
    if (b->queue_count == QUEUES_MAX)
        return error_set(err, ST_TOOBIG, "more than %d queues", QUEUES_MAX);
    *out = queue_new(b, name);
    return *out != NULL ? ST_OK
                        : error_set(err, ST_NOMEM, "no memory for a queue");
}

enum status
redis_consume(struct broker *base, const struct queue_def *def,
              struct error *err)
{
    struct broker_redis *b = (struct broker_redis *)base;
    struct queue *q;
    enum status st = make_queue(b, slice_of(def->name), &q, err);

    if (st != ST_OK || q == NULL)
        return st;
    q->def = queue_def_copy(def);
    if (q->def == NULL)
        st = error_set(err, ST_NOMEM, "no memory for a queue");
    if (st == ST_OK)
        st = redis_subscribe_queue(b, q, err);
    if (st != ST_OK) {
        redis_unsubscribe_queue(b, q);
        queue_free(q);
        return st;
    }
    redis_bind_queue(b, q);
    insert(b, q);
    return ST_OK;
}

/* Who answers lets the list expire. */
enum status
redis_consume_replies(struct broker *base, struct slice queue,
                      int64_t expires_s, struct error *err)
{
    struct broker_redis *b = (struct broker_redis *)base;
    struct queue *q;
    enum status st = make_queue(b, queue, &q, err);

    (void)expires_s;
    if (st != ST_OK || q == NULL)
        return st;
    q->replies = true;
    insert(b, q);
    return ST_OK;
}

/* Replies, and the queues of broadcasts; not what is only deleted
 * automatically: others may consume it, too. */
void
redis_drop_own(struct broker_redis *b)
{
    for (size_t i = 0; i < b->queue_count; i++) {
        struct queue *q = b->queues[i];
        struct redis_cmd cmd;

        if (!q->replies && !q->def->broadcast && !q->def->exclusive)
            continue;
        if (q->def != NULL)
            send_members(b, "SREM", q->def);
        redis_cmd_init(&cmd, "DEL");
        for (size_t s = 0; s < b->lay.step_count; s++)
            redis_cmd_str(&cmd, q->keys[s]);
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
    redis_unsubscribe_queue(b, b->queues[i]);
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

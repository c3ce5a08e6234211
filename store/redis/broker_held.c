/* SPDX-License-Identifier: Apache-2.0 */
/* What has been delivered and is not settled for good; acknowledging.
 *
 * A tag is good for as long as it is in the hash "unacked", over any number of
 * connections.  So a held message is forgotten only when Redis has answered;
 * until then a second copy of it can be told from a new message. */
#include "store/redis/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    ACKS_MAX = 500,        /* tags of one script: Lua's unpack has a limit */
    LOSS_US = 10 * 1000000 /* what a Redis that comes back may have lost */
};

struct ack {
    struct list node; /* in ack_batches */
    struct list helds;
    struct broker_redis *b;
};

static void
held_free(struct broker_redis *b, struct held *h)
{
    list_del(&h->node);
    if (h->tag != NULL && map_find(&b->by_tag, slice_of(h->tag)) == h)
        map_del(&b->by_tag, slice_of(h->tag));
    map_del(&b->by_id, (struct slice){(const char *)&h->id, sizeof h->id});
    free(h->tag);
    free(h);
}

static struct held *
held_new(struct broker_redis *b, struct slice tag)
{
    struct held *h = calloc(1, sizeof *h);

    if (h == NULL)
        return NULL;
    h->id = ++b->last_id;
    list_init(&h->node);
    if (tag.len == 0)
        return h;
    h->tag = strndup(tag.ptr, tag.len);
    if (h->tag == NULL) {
        free(h);
        return NULL;
    }
    return h;
}

static void
on_acked(void *arg, enum status st, const struct redisReply *reply)
{
    struct ack *a = arg;
    struct broker_redis *b = a->b;
    uint64_t now = clock_mono_us();

    if (st != ST_OK)
        log_error("acknowledging failed", "reason=%s",
                  reply != NULL ? reply->str : status_text(st));
    list_for_each_safe (n, &a->helds) {
        struct held *h = list_entry(n, struct held, node);
        if (st == ST_OK)
            recent_add(&b->recent, slice_of(h->tag), now);
        held_free(b, h);
    }
    list_del(&a->node);
    free(a);
    redis_broker_progress(b);
}

static enum status
send_acks(struct broker_redis *b)
{
    struct ack *a = malloc(sizeof *a);
    struct redis_cmd cmd;
    struct list *n;
    enum status st;

    if (a == NULL)
        return ST_NOMEM;
    a->b = b;
    list_init(&a->helds);
    list_add_tail(&b->ack_batches, &a->node);
    redis_cmd_init_script(&cmd, SCRIPT_SETTLE, 3);
    redis_cmd_str(&cmd, b->lay.unacked);
    redis_cmd_str(&cmd, b->lay.unacked_index);
    redis_cmd_str(&cmd, b->k_held);
    for (int i = 0; i < ACKS_MAX && (n = list_pop(&b->acks)) != NULL; i++) {
        list_add_tail(&a->helds, n);
        redis_cmd_str(&cmd, list_entry(n, struct held, node)->tag);
    }
    st = calls_send(b->calls, CALL_REPEAT, &cmd, on_acked, a);
    if (st != ST_OK) {
        while ((n = list_pop(&a->helds)) != NULL)
            list_add_tail(&b->acks, n);
        list_del(&a->node);
        free(a);
    }
    return st;
}

static enum status
send_requeues(struct broker_redis *b)
{
    struct restore *r = redis_restore_new(b, true, b->k_held);
    struct list *n;

    if (r == NULL)
        return ST_NOMEM;
    while (r->count < BATCH_MAX && (n = list_pop(&b->requeues)) != NULL) {
        struct held *h = list_entry(n, struct held, node);
        list_add_tail(&b->settling, &h->node);
        if (redis_restore_add(r, slice_of(h->tag), h->verdict == VERDICT_BACK,
                              h) != ST_OK) {
            list_del(&h->node);
            list_add_head(&b->requeues, &h->node);
            break;
        }
    }
    redis_restore_go(r);
    return list_empty(&b->requeues) ? ST_OK : ST_AGAIN;
}

static void
settle_held(struct broker_redis *b, struct held *h, enum verdict v)
{
    map_del(&b->by_id, (struct slice){(const char *)&h->id, sizeof h->id});
    list_del(&h->node);
    b->unsettled_count--;
    turn_ask(&b->turn);
    if (h->tag == NULL) { /* was no message and is gone already */
        held_free(b, h);
        return;
    }
    h->state = HELD_SETTLED;
    h->verdict = v;
    if (v == VERDICT_ACK || v == VERDICT_REJECT)
        list_add_tail(&b->acks, &h->node);
    else {
        list_add_tail(&b->requeues, &h->node);
        b->requeue_count++;
    }
}

/* Tags in our set that we do not know: the answer to a take was lost. */
static void
recover_tag(struct broker_redis *b, struct restore **r, struct slice tag)
{
    if (redis_held_find(b, tag) != NULL)
        return;
    if (recent_find(&b->recent, tag) != 0) {
        redis_settle_again(b, tag);
        return;
    }
    if (*r != NULL && (*r)->count == BATCH_MAX) {
        redis_restore_go(*r);
        *r = NULL;
    }
    if (*r == NULL)
        *r = redis_restore_new(b, true, b->k_held);
    if (*r == NULL || redis_restore_add(*r, tag, false, NULL) != ST_OK)
        log_error("no memory to restore a message", NULL);
}

static void
on_members(void *arg, const struct redisReply *reply, const struct error *why)
{
    struct broker_redis *b = arg;
    struct restore *r = NULL;
    struct error err;

    (void)why;
    if (reply == NULL)
        return; /* lost again: the next connection asks again */
    if (redis_status(reply, &err) != ST_OK) {
        redis_reconnect(calls_client(b->calls), err.text);
        return;
    }
    for (size_t i = 0; i < reply->elements; i++)
        recover_tag(b, &r, redis_str(reply->element[i]));
    if (r != NULL) {
        log_warning("restoring messages whose delivery was lost", "n=%zu",
                    r->count);
        redis_restore_go(r);
    }
    redis_take_start(b);
}

struct held *
redis_held_add(struct broker_redis *b, struct slice tag)
{
    struct held *h = held_new(b, tag);
    struct slice id;

    if (h == NULL)
        return NULL;
    id = (struct slice){(const char *)&h->id, sizeof h->id};
    if (map_put(&b->by_id, id, h) != ST_OK)
        goto fail;
    if (h->tag != NULL && map_put(&b->by_tag, slice_of(h->tag), h) != ST_OK)
        goto fail;
    list_add_tail(&b->unsettled, &h->node);
    b->unsettled_count++;
    return h;
fail:
    held_free(b, h);
    return NULL;
}

struct held *
redis_held_find(struct broker_redis *b, struct slice tag)
{
    return map_find(&b->by_tag, tag);
}

void
redis_held_drop(struct broker_redis *b, struct held *h)
{
    held_free(b, h);
    b->requeue_count--;
    turn_ask(&b->turn);
}

void
redis_settle(struct broker *base, uint64_t tag, enum verdict v)
{
    struct broker_redis *b = (struct broker_redis *)base;
    struct held *h =
        map_find(&b->by_id, (struct slice){(const char *)&tag, sizeof tag});

    if (h != NULL)
        settle_held(b, h, v);
}

/* The last one delivered goes back first, so that they are taken again in the
 * order in which they came. */
void
redis_settle_all(struct broker_redis *b)
{
    while (!list_empty(&b->unsettled))
        settle_held(b, list_entry(b->unsettled.prev, struct held, node),
                    VERDICT_REQUEUE);
}

void
redis_settle_flush(struct broker_redis *b)
{
    enum status st = ST_OK;

    while (!list_empty(&b->acks) && st == ST_OK)
        st = send_acks(b);
    while (!list_empty(&b->requeues) && st == ST_OK)
        st = send_requeues(b);
    if (st == ST_NOMEM)
        log_error("no memory to settle, trying again", NULL);
    if (!list_empty(&b->acks) || !list_empty(&b->requeues))
        turn_ask(&b->turn);
}

void
redis_settle_again(struct broker_redis *b, struct slice tag)
{
    struct held *h = held_new(b, tag);

    if (h == NULL)
        return; /* it comes back after the visibility timeout */
    h->state = HELD_SETTLED;
    h->verdict = VERDICT_ACK;
    list_add_tail(&b->acks, &h->node);
    turn_ask(&b->turn);
}

/* Only what was settled just before a loss can have been forgotten by Redis;
 * otherwise the same tag means that somebody sent the same bytes again. */
bool
redis_settled_before_loss(struct broker_redis *b, struct slice tag)
{
    uint64_t at;

    if (b->lost_us == 0)
        return false;
    at = recent_find(&b->recent, tag);
    return at != 0 && at <= b->lost_us && b->lost_us - at < LOSS_US;
}

void
redis_recover(struct broker_redis *b)
{
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "SMEMBERS");
    redis_cmd_str(&cmd, b->k_held);
    if (redis_send(calls_client(b->calls), &cmd, on_members, b) != ST_OK)
        redis_reconnect(calls_client(b->calls), "no memory");
}

void
redis_held_touch(struct broker_redis *b)
{
    struct list *n = b->unsettled.next;

    while (n != &b->unsettled) {
        struct redis_cmd cmd;
        int count = 0;

        redis_cmd_init_script(&cmd, SCRIPT_TOUCH, 1);
        redis_cmd_str(&cmd, b->lay.unacked_index);
        for (; n != &b->unsettled && count < ACKS_MAX; n = n->next) {
            struct held *h = list_entry(n, struct held, node);
            if (h->tag == NULL)
                continue;
            redis_cmd_str(&cmd, h->tag);
            count++;
        }
        if (count == 0)
            redis_cmd_fini(&cmd);
        else if (redis_send(calls_client(b->calls), &cmd, NULL, NULL) != ST_OK)
            return;
    }
}

static void
free_all(struct broker_redis *b, struct list *helds)
{
    list_for_each_safe (n, helds)
        held_free(b, list_entry(n, struct held, node));
}

void
redis_held_fini(struct broker_redis *b)
{
    struct list *n;

    while ((n = list_pop(&b->ack_batches)) != NULL) {
        struct ack *a = list_entry(n, struct ack, node);
        free_all(b, &a->helds);
        free(a);
    }
    free_all(b, &b->unsettled);
    free_all(b, &b->acks);
    free_all(b, &b->requeues);
    free_all(b, &b->settling);
    map_fini(&b->by_id);
    map_fini(&b->by_tag);
    recent_fini(&b->recent);
}

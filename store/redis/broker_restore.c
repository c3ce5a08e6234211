/* SPDX-License-Identifier: Apache-2.0 */
/* Puts unacked messages back on their queues, as kombu's restore does
 * (celery-wire.md 3.5): the envelope is marked redelivered by splicing, never
 * printed anew, and moved only if it is still what was read. */
#include "store/redis/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "protocol/envelope.h"

enum { ENVELOPE_MAX = 600 * 1024 * 1024 };

/* The place of a message that is dealt with: its held entry may go. */
static void
drop_own(struct restore *r, struct restore_item *item)
{
    if (item->own != NULL)
        redis_held_drop(r->b, item->own);
    item->own = NULL;
}

static void
finish(struct restore *r)
{
    struct broker_redis *b = r->b;

    if (r->done != NULL)
        r->done(r);
    list_del(&r->node);
    for (size_t i = 0; i < r->count; i++) {
        drop_own(r, &r->items[i]);
        free(r->items[i].tag);
    }
    free(r->k_held);
    free(r);
    redis_broker_progress(b);
}

static void
one_done(struct restore *r)
{
    if (--r->left == 0)
        finish(r);
}

static void
on_moved(void *arg, enum status st, const struct redisReply *reply)
{
    struct restore *r = arg;

    if (st != ST_OK)
        log_error("restoring a message failed", "reason=%s",
                  reply != NULL ? reply->str : status_text(st));
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer > 0)
        r->restored++;
    one_done(r);
}

static void
on_forgotten(void *arg, enum status st, const struct redisReply *reply)
{
    struct restore *r = arg;

    (void)reply;
    if (st == ST_OK)
        r->cleared = true;
    one_done(r);
}

static int
priority_of(struct slice json)
{
    struct slice p =
        json_raw_member(json_raw_member(json, "properties"), "priority");
    int n = 0;

    for (size_t i = 0; i < p.len && n < 10; i++) {
        if (p.ptr[i] < '0' || p.ptr[i] > '9')
            return i == 0 ? 0 : n; /* negative or no number: 0; 4.5: 4 */
        n = n * 10 + (p.ptr[i] - '0');
    }
    return n;
}

static void
add_route(struct redis_cmd *cmd, struct broker_redis *b, struct slice json)
{
    struct buf suffix;

    buf_init(&suffix, 64);
    redis_layout_suffix(&b->lay, priority_of(json), &suffix);
    redis_cmd_str(cmd, b->lay.prefix);
    redis_cmd_str(cmd, b->lay.sep);
    redis_cmd_add(cmd, (struct slice){suffix.data, suffix.len});
    buf_fini(&suffix);
}

static enum status
send_move(struct restore *r, const struct restore_item *item,
          struct slice value)
{
    struct broker_redis *b = r->b;
    char *ex = NULL, *rk = NULL;
    struct redis_cmd cmd;
    struct error err;
    struct slice json;
    struct buf marked;
    char visibility[32];
    enum status st;

    (void)snprintf(visibility, sizeof visibility, "%.6f",
                   b->lay.visibility_timeout);
    buf_init(&marked, ENVELOPE_MAX);
    st = envelope_unacked_decode(value, &json, &ex, &rk, &err);
    if (st == ST_OK)
        st = envelope_mark_redelivered(json, &marked, &err);
    if (st != ST_OK) {
        log_error("an unacked entry is no message, dropping it",
                  "tag=%s reason=%s", item->tag, err.text);
        goto out;
    }
    redis_cmd_init_script(&cmd, SCRIPT_MOVE, 3);
    redis_cmd_str(&cmd, b->lay.unacked);
    redis_cmd_str(&cmd, b->lay.unacked_index);
    redis_cmd_str(&cmd, r->k_held);
    redis_cmd_str(&cmd, item->tag);
    redis_cmd_add(&cmd, value);
    redis_cmd_add(&cmd, (struct slice){marked.data, marked.len});
    redis_cmd_str(&cmd, item->back ? "LPUSH" : "RPUSH");
    redis_cmd_str(&cmd, r->if_held ? "held" : visibility);
    add_route(&cmd, b, json);
    redis_cmd_str(&cmd, ex);
    redis_cmd_str(&cmd, rk);
    st = calls_send(b->calls, CALL_REPEAT, &cmd, on_moved, r);
    if (st == ST_OK)
        r->left++;
    else
        log_error("no memory to restore a message", "tag=%s", item->tag);
out:
    buf_fini(&marked);
    free(ex);
    free(rk);
    return st;
}

/* What is to be done about an entry besides moving it. */
enum left { LEFT_NOTHING, LEFT_GONE, LEFT_BROKEN };

/* Entries that are gone or broken are taken off the index and the set. */
static void
send_forget(struct restore *r, const enum left *left, enum left which)
{
    struct redis_cmd cmd;
    size_t n = 0;

    redis_cmd_init_script(&cmd,
                          which == LEFT_GONE ? SCRIPT_CLEAN : SCRIPT_SETTLE, 3);
    redis_cmd_str(&cmd, r->b->lay.unacked);
    redis_cmd_str(&cmd, r->b->lay.unacked_index);
    redis_cmd_str(&cmd, r->k_held);
    if (which == LEFT_GONE)
        redis_cmd_str(&cmd,
                      strcmp(r->k_held, r->b->k_held) == 0 ? "own" : "dead");
    for (size_t i = 0; i < r->count; i++) {
        if (left[i] != which)
            continue;
        redis_cmd_str(&cmd, r->items[i].tag);
        n++;
    }
    if (n == 0) {
        redis_cmd_fini(&cmd);
        return;
    }
    if (calls_send(r->b->calls, CALL_REPEAT, &cmd, on_forgotten, r) == ST_OK)
        r->left++;
}

static void
on_values(void *arg, enum status st, const struct redisReply *reply)
{
    struct restore *r = arg;
    enum left left[BATCH_MAX] = {LEFT_NOTHING};

    if (st != ST_OK || reply->elements != r->count) {
        log_error("restoring messages failed", "reason=%s",
                  st != ST_OK && reply != NULL ? reply->str : status_text(st));
        one_done(r);
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        struct slice value = redis_str(reply->element[i]);
        if (value.ptr == NULL)
            left[i] = LEFT_GONE;
        else if (send_move(r, &r->items[i], value) == ST_PROTO)
            left[i] = LEFT_BROKEN;
        drop_own(r, &r->items[i]);
    }
    send_forget(r, left, LEFT_GONE);
    send_forget(r, left, LEFT_BROKEN);
    one_done(r);
}

struct restore *
redis_restore_new(struct broker_redis *b, bool if_held, const char *k_held)
{
    struct restore *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    r->b = b;
    r->if_held = if_held;
    r->k_held = strdup(k_held);
    if (r->k_held == NULL) {
        free(r);
        return NULL;
    }
    list_add_tail(&b->batches, &r->node);
    return r;
}

enum status
redis_restore_add(struct restore *r, struct slice tag, bool back,
                  struct held *own)
{
    char *copy = strndup(tag.ptr, tag.len);

    if (copy == NULL)
        return ST_NOMEM;
    r->items[r->count++] = (struct restore_item){copy, back, own};
    return ST_OK;
}

void
redis_restore_go(struct restore *r)
{
    struct redis_cmd cmd;

    r->left = 1;
    if (r->count == 0) {
        finish(r);
        return;
    }
    redis_cmd_init(&cmd, "HMGET");
    redis_cmd_str(&cmd, r->b->lay.unacked);
    for (size_t i = 0; i < r->count; i++)
        redis_cmd_str(&cmd, r->items[i].tag);
    if (calls_send(r->b->calls, CALL_REPEAT, &cmd, on_values, r) == ST_OK)
        return;
    log_error("no memory to restore messages", NULL);
    finish(r);
}

void
redis_restore_fini(struct broker_redis *b)
{
    list_for_each_safe (n, &b->batches) {
        struct restore *r = list_entry(n, struct restore, node);
        list_del(&r->node);
        for (size_t i = 0; i < r->count; i++)
            free(r->items[i].tag);
        free(r->k_held);
        free(r);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is due from time to time: the sign of life, looking after dead
 * consumers, the visibility timeout, bindings. */
#include "store/redis/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"

enum {
    BIND_US = 60 * 1000000,  /* against eviction and FLUSHDB */
    SCAN_MIN_MS = 80 * 1000, /* kombu: every 100 s */
    SCAN_MAX_MS = 100 * 1000,
    BEAT_MIN_MS = 20,
};

/* Handing back what a dead consumer held, a batch at a time. */
struct sweep {
    struct list node; /* in sweeps */
    struct broker_redis *b;
    char *instance, *k_held;
    size_t restored;
};

static void
sweep_free(struct sweep *s)
{
    list_del(&s->node);
    free(s->instance);
    free(s->k_held);
    free(s);
}

static void
sweep_end(struct sweep *s, bool empty)
{
    struct broker_redis *b = s->b;
    struct redis_cmd cmd;

    if (empty) {
        redis_cmd_init(&cmd, "SREM");
        redis_cmd_str(&cmd, b->k_nodes);
        redis_cmd_str(&cmd, s->instance);
        (void)calls_send(b->calls, CALL_REPEAT, &cmd, NULL, NULL);
        if (b->adopt != NULL && strcmp(b->adopt, s->instance) == 0) {
            free(b->adopt);
            b->adopt = NULL;
        }
    }
    if (s->restored > 0)
        log_warning("restored the messages of a dead consumer",
                    "instance=%s n=%zu", s->instance, s->restored);
    sweep_free(s);
}

static void sweep_step(struct sweep *s);

static void
on_batch_restored(struct restore *r)
{
    struct sweep *s = r->arg;

    s->restored += r->restored;
    if (r->restored > 0 || r->cleared)
        sweep_step(s);
    else
        sweep_end(s, false); /* no headway: the next beat tries again */
}

static void
on_dead_tags(void *arg, enum status st, const struct redisReply *reply)
{
    struct sweep *s = arg;
    struct restore *r;

    if (st != ST_OK || reply->elements == 0 || s->b->closing) {
        sweep_end(s, st == ST_OK && reply->elements == 0);
        return;
    }
    r = redis_restore_new(s->b, true, s->k_held);
    if (r == NULL) {
        sweep_end(s, false);
        return;
    }
    for (size_t i = 0; i < reply->elements && r->count < BATCH_MAX; i++)
        if (redis_restore_add(r, redis_str(reply->element[i]), false, NULL) !=
            ST_OK)
            break;
    r->done = on_batch_restored;
    r->arg = s;
    redis_restore_go(r);
}

static void
sweep_step(struct sweep *s)
{
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "SRANDMEMBER");
    redis_cmd_str(&cmd, s->k_held);
    redis_cmd_int(&cmd, BATCH_MAX);
    if (calls_send(s->b->calls, CALL_REPEAT, &cmd, on_dead_tags, s) != ST_OK)
        sweep_end(s, false);
}

void
redis_sweep_start(struct broker_redis *b, struct slice instance)
{
    struct sweep *s;

    if (b->closing || instance.len == 0)
        return;
    list_for_each (n, &b->sweeps) {
        const char *other = list_entry(n, struct sweep, node)->instance;
        if (strlen(other) == instance.len &&
            memcmp(other, instance.ptr, instance.len) == 0)
            return;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return;
    s->b = b;
    list_init(&s->node);
    s->instance = strndup(instance.ptr, instance.len);
    s->k_held = redis_layout_key(&b->lay, "lovage.held.", instance);
    if (s->instance == NULL || s->k_held == NULL) {
        sweep_free(s);
        return;
    }
    list_add_tail(&b->sweeps, &s->node);
    sweep_step(s);
}

/* ---- the visibility timeout ---- */

static void scan_step(struct broker_redis *b, bool release);

static void
on_scanned_batch(struct restore *r)
{
    struct broker_redis *b = r->b;
    bool more =
        r->count == BATCH_MAX && !b->closing && (r->restored > 0 || r->cleared);

    b->scan_left -= (int64_t)r->count;
    if (r->restored > 0)
        log_warning("restored messages past the visibility timeout", "n=%zu",
                    r->restored);
    scan_step(b, !more || b->scan_left <= 0);
}

static void
on_expired(void *arg, enum status st, const struct redisReply *reply)
{
    struct broker_redis *b = arg;
    struct restore *r = NULL;

    if (st != ST_OK) {
        log_error("looking for lost messages failed", "reason=%s",
                  reply != NULL ? reply->str : status_text(st));
        b->scanning = false;
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        struct slice tag = redis_str(reply->element[i]);
        if (redis_held_find(b, tag) != NULL)
            continue; /* ours, only not touched for too long */
        if (r == NULL)
            r = redis_restore_new(b, false, b->k_held);
        if (r == NULL || redis_restore_add(r, tag, false, NULL) != ST_OK)
            break;
    }
    if (r == NULL) {
        scan_step(b, true);
        return;
    }
    r->done = on_scanned_batch;
    redis_restore_go(r);
}

static void
on_released(void *arg, enum status st, const struct redisReply *reply)
{
    struct broker_redis *b = arg;

    (void)st;
    (void)reply;
    b->scanning = false;
    redis_broker_progress(b);
}

static void
scan_step(struct broker_redis *b, bool release)
{
    int64_t limit = b->scan_left < BATCH_MAX ? b->scan_left : BATCH_MAX;
    struct redis_cmd cmd;
    char text[32];

    redis_cmd_init_script(&cmd, SCRIPT_EXPIRED, 2);
    redis_cmd_str(&cmd, b->lay.unacked_mutex);
    redis_cmd_str(&cmd, b->lay.unacked_index);
    redis_cmd_str(&cmd, b->scan_token);
    redis_cmd_int(&cmd, (int64_t)(b->lay.mutex_expire * 1000));
    (void)snprintf(text, sizeof text, "%.6f", b->lay.visibility_timeout);
    redis_cmd_str(&cmd, text);
    redis_cmd_int(&cmd, release ? 0 : limit);
    if (calls_send(b->calls, CALL_REPEAT, &cmd,
                   release ? on_released : on_expired, b) != ST_OK)
        b->scanning = false;
}

static void
scan_start(struct broker_redis *b)
{
    if (b->scanning)
        return;
    b->scanning = true;
    b->scan_left = b->lay.restore_limit > 0 ? b->lay.restore_limit : INT64_MAX;
    id_new(b->scan_token);
    scan_step(b, false);
}

/* ---- the beat ---- */

/* What producers must find: kombu's bindings. */
static void
bind_all(struct broker_redis *b)
{
    b->bound_us = clock_mono_us();
    for (size_t i = 0; i < b->queue_count; i++)
        redis_bind_queue(b, b->queues[i]);
    redis_bind_subscriptions(b, false);
}

static void
on_beat_answer(void *arg, const struct redisReply *reply,
               const struct error *why)
{
    struct broker_redis *b = arg;
    struct error err;

    (void)why;
    if (reply == NULL)
        return;
    if (redis_status(reply, &err) != ST_OK) {
        log_debug("beat refused", "reason=%s", err.text);
        return;
    }
    /* While there is no room to take, this is the sign that all is well. */
    if (b->unsettled_count >= b->prefetch || b->queue_count == 0)
        b->last_answer_us = clock_mono_us();
    for (size_t i = 1; i < reply->elements; i++)
        redis_sweep_start(b, redis_str(reply->element[i]));
    if (reply->elements > 0 && reply->element[0]->integer == 0)
        bind_all(b); /* our key was gone, and maybe all others: FLUSHDB */
}

static void
send_beat(struct broker_redis *b)
{
    char *k_node_any =
        redis_layout_key(&b->lay, "lovage.node.", (struct slice){0});
    struct redis_cmd cmd;

    if (k_node_any == NULL)
        return;
    redis_cmd_init_script(&cmd, SCRIPT_BEAT, 4);
    redis_cmd_str(&cmd, b->k_node);
    redis_cmd_str(&cmd, b->k_nodes);
    redis_cmd_str(&cmd, b->k_held);
    redis_cmd_str(&cmd, b->k_lock);
    redis_cmd_str(&cmd, b->instance);
    redis_cmd_int(&cmd, b->lease_ms);
    /* Longer than any restore by the timeout waits: never the first to go. */
    redis_cmd_int(&cmd, (int64_t)b->lay.visibility_timeout * 2 + 3600);
    redis_cmd_str(&cmd, k_node_any);
    (void)redis_send(calls_client(b->calls), &cmd, on_beat_answer, b);
    free(k_node_any);
}

static void
on_beat(uv_timer_t *t)
{
    struct broker_redis *b = t->data;
    uint64_t now = clock_mono_us();
    double visibility_us = b->lay.visibility_timeout * 1e6;

    if (!redis_up(calls_client(b->calls)) || b->closing)
        return;
    send_beat(b);
    if (now - b->bound_us > BIND_US)
        bind_all(b);
    if (now - b->touched_us > (uint64_t)(visibility_us / 5)) {
        b->touched_us = now;
        redis_held_touch(b);
    }
    if (now >= b->scan_due_us) {
        uint64_t wait_us =
            UINT64_C(1000) * backoff_jitter(SCAN_MIN_MS, SCAN_MAX_MS);

        /* Who asks for a short timeout does not want to wait for longer. */
        b->scan_due_us =
            now + (visibility_us < (double)wait_us ? (uint64_t)visibility_us
                                                   : wait_us);
        scan_start(b);
    }
}

void
redis_flushed(struct broker_redis *b)
{
    if (!b->ready || b->closing || b->instance == NULL)
        return;
    log_warning("all keys of redis are gone; queues are bound again", NULL);
    send_beat(b);
}

void
redis_beat_start(struct broker_redis *b)
{
    double visibility_ms = b->lay.visibility_timeout * 1000;
    double ms = b->lease_ms / 3.0;

    if (ms > visibility_ms / 6)
        ms = visibility_ms / 6;
    if (ms < BEAT_MIN_MS)
        ms = BEAT_MIN_MS;
    uv_timer_start(&b->beat, on_beat, 0, (uint64_t)ms);
    on_beat(&b->beat);
}

void
redis_sweeps_fini(struct broker_redis *b)
{
    list_for_each_safe (n, &b->sweeps)
        sweep_free(list_entry(n, struct sweep, node));
}

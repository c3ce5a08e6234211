/* SPDX-License-Identifier: Apache-2.0 */
/* Taking messages.  At most one take is under way; while it finds messages the
 * next follows at once.  On empty queues we do not pop and do not poll: Redis
 * is asked, by its tracking for client-side caches, to tell the pubsub
 * connection when one of the lists changes.  A take once a second, whatever
 * happens, is the safety net and the sign that the connection lives. */
#include "store/redis/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/envelope.h"

enum {
    SAFETY_MIN_MS = 800,
    SAFETY_MAX_MS = 1200,
    POLL_MIN_MS = 1,
    POLL_MAX_MS = 50,
    ERROR_MIN_MS = 50,
    ERROR_MAX_MS = 1000,
    REARM_MAX_MS = 50,
    FRUITLESS_FREE = 2 /* wake-ups for nothing before we slow down */
};

static void on_wait(uv_timer_t *t);

static void
pause_for(struct broker_redis *b, enum pause p, uint32_t ms)
{
    b->hungry = false;
    b->pause = p;
    uv_timer_start(&b->wait, on_wait, ms, 0);
}

/* How many more may be taken. */
static size_t
room(const struct broker_redis *b)
{
    size_t used = b->unsettled_count + b->requeue_count;

    return used < b->prefetch && b->queue_count > 0 ? b->prefetch - used : 0;
}

static void
hungry_now(struct broker_redis *b)
{
    b->hungry = true;
    b->pause = PAUSE_NONE;
    uv_timer_stop(&b->wait);
    redis_take_more(b);
}

/* ---- being woken ---- */

static void
on_exists(void *arg, const struct redisReply *r, const struct error *why)
{
    struct broker_redis *b = arg;

    (void)why;
    if (r == NULL)
        return;
    if (r->type == REDIS_REPLY_INTEGER && r->integer > 0)
        hungry_now(b);
}

static void
on_caching(void *arg, const struct redisReply *r, const struct error *why)
{
    struct broker_redis *b = arg;

    (void)why;
    if (r == NULL || r->type != REDIS_REPLY_ERROR)
        return;
    /* Tracking is off behind our back: the pubsub side went away. */
    b->tracking = TRACK_OFF;
    redis_take_track(b);
}

/* From this EXISTS on, the first change of any of the lists is told. */
static void
arm(struct broker_redis *b)
{
    struct redis *c = calls_client(b->calls);
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "CLIENT");
    redis_cmd_str(&cmd, "CACHING");
    redis_cmd_str(&cmd, "YES");
    if (redis_send(c, &cmd, on_caching, b) != ST_OK)
        return;
    redis_cmd_init(&cmd, "EXISTS");
    for (size_t q = 0; q < b->queue_count; q++)
        for (size_t s = 0; s < b->lay.step_count; s++)
            redis_cmd_str(&cmd, b->queues[q]->keys[s]);
    (void)redis_send(c, &cmd, on_exists, b);
}

static void
idle(struct broker_redis *b)
{
    pause_for(b, PAUSE_IDLE, backoff_jitter(SAFETY_MIN_MS, SAFETY_MAX_MS));
}

/* Nothing is there.  Many idle consumers are all woken by one message and all
 * but one find nothing; after a few such times a consumer asks to be woken
 * again only a little later, which bounds what a large idle fleet costs. */
static void
found_nothing(struct broker_redis *b)
{
    b->fruitless = b->woken ? b->fruitless + 1 : b->fruitless;
    b->woken = false;
    if (b->tracking != TRACK_ON) {
        if (b->tracking == TRACK_OFF)
            redis_take_track(b);
        b->poll_ms = b->poll_ms == 0 ? POLL_MIN_MS : b->poll_ms * 2;
        if (b->poll_ms > POLL_MAX_MS)
            b->poll_ms = POLL_MAX_MS;
        pause_for(b, PAUSE_POLL, b->poll_ms);
        return;
    }
    if (b->fruitless > FRUITLESS_FREE) {
        uint32_t shift = b->fruitless - FRUITLESS_FREE;
        uint32_t cap = shift > 5 ? REARM_MAX_MS : UINT32_C(1) << shift;
        pause_for(b, PAUSE_REARM, backoff_jitter(0, cap));
        return;
    }
    idle(b);
    arm(b);
}

static void
on_wait(uv_timer_t *t)
{
    struct broker_redis *b = t->data;
    enum pause p = b->pause;

    if (!b->ready || b->closing)
        return;
    if (p == PAUSE_REARM && b->tracking == TRACK_ON) {
        idle(b);
        arm(b);
        return;
    }
    hungry_now(b);
}

static void
on_tracking(void *arg, const struct redisReply *r, const struct error *why)
{
    struct broker_redis *b = arg;

    (void)why;
    if (r == NULL || b->tracking != TRACK_ASKED)
        return;
    if (redis_status(r, NULL) == ST_BUSY) { /* asked again when it is over */
        b->tracking = TRACK_OFF;
        return;
    }
    b->tracking = r->type == REDIS_REPLY_ERROR ? TRACK_REFUSED : TRACK_ON;
    if (b->tracking == TRACK_REFUSED)
        log_info("redis will not track keys, polling", "reason=%s", r->str);
    else if (b->pause == PAUSE_POLL)
        hungry_now(b);
}

/* ---- delivering ---- */

/* kombu's round robin: who was served goes to the end. */
static void
rotate(struct broker_redis *b, struct slice name)
{
    size_t i = 0;

    if (b->lay.order != ORDER_ROUND_ROBIN)
        return;
    while (i < b->queue_count && !redis_queue_is(b->queues[i], name))
        i++;
    for (; i + 1 < b->queue_count; i++) {
        struct queue *next = b->queues[i + 1];
        b->queues[i + 1] = b->queues[i];
        b->queues[i] = next;
    }
}

/* A second copy of what we have, or had until just now. */
static bool
is_copy(struct broker_redis *b, struct slice tag)
{
    struct held *h = redis_held_find(b, tag);

    if (h == NULL) {
        if (!redis_settled_before_loss(b, tag))
            return false;
        redis_settle_again(b, tag);
    } else if (h->state == HELD_SETTLED &&
               (h->verdict == VERDICT_ACK || h->verdict == VERDICT_REJECT))
        redis_settle_again(b, tag);
    log_info("the same message again, ignored", "tag=%.*s", (int)tag.len,
             tag.ptr);
    return true;
}

static void
deliver(struct broker_redis *b, struct slice queue, struct slice tag,
        struct slice raw)
{
    struct delivery d = {.queue = queue, .raw = raw};
    struct held *h;
    struct error err;

    if (tag.len > 0 && is_copy(b, tag))
        return;
    h = redis_held_add(b, tag);
    if (h == NULL) {
        log_error("no memory for a delivery; it is restored later", NULL);
        return;
    }
    if (b->closing)
        return; /* handed back with all others */
    d.tag = h->id;
    if (envelope_decode(raw, &d.msg, &err) != ST_OK) {
        d.msg = NULL;
        log_warning("received bytes that are no message",
                    "queue=%.*s reason=%s", (int)queue.len, queue.ptr,
                    err.text);
    }
    b->ev.delivered(b->arg, &d);
}

static void
deliver_all(struct broker_redis *b, const struct redisReply *r)
{
    for (size_t i = 0; i + 2 < r->elements; i += 3) {
        struct slice queue = redis_str(r->element[i]);
        deliver(b, queue, redis_str(r->element[i + 1]),
                redis_str(r->element[i + 2]));
        rotate(b, queue);
    }
}

static void
take_failed(struct broker_redis *b, const struct error *err)
{
    if (!b->take_told)
        log_warning("taking messages failed, trying again", "reason=%s",
                    err->text);
    b->take_told = true;
    b->error_ms = b->error_ms == 0 ? ERROR_MIN_MS : b->error_ms * 2;
    if (b->error_ms > ERROR_MAX_MS)
        b->error_ms = ERROR_MAX_MS;
    pause_for(b, PAUSE_ERROR, b->error_ms);
}

static void
on_taken(void *arg, const struct redisReply *r, const struct error *why)
{
    struct broker_redis *b = arg;
    struct error err;
    size_t n;

    (void)why;
    b->taking = false;
    if (r == NULL)
        return;
    b->last_answer_us = clock_mono_us(); /* an error is an answer, too */
    if (redis_status(r, &err) != ST_OK) {
        take_failed(b, &err);
        redis_broker_progress(b);
        return;
    }
    b->error_ms = 0;
    n = r->elements / 3;
    b->take_told = b->take_told && n > 0; /* one queue of many may be wrong */
    if (n > 0) {
        b->poll_ms = 0;
        b->fruitless = 0;
        b->woken = false;
        deliver_all(b, r);
    }
    if (b->closing) {
        redis_settle_all(b);
        turn_ask(&b->turn);
    } else if (n == 0)
        found_nothing(b);
    else
        turn_ask(&b->turn); /* settles of this turn go out before the take */
}

static void
add_take(struct broker_redis *b, struct redis_cmd *cmd, size_t want)
{
    struct buf tags;

    buf_init(&tags, 4096);
    buf_addf(&tags, "%s.%llu.", b->instance, (unsigned long long)++b->takes);
    redis_cmd_init_script(cmd, SCRIPT_TAKE,
                          3 + b->queue_count * b->lay.step_count);
    redis_cmd_str(cmd, b->lay.unacked);
    redis_cmd_str(cmd, b->lay.unacked_index);
    redis_cmd_str(cmd, b->k_held);
    for (size_t s = 0; s < b->lay.step_count; s++)
        for (size_t q = 0; q < b->queue_count; q++)
            redis_cmd_str(cmd, b->queues[q]->keys[s]);
    redis_cmd_int(cmd, (int64_t)want);
    redis_cmd_int(cmd, (int64_t)b->queue_count);
    redis_cmd_add(cmd, (struct slice){tags.data, tags.len});
    redis_cmd_str(cmd, b->lay.order == ORDER_ROUND_ROBIN ? "1" : "0");
    for (size_t q = 0; q < b->queue_count; q++)
        redis_cmd_str(cmd, b->queues[q]->name);
    for (size_t q = 0; q < b->queue_count; q++)
        redis_cmd_str(cmd, b->queues[q]->fanned ? "1" : "0");
    buf_fini(&tags);
}

static void
send_take(struct broker_redis *b)
{
    size_t want = room(b);
    struct redis_cmd cmd;

    add_take(b, &cmd, want < TAKE_MAX ? want : TAKE_MAX);
    if (redis_send(calls_client(b->calls), &cmd, on_taken, b) == ST_OK)
        b->taking = true;
    else
        pause_for(b, PAUSE_ERROR, ERROR_MAX_MS);
}

/* ---- exported ---- */

void
redis_prefetch(struct broker *base, unsigned n)
{
    struct broker_redis *b = (struct broker_redis *)base;

    if (n > b->prefetch)
        turn_ask(&b->turn);
    b->prefetch = n;
}

uint64_t
redis_last_answer(const struct broker *base)
{
    return ((const struct broker_redis *)base)->last_answer_us;
}

void
redis_take_more(struct broker_redis *b)
{
    if (b->ready && !b->closing && !b->taking && b->hungry && room(b) > 0)
        send_take(b);
}

void
redis_take_wake(struct broker_redis *b)
{
    if (!b->ready || b->closing || b->pause == PAUSE_ERROR)
        return;
    b->woken = true;
    hungry_now(b);
}

void
redis_take_track(struct broker_redis *b)
{
    struct redis *c = calls_client(b->calls);
    struct redis_cmd cmd;

    b->tracking = TRACK_OFF;
    if (b->pubsub == NULL || !redis_up(b->pubsub) || !b->invalidations ||
        redis_client_id(b->pubsub) == 0)
        return;
    redis_cmd_init(&cmd, "CLIENT");
    redis_cmd_str(&cmd, "TRACKING");
    redis_cmd_str(&cmd, "ON");
    redis_cmd_str(&cmd, "REDIRECT");
    redis_cmd_int(&cmd, redis_client_id(b->pubsub));
    redis_cmd_str(&cmd, "OPTIN");
    if (redis_send(c, &cmd, on_tracking, b) == ST_OK)
        b->tracking = TRACK_ASKED;
}

void
redis_take_start(struct broker_redis *b)
{
    if (b->closing)
        return;
    b->ready = true;
    b->ev.ready(b->arg);
    if (b->instance == NULL || b->closing)
        return;
    redis_take_track(b);
    hungry_now(b);
}

void
redis_take_stop(struct broker_redis *b)
{
    b->ready = false;
    b->taking = false;
    b->tracking = TRACK_OFF;
    b->pause = PAUSE_NONE;
    uv_timer_stop(&b->wait);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to Redis: a FIFO of commands under way over base/stream, with
 * hiredis' reader as the decoder.  Its own sockets block, so they are unused;
 * its encoder takes arrays of pointers and an int length, ours takes slices. */
#include "store/redis/client_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    FEED_MAX = 16 * 1024,  /* more at once makes hiredis' buffer shift slow */
    PING_PUBSUB_MS = 5000, /* where silence is normal and must not be loss */
    RETRY_MIN_MS = 50,
    RETRY_MAX_MS = 1000,
    PENDING_MAX = 1 << 20,
    USER_TIMEOUT_MS = 15000 /* TCP's, at least */
};

/* Against our own bugs only: what may wait is bounded by those who send. */
static const size_t BACKLOG_MAX = SIZE_MAX / 4;

/* ---- the FIFO ---- */

static enum status
ring_grow(struct redis *c)
{
    size_t cap = c->cap == 0 ? 64 : c->cap * 2;
    struct pending *ring;

    if (cap > PENDING_MAX)
        return ST_BUSY;
    ring = malloc(cap * sizeof *ring);
    if (ring == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < c->count; i++)
        ring[i] = c->ring[(c->head + i) & (c->cap - 1)];
    free(c->ring);
    c->ring = ring;
    c->cap = cap;
    c->head = 0;
    return ST_OK;
}

static enum status
ring_push(struct redis *c, redis_fn *fn, void *arg)
{
    enum status st = c->count == c->cap ? ring_grow(c) : ST_OK;

    if (st != ST_OK)
        return st;
    c->ring[(c->head + c->count) & (c->cap - 1)] =
        (struct pending){fn, arg, clock_mono_us()};
    c->count++;
    return ST_OK;
}

static struct pending
ring_pop(struct redis *c)
{
    struct pending p = c->ring[c->head];

    c->head = (c->head + 1) & (c->cap - 1);
    c->count--;
    return p;
}

/* ---- losing and gaining the connection ---- */

/* Once an outage, and once more when the server is there again but of no use
 * yet (it loads, it is full, the password is wrong). */
static void
tell_down(struct redis *c, const struct error *why)
{
    bool log = !c->told || (why->code != c->told_code && why->code != ST_LOST &&
                            why->code != ST_TIMEOUT);

    if (log) {
        log_warning("redis connection lost", "name=%s reason=%s", c->name,
                    why->text);
        c->told_code = why->code;
    }
    if (c->told)
        return;
    c->told = true;
    c->ev.down(c->arg, why);
}

static void schedule(struct redis *c, const struct error *why);

void
redis_drop(struct redis *c, const struct error *why)
{
    unsigned generation = ++c->generation;
    size_t n = c->count;

    c->phase = PHASE_WAIT;
    redis_master_stop(c);
    stream_close(c->stream);
    c->stream = NULL;
    c->ping_us = 0;
    c->strikes = 0;
    uv_timer_stop(&c->tick);
    if (c->reader != NULL)
        redisReaderFree(c->reader);
    c->reader = NULL;
    /* Nothing can be sent in PHASE_WAIT, so the count only falls. */
    while (n-- > 0 && c->generation == generation) {
        struct pending p = ring_pop(c);
        if (p.fn != NULL)
            p.fn(p.arg, NULL, why);
    }
    if (c->generation == generation)
        tell_down(c, why);
    if (c->generation == generation)
        schedule(c, why);
}

static void
on_stream_lost(void *arg, const struct error *why)
{
    struct redis *c = arg;

    c->stream = NULL; /* frees itself */
    redis_drop(c, why);
}

enum status
redis_transmit(struct redis *c, struct slice wire, redis_fn *fn, void *arg)
{
    enum status st = ring_push(c, fn, arg);

    if (st == ST_OK)
        stream_write(c->stream, wire);
    return st;
}

static void
on_connected(void *arg)
{
    struct redis *c = arg;

    c->phase = PHASE_LOGIN;
    c->heard_us = clock_mono_us();
    redis_login(c);
}

/* ---- answers ---- */

/* After the owner has seen an error: what the connection does about it. */
static void
mend(struct redis *c, const struct redisReply *r, uint64_t sent_us)
{
    /* Once: all that was sent before may be answered so. */
    if (redis_error_is(r, "NOSCRIPT") && sent_us > c->loaded_us) {
        c->loaded_us = clock_mono_us();
        redis_load_scripts(c, NULL);
    }
    /* A failover: the name, or the sentinels, lead to another server now; if
     * not, this one is used again when it is no replica any more. */
    if (redis_error_is(r, "READONLY") || redis_error_is(r, "MASTERDOWN") ||
        redis_error_is(r, "UNBLOCKED")) {
        c->doubtful = true;
        redis_reconnect(c, r->str);
    }
    if (redis_error_is(r, "NOAUTH"))
        redis_reconnect(c, r->str);
}

/* What a subscribed connection gets.  A subscription that was refused is asked
 * for again by connecting again, if that can help. */
static void
push(struct redis *c, const struct redisReply *r)
{
    struct error err;

    if (redis_status(r, &err) == ST_BUSY) {
        redis_reconnect(c, r->str);
        return;
    }
    if (r->type == REDIS_REPLY_ERROR && c->refused)
        return;
    c->refused = r->type == REDIS_REPLY_ERROR || c->refused;
    c->ev.push(c->arg, r);
}

static void
answer(struct redis *c, const struct redisReply *r)
{
    unsigned generation = c->generation;
    struct pending p;
    struct error err;

    c->ping_us = 0;
    if (c->phase == PHASE_UP && c->pubsub) {
        push(c, r);
        return;
    }
    /* Said without having been asked, and then it hangs up. */
    if (c->phase == PHASE_LOGIN &&
        redis_error_is(r, "ERR max number of clients")) {
        (void)redis_status(r, &err);
        redis_drop(c, &err);
        return;
    }
    if (c->count == 0) {
        redis_reconnect(c, "an answer that nobody asked for");
        return;
    }
    p = ring_pop(c);
    if (p.fn != NULL)
        p.fn(p.arg, r, NULL);
    if (c->generation == generation && c->phase == PHASE_UP &&
        r->type == REDIS_REPLY_ERROR)
        mend(c, r, p.sent_us);
}

static enum status
decode(struct redis *c, unsigned generation)
{
    void *r = NULL;

    while (c->generation == generation) {
        if (redisReaderGetReply(c->reader, &r) != REDIS_OK)
            return ST_PROTO;
        if (r == NULL)
            return ST_OK;
        answer(c, r);
        freeReplyObject(r);
    }
    return ST_OK;
}

static void
on_data(void *arg, const char *p, size_t n)
{
    struct redis *c = arg;
    unsigned generation = c->generation;
    enum status st = ST_OK;

    c->heard_us = clock_mono_us();
    c->strikes = 0;
    while (n > 0 && st == ST_OK && c->generation == generation) {
        size_t piece = n < FEED_MAX ? n : FEED_MAX;
        if (redisReaderFeed(c->reader, p, piece) != REDIS_OK)
            st = ST_NOMEM;
        else
            st = decode(c, generation);
        p += piece;
        n -= piece;
    }
    if (st != ST_OK && c->generation == generation)
        redis_reconnect(c, c->reader->errstr);
}

/* ---- time ---- */

static void
ping(struct redis *c)
{
    if (!c->pubsub) {
        redis_send_words(c, (const char *[]){"PING"}, 1, NULL);
        return;
    }
    c->ping_us = clock_mono_us();
    stream_write(c->stream, (struct slice){"*1\r\n$4\r\nPING\r\n", 14});
}

/* Bytes have come, or have gone out, within a tick: slow is not dead. */
static bool
makes_headway(struct redis *c, uint64_t now)
{
    size_t before = c->backlog;

    c->backlog = c->stream == NULL ? 0 : stream_backlog(c->stream);
    return c->backlog < before || now - c->heard_us < c->timeout_us / 4;
}

/* An answer counts as overdue only at the second look: when this process was
 * stopped for a while the answer may be waiting in the socket. */
static void
on_tick(uv_timer_t *t)
{
    struct redis *c = t->data;
    uint64_t now = clock_mono_us();
    uint64_t since = c->count > 0 ? c->ring[c->head].sent_us : c->ping_us;
    uint64_t idle_ms = c->addr.health_check_ms;
    bool headway = makes_headway(c, now);

    if (since != 0 && now > since && now - since > c->timeout_us && !headway) {
        if (++c->strikes >= 2)
            redis_reconnect(c, "no answer in time");
        return;
    }
    c->strikes = 0;
    if (c->pubsub && (idle_ms == 0 || idle_ms > PING_PUBSUB_MS))
        idle_ms = PING_PUBSUB_MS;
    if (since == 0 && idle_ms > 0 && c->phase == PHASE_UP &&
        now > c->heard_us + idle_ms * 1000)
        ping(c);
}

void
redis_connect(struct redis *c)
{
    static const struct stream_events events = {on_connected, on_data,
                                                on_stream_lost};
    uint64_t tick_ms = c->timeout_us / 4000;
    struct error err = {0};

    c->phase = PHASE_CONNECT;
    c->client_id = 0;
    c->refused = false;
    c->reader = redisReaderCreate();
    if (c->reader == NULL)
        (void)error_set(&err, ST_NOMEM, "no memory for a reader");
    else if (stream_open(&c->stream, c->loop, &c->addr.stream, &events, c,
                         &err) == ST_OK)
        uv_timer_start(&c->tick, on_tick, tick_ms, tick_ms);
    if (err.code != ST_OK)
        redis_drop(c, &err);
}

static void
on_retry(uv_timer_t *t)
{
    struct redis *c = t->data;

    if (c->sentinel != NULL)
        redis_master_find(c);
    else
        redis_connect(c);
}

static void
schedule(struct redis *c, const struct error *why)
{
    if (c->max_retries > 0 && c->failures >= c->max_retries) {
        if (c->ev.failed != NULL)
            c->ev.failed(c->arg, why);
        return;
    }
    c->failures++;
    uv_timer_start(&c->retry, on_retry, backoff_next_ms(&c->backoff), 0);
}

static void
redis_free(struct redis *c)
{
    if (c->reader != NULL)
        redisReaderFree(c->reader);
    redis_address_fini(&c->addr);
    free(c->ring);
    free(c);
}

static void
one_less(void *arg)
{
    struct redis *c = arg;

    if (--c->handles > 0)
        return;
    if (c->closed != NULL)
        c->closed(c->closed_arg);
    redis_free(c);
}

static void
on_handle_closed(uv_handle_t *h)
{
    one_less(h->data);
}

/* ---- exported ---- */

void
redis_logged_in(struct redis *c)
{
    c->phase = PHASE_UP;
    c->failures = 0;
    if (!c->doubtful)
        backoff_reset(&c->backoff);
    if (c->told)
        log_info("redis connection is back", "name=%s", c->name);
    c->told = false;
    c->ev.up(c->arg);
}

enum status
redis_send_wire(struct redis *c, struct slice wire, redis_fn *fn, void *arg)
{
    return c->phase == PHASE_UP ? redis_transmit(c, wire, fn, arg) : ST_LOST;
}

enum status
redis_send(struct redis *c, struct redis_cmd *cmd, redis_fn *fn, void *arg)
{
    struct slice wire;
    enum status st = redis_cmd_wire(cmd, &wire);

    if (st == ST_OK)
        st = redis_send_wire(c, wire, fn, arg);
    redis_cmd_fini(cmd);
    return st;
}

enum status
redis_subscribe(struct redis *c, const char *command, struct slice channel)
{
    struct redis_cmd cmd;
    struct slice wire;
    enum status st;

    if (c->phase != PHASE_UP)
        return ST_LOST;
    redis_cmd_init(&cmd, command);
    redis_cmd_add(&cmd, channel);
    st = redis_cmd_wire(&cmd, &wire);
    if (st == ST_OK)
        stream_write(c->stream, wire);
    redis_cmd_fini(&cmd);
    return st;
}

static void
set_up(struct redis *c, const struct redis_opts *o)
{
    uint32_t timeout_ms = o->command_timeout_ms > 0 ? o->command_timeout_ms
                                                    : c->addr.socket_timeout_ms;

    if (o->connect_timeout_ms > 0)
        c->addr.stream.connect_timeout_ms = o->connect_timeout_ms;
    c->addr.stream.max_backlog = BACKLOG_MAX;
    c->addr.stream.user_timeout_ms =
        timeout_ms > USER_TIMEOUT_MS ? timeout_ms : USER_TIMEOUT_MS;
    (void)snprintf(c->name, sizeof c->name, "%s", o->name);
    c->timeout_us = timeout_ms * UINT64_C(1000);
    c->max_retries = o->max_retries;
    c->scripts = o->scripts;
    c->pubsub = o->pubsub;
    c->backoff = (struct backoff){RETRY_MIN_MS, RETRY_MAX_MS, 0};
    uv_timer_init(c->loop, &c->retry);
    uv_timer_init(c->loop, &c->tick);
    c->retry.data = c->tick.data = c;
    c->handles = 2;
}

enum status
redis_open(struct redis **out, uv_loop_t *loop, const struct redis_opts *o,
           const struct redis_events *ev, void *arg, struct error *err)
{
    struct redis *c = calloc(1, sizeof *c);
    enum status st;

    if (c == NULL)
        return error_set(err, ST_NOMEM, "no memory for a redis connection");
    st = redis_address_init(&c->addr, o->url, o->config, o->role, err);
    c->loop = loop;
    if (st == ST_OK && c->addr.sentinels != NULL)
        st = redis_master_open(c, err);
    if (st != ST_OK) {
        redis_free(c);
        return st;
    }
    set_up(c, o);
    c->ev = *ev;
    c->arg = arg;
    /* From the loop, so that no event comes before this has returned. */
    uv_timer_start(&c->retry, on_retry, 0, 0);
    *out = c;
    return ST_OK;
}

void
redis_close(struct redis *c, void (*closed)(void *arg), void *arg)
{
    if (c == NULL || c->phase == PHASE_CLOSED)
        return;
    c->phase = PHASE_CLOSED;
    c->generation++;
    c->count = 0;
    c->closed = closed;
    c->closed_arg = arg;
    stream_close(c->stream);
    c->stream = NULL;
    uv_close((uv_handle_t *)&c->retry, on_handle_closed);
    uv_close((uv_handle_t *)&c->tick, on_handle_closed);
    if (c->sentinel != NULL) {
        c->handles += 2;
        sentinel_close(c->sentinel, one_less, c);
        uv_close((uv_handle_t *)&c->watch, on_handle_closed);
    }
}

size_t
redis_backlog(const struct redis *c)
{
    return c->stream == NULL ? 0 : stream_backlog(c->stream);
}

bool
redis_up(const struct redis *c)
{
    return c->phase == PHASE_UP;
}

int
redis_db(const struct redis *c)
{
    return c->addr.db;
}

int64_t
redis_client_id(const struct redis *c)
{
    return c->client_id;
}

size_t
redis_pending(const struct redis *c)
{
    return c->count;
}

void
redis_reconnect(struct redis *c, const char *why)
{
    struct error err;

    if (c->phase != PHASE_LOGIN && c->phase != PHASE_UP)
        return;
    (void)error_set(&err, ST_LOST, "redis: %s", why);
    redis_drop(c, &err);
}

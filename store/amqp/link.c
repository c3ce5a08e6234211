/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to an AMQP broker: its life, its heartbeats, what is sent. */
#include "store/amqp/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/amqp/link_state.h"
#include "store/amqp/table.h"

enum {
    POOL_PAGE = 8192,
    RETRY_MIN_MS = 50,
    RETRY_MAX_MS = 1000,
    TICK_MS = 500,
    LOGIN_US = 10 * 1000 * 1000, /* RabbitMQ's handshake_timeout */
    IN_MAX = 4 * AMQ_FRAME_MAX,
    METHODS_MAX = 64 * 1024,
    SECOND_US = 1000 * 1000,
    KEEP_BYTES = 1024 * 1024
};

/* Against our own bugs only: what may wait is bounded by those who send. */
static const size_t BACKLOG_MAX = SIZE_MAX / 4;

/* ---- losing and gaining the connection ---- */

static void schedule(struct amq_link *l, const struct error *why);

void
link_enter(struct amq_link *l, enum link_phase phase)
{
    l->phase = phase;
    l->phase_us = clock_mono_us();
}

static void
tell_down(struct amq_link *l, const struct error *why)
{
    if (l->told)
        return;
    l->told = true;
    log_warning("amqp connection lost", "connection=%s reason=%s", l->name,
                why->text);
    l->ev.down(l->arg, why);
}

static void
reset(struct amq_link *l)
{
    l->generation++;
    stream_close(l->stream);
    l->stream = NULL;
    l->strikes = 0;
    l->in.len = 0;
    l->in.failed = false;
    uv_timer_stop(&l->tick);
    for (int c = 1; c <= AMQ_CHANNELS; c++) {
        link_channel_clear(&l->channels[c]);
        l->channels[c].method.failed = l->channels[c].head.failed = false;
        l->channels[c].phase = CHANNEL_CLOSED;
    }
}

/* Not the one that has just failed, if there is another. */
static size_t
next_broker(const struct amq_link *l)
{
    size_t count = l->brokers.count, step = 1;

    if (l->shuffle && count > 2)
        step = backoff_jitter(1, (uint32_t)count - 1);
    return (l->at + step) % count;
}

void
link_drop(struct amq_link *l, const struct error *why)
{
    unsigned generation;

    if (l->phase == LINK_CLOSED)
        return;
    if (l->phase == LINK_CLOSING) {
        link_finish(l);
        return;
    }
    reset(l);
    generation = l->generation;
    link_enter(l, LINK_WAIT);
    l->at = next_broker(l);
    tell_down(l, why);
    if (l->generation == generation && l->phase == LINK_WAIT)
        schedule(l, why);
}

void
link_all_open(struct amq_link *l)
{
    for (int c = 1; c <= AMQ_CHANNELS; c++)
        if (l->channels[c].phase != CHANNEL_UP)
            return;
    link_enter(l, LINK_UP);
    l->failures = 0;
    backoff_reset(&l->backoff);
    if (l->told)
        log_info("amqp connection is back", "connection=%s broker=%s:%d",
                 l->name, l->brokers.each[l->at].stream.host,
                 l->brokers.each[l->at].stream.port);
    l->told = false;
    l->ev.up(l->arg);
}

static void
on_connected(void *arg)
{
    link_greet(arg);
}

static void
on_data(void *arg, const char *p, size_t n)
{
    link_read(arg, (struct slice){p, n});
}

static void
on_stream_lost(void *arg, const struct error *why)
{
    struct amq_link *l = arg;

    l->stream = NULL; /* frees itself */
    link_drop(l, why);
}

/* ---- time ---- */

static void
beat(struct amq_link *l, uint64_t now)
{
    l->beat_us = now;
    l->out.len = 0;
    amq_frame_heartbeat(&l->out);
    if (!l->out.failed)
        stream_write(l->stream, (struct slice){l->out.data, l->out.len});
}

/* Silence counts only at the second look: when this process was stopped for a
 * while, what the broker has sent may be waiting in the socket. */
static void
on_tick(uv_timer_t *t)
{
    struct amq_link *l = t->data;
    uint64_t now = clock_mono_us();
    uint64_t limit = (uint64_t)l->heartbeat * 2 * SECOND_US,
             since = l->heard_us;
    struct error err;

    if (l->phase > LINK_CONNECT && l->phase < LINK_UP) {
        limit = LOGIN_US;
        since = l->phase_us;
    }
    if (limit > 0 && now > since && now - since > limit) {
        if (++l->strikes < 2)
            return;
        error_set(&err, ST_TIMEOUT, "%s:%d: nothing heard for %u s",
                  l->brokers.each[l->at].stream.host,
                  l->brokers.each[l->at].stream.port,
                  (unsigned)((now - since) / SECOND_US));
        link_drop(l, &err);
        return;
    }
    l->strikes = 0;
    if (l->phase >= LINK_UP && l->heartbeat > 0 &&
        now > l->beat_us + (uint64_t)l->heartbeat * SECOND_US / 2)
        beat(l, now);
}

static void
connect_now(struct amq_link *l)
{
    static const struct stream_events events = {on_connected, on_data,
                                                on_stream_lost};
    struct error err = {0};

    link_enter(l, LINK_CONNECT);
    l->frame_max = AMQ_FRAME_MAX;
    l->heartbeat = 0;
    if (stream_open(&l->stream, l->loop, &l->brokers.each[l->at].stream,
                    &events, l, &err) == ST_OK)
        uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
    else
        link_drop(l, &err);
}

static void
on_retry(uv_timer_t *t)
{
    connect_now(t->data);
}

static void
schedule(struct amq_link *l, const struct error *why)
{
    if (l->max_retries > 0 && l->failures >= l->max_retries) {
        l->ev.failed(l->arg, why);
        return;
    }
    l->failures++;
    uv_timer_start(&l->retry, on_retry, backoff_next_ms(&l->backoff), 0);
}

/* ---- the end ---- */

static void
on_handle_closed(uv_handle_t *h)
{
    struct amq_link *l = h->data;

    if (--l->handles > 0)
        return;
    if (l->closed != NULL)
        l->closed(l->closed_arg);
    for (int c = 1; c <= AMQ_CHANNELS; c++) {
        buf_fini(&l->channels[c].method);
        buf_fini(&l->channels[c].head);
    }
    empty_amqp_pool(&l->pool);
    buf_fini(&l->in);
    buf_fini(&l->out);
    amq_addresses_fini(&l->brokers);
    free(l);
}

void
link_finish(struct amq_link *l)
{
    if (l->phase == LINK_CLOSED)
        return;
    reset(l);
    link_enter(l, LINK_CLOSED);
    uv_close((uv_handle_t *)&l->retry, on_handle_closed);
    uv_close((uv_handle_t *)&l->tick, on_handle_closed);
}

static void
on_patience(uv_timer_t *t)
{
    link_finish(t->data);
}

void
amq_link_close(struct amq_link *l, uint32_t flush_ms, void (*closed)(void *arg),
               void *arg)
{
    amqp_connection_close_t close = {.reply_code = 200,
                                     .reply_text = amq_bytes("bye")};
    bool polite = l->phase == LINK_UP && flush_ms > 0;

    if (l->phase >= LINK_CLOSING)
        return;
    l->closed = closed;
    l->closed_arg = arg;
    if (polite)
        polite = link_send(l, 0, AMQP_CONNECTION_CLOSE_METHOD, &close) == ST_OK;
    link_enter(l, LINK_CLOSING);
    if (!polite) {
        link_finish(l);
        return;
    }
    uv_timer_start(&l->retry, on_patience, flush_ms, 0);
}

/* ---- sending ---- */

static enum status
flush_out(struct amq_link *l)
{
    enum status st = l->out.failed ? ST_TOOBIG : ST_OK;

    if (st == ST_OK)
        stream_write(l->stream, (struct slice){l->out.data, l->out.len});
    if (l->out.failed || l->out.cap > KEEP_BYTES)
        buf_fini(&l->out);
    return st;
}

enum status
link_send(struct amq_link *l, uint16_t channel, amqp_method_number_t id,
          void *fields)
{
    l->out.len = 0;
    amq_frame_method(&l->out, channel, id, fields);
    return flush_out(l);
}

bool
amq_link_up(const struct amq_link *l)
{
    return l->phase == LINK_UP;
}

bool
amq_link_channel_up(const struct amq_link *l, uint16_t channel)
{
    return l->phase == LINK_UP && l->channels[channel].phase == CHANNEL_UP;
}

enum status
amq_link_send(struct amq_link *l, uint16_t channel, amqp_method_number_t id,
              void *fields)
{
    if (!amq_link_channel_up(l, channel))
        return ST_LOST;
    return link_send(l, channel, id, fields);
}

enum status
amq_link_send_content(struct amq_link *l, uint16_t channel, void *publish,
                      struct slice head, struct slice body)
{
    if (!amq_link_channel_up(l, channel))
        return ST_LOST;
    if (head.len + AMQ_FRAME_OVERHEAD > l->frame_max)
        return ST_TOOBIG;
    l->out.len = 0;
    amq_frame_method(&l->out, channel, AMQP_BASIC_PUBLISH_METHOD, publish);
    amq_frame_content(&l->out, channel, head, body, l->frame_max);
    return flush_out(l);
}

enum status
amq_link_write(struct amq_link *l, uint16_t channel, struct slice frames)
{
    if (!amq_link_channel_up(l, channel))
        return ST_LOST;
    stream_write(l->stream, frames);
    return ST_OK;
}

void
amq_link_reopen(struct amq_link *l, uint16_t channel)
{
    amqp_channel_open_t open = {0};
    amqp_confirm_select_t confirm = {0};

    if (l->phase != LINK_UP || l->channels[channel].phase != CHANNEL_CLOSED)
        return;
    l->channels[channel].phase = CHANNEL_OPENING;
    (void)link_send(l, channel, AMQP_CHANNEL_OPEN_METHOD, &open);
    if (channel == 1 && l->confirm)
        (void)link_send(l, channel, AMQP_CONFIRM_SELECT_METHOD, &confirm);
}

void
amq_link_reconnect(struct amq_link *l, const char *why)
{
    struct error err;

    if (l->phase <= LINK_CONNECT || l->phase > LINK_UP)
        return;
    error_set(&err, ST_LOST, "amqp: %s", why);
    link_drop(l, &err);
}

size_t
amq_link_backlog(const struct amq_link *l)
{
    return l->stream == NULL ? 0 : stream_backlog(l->stream);
}

size_t
amq_link_frame_max(const struct amq_link *l)
{
    return l->frame_max;
}

uint64_t
amq_link_heard_us(const struct amq_link *l)
{
    return l->heard_us;
}

/* ---- opening ---- */

static void
set_up(struct amq_link *l, const struct amq_link_opts *o)
{
    for (size_t i = 0; i < l->brokers.count; i++) {
        l->brokers.each[i].stream.connect_timeout_ms = o->connect_timeout_ms;
        l->brokers.each[i].stream.max_backlog = BACKLOG_MAX;
    }
    (void)snprintf(l->name, sizeof l->name, "%s", o->name);
    l->want_heartbeat = o->heartbeat;
    l->max_retries = o->max_retries;
    l->shuffle = o->shuffle;
    l->confirm = o->confirm;
    l->backoff = (struct backoff){RETRY_MIN_MS, RETRY_MAX_MS, 0};
    l->frame_max = AMQ_FRAME_MAX;
    init_amqp_pool(&l->pool, POOL_PAGE);
    buf_init(&l->in, IN_MAX);
    buf_init(&l->out, BACKLOG_MAX);
    for (int c = 1; c <= AMQ_CHANNELS; c++) {
        buf_init(&l->channels[c].method, METHODS_MAX);
        buf_init(&l->channels[c].head, AMQ_FRAME_MAX);
    }
    uv_timer_init(l->loop, &l->retry);
    uv_timer_init(l->loop, &l->tick);
    l->retry.data = l->tick.data = l;
    l->handles = 2;
    /* From the loop, so that no event comes before this has returned. */
    uv_timer_start(&l->retry, on_retry, 0, 0);
}

enum status
amq_link_open(struct amq_link **out, uv_loop_t *loop,
              const struct amq_link_opts *o, const struct amq_link_events *ev,
              void *arg, struct error *err)
{
    struct amq_link *l = calloc(1, sizeof *l);
    enum status st;

    if (l == NULL)
        return error_set(err, ST_NOMEM, "no memory for a connection");
    st = amq_addresses_init(&l->brokers, o->urls, o->use_ssl, err);
    if (st != ST_OK) {
        free(l);
        return st;
    }
    l->loop = loop;
    l->ev = *ev;
    l->arg = arg;
    set_up(l, o);
    *out = l;
    return ST_OK;
}

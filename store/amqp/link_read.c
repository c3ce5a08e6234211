/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that come: cut, decoded, and put together to messages.  Each method is
 * decoded by itself, so one message that does not decode costs no connection.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/amqp/link_state.h"
#include "store/amqp/table.h"

enum { METHOD_ID = 4, KEEP_BYTES = 65536 };

static const uint64_t BODY_MAX = UINT64_C(512) << 20; /* RabbitMQ's own */

static enum status
decode(struct amq_link *l, struct slice payload, amqp_method_number_t *id,
       void **fields, struct error *err)
{
    struct slice s = {payload.ptr + METHOD_ID, payload.len - METHOD_ID};

    if (payload.len < METHOD_ID)
        return error_set(err, ST_PROTO, "a method of %zu bytes", payload.len);
    *id = amq_get32(payload.ptr);
    if (amqp_decode_method(*id, &l->pool, amq_bytes_of(s), fields) < 0)
        return error_set(err, ST_PROTO, "method %08x does not decode",
                         (unsigned)*id);
    return ST_OK;
}

/* ---- content ---- */

void
link_channel_clear(struct channel *c)
{
    free(c->body);
    c->body = NULL;
    c->body_len = c->body_size = 0;
    c->method.len = c->head.len = 0;
    c->has_method = c->has_head = false;
}

static enum status
complete(struct amq_link *l, uint16_t number, struct error *err)
{
    struct channel *c = &l->channels[number];
    struct amq_content content = {.head = {c->head.data, c->head.len},
                                  .body = c->body,
                                  .body_len = c->body_len};
    enum status st = decode(l, (struct slice){c->method.data, c->method.len},
                            &content.method, &content.fields, err);

    c->body = NULL;
    if (st == ST_OK)
        l->ev.content(l->arg, number, &content);
    free(content.body);
    link_channel_clear(c);
    return st;
}

static enum status
on_content_method(struct channel *c, struct slice payload, struct error *err)
{
    if (c->has_method)
        return error_set(err, ST_PROTO, "a method within a message");
    c->has_method = true;
    c->method.len = 0;
    buf_add(&c->method, payload);
    return c->method.failed ? ST_NOMEM : ST_OK;
}

static enum status
on_header(struct amq_link *l, const struct amq_frame *f, struct error *err)
{
    struct channel *c = &l->channels[f->channel];
    uint64_t size;

    if (!c->has_method || c->has_head || f->payload.len < AMQ_HEADER_FIXED)
        return error_set(err, ST_PROTO, "a header frame is not expected");
    c->has_head = true;
    c->head.len = 0;
    buf_add(&c->head, f->payload);
    size = amq_get64(f->payload.ptr + 4);
    c->body_size = (size_t)size;
    if (size <= BODY_MAX) {
        c->body = malloc((size_t)size + 1);
        if (c->body == NULL)
            return error_set(err, ST_NOMEM, "no memory for %llu bytes",
                             (unsigned long long)size);
        c->body[0] = '\0';
    }
    if (c->head.failed)
        return ST_NOMEM;
    return size == 0 ? complete(l, f->channel, err) : ST_OK;
}

static enum status
on_body(struct amq_link *l, const struct amq_frame *f, struct error *err)
{
    struct channel *c = &l->channels[f->channel];

    if (!c->has_head || f->payload.len > c->body_size - c->body_len)
        return error_set(err, ST_PROTO, "a body frame is not expected");
    if (c->body != NULL) {
        memcpy(c->body + c->body_len, f->payload.ptr, f->payload.len);
        c->body[c->body_len + f->payload.len] = '\0';
    }
    c->body_len += f->payload.len;
    return c->body_len == c->body_size ? complete(l, f->channel, err) : ST_OK;
}

/* ---- methods ---- */

static void
on_channel_close(struct amq_link *l, uint16_t number,
                 const amqp_channel_close_t *m)
{
    struct channel *c = &l->channels[number];
    amqp_channel_close_ok_t ok = {0};
    struct error err;

    (void)link_send(l, number, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    link_channel_clear(c);
    error_set(&err, ST_LOST, "the broker closes a channel: %.*s",
              (int)(m->reply_text.len < 180 ? m->reply_text.len : 180),
              (const char *)m->reply_text.bytes);
    if (l->phase != LINK_UP) { /* it cannot even be opened */
        link_drop(l, &err);
        return;
    }
    c->phase = CHANNEL_CLOSED;
    l->ev.channel_down(l->arg, number, m->reply_code, &err);
}

/* Channel 1 is open only when its confirms are on. */
static void
on_channel_open(struct amq_link *l, uint16_t number, bool confirming)
{
    struct channel *c = &l->channels[number];

    if (c->phase != CHANNEL_OPENING ||
        (number == 1 && l->confirm && !confirming))
        return;
    c->phase = CHANNEL_UP;
    if (l->phase == LINK_UP)
        l->ev.channel_up(l->arg, number);
    else if (l->phase == LINK_CHANNELS)
        link_all_open(l);
}

static enum status
on_channel_method(struct amq_link *l, const struct amq_frame *f,
                  struct error *err)
{
    struct channel *c = &l->channels[f->channel];
    amqp_method_number_t id = 0;
    void *fields = NULL;
    enum status st = decode(l, f->payload, &id, &fields, err);

    if (st != ST_OK || l->phase == LINK_CLOSING)
        return st;
    switch (id) {
    case AMQP_CHANNEL_OPEN_OK_METHOD:
    case AMQP_CONFIRM_SELECT_OK_METHOD:
        on_channel_open(l, f->channel, id == AMQP_CONFIRM_SELECT_OK_METHOD);
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        on_channel_close(l, f->channel, fields);
        break;
    case AMQP_BASIC_DELIVER_METHOD:
    case AMQP_BASIC_RETURN_METHOD:
        return on_content_method(c, f->payload, err);
    default:
        if (l->phase == LINK_UP && c->phase == CHANNEL_UP)
            l->ev.method(l->arg, f->channel, id, fields);
    }
    return ST_OK;
}

static enum status
on_connection_method(struct amq_link *l, const struct amq_frame *f,
                     struct error *err)
{
    amqp_method_number_t id = 0;
    void *fields = NULL;
    enum status st = decode(l, f->payload, &id, &fields, err);

    if (st == ST_OK)
        link_login(l, id, fields);
    return st;
}

static enum status
on_frame(struct amq_link *l, const struct amq_frame *f, struct error *err)
{
    if (f->type == AMQ_FRAME_HEARTBEAT)
        return ST_OK;
    if (f->channel > AMQ_CHANNELS)
        return error_set(err, ST_PROTO, "a frame for channel %u", f->channel);
    if (f->channel == 0 && f->type != AMQ_FRAME_METHOD)
        return error_set(err, ST_PROTO, "content for channel 0");
    if (f->channel == 0)
        return on_connection_method(l, f, err);
    if (f->type == AMQ_FRAME_METHOD)
        return on_channel_method(l, f, err);
    if (l->phase == LINK_CLOSING)
        return ST_OK;
    return f->type == AMQ_FRAME_HEADER ? on_header(l, f, err)
                                       : on_body(l, f, err);
}

/* ---- exported ---- */

/* Frames are taken from where they were read; only an incomplete one is kept.
 */
void
link_read(struct amq_link *l, struct slice bytes)
{
    unsigned generation = l->generation;
    struct error err = {0};
    struct slice in = bytes;
    struct amq_frame f;
    enum status st = ST_OK;

    l->heard_us = clock_mono_us();
    if (l->in.len > 0) {
        buf_add(&l->in, bytes);
        in = (struct slice){l->in.data, l->in.len};
    }
    while (st == ST_OK && !l->in.failed && l->generation == generation) {
        st = amq_frame_cut(&in, l->frame_max, &f, &err);
        if (st == ST_OK) {
            st = on_frame(l, &f, &err);
            recycle_amqp_pool(&l->pool);
        }
    }
    if (l->generation != generation)
        return;
    if (st == ST_AGAIN && in.len == 0) {
        l->in.len = 0;
        if (l->in.cap > KEEP_BYTES)
            buf_fini(&l->in);
    } else if (st == ST_AGAIN && l->in.len > 0) {
        memmove(l->in.data, in.ptr, in.len);
        l->in.len = in.len;
    } else if (st == ST_AGAIN) {
        buf_add(&l->in, in);
    }
    if (st == ST_AGAIN && !l->in.failed)
        return;
    if (err.code == ST_OK)
        error_set(&err, ST_NOMEM, "no memory for what the broker sends");
    link_drop(l, &err);
}

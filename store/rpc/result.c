/* SPDX-License-Identifier: Apache-2.0 */
/* The rpc backend: outcomes go as messages to the queue that the task's sender
 * reads (celery-wire.md 5.3).  Opening, closing, connections. */
#include "store/rpc/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/rpc/ops.h"

enum { LEAVE_MS = 1000 }; /* what a broker needs to close in order */

/* ---- the broker's events ---- */

static void
on_ready(void *arg)
{
    struct peer *p = arg;

    p->ready = true;
    rpc_answers_send(p->r);
}

static void
on_delivered(void *arg, const struct delivery *d)
{
    struct peer *p = arg;

    if (d->tag != 0)
        p->b->ops->settle(p->b, d->tag, VERDICT_ACK);
    if (d->msg != NULL && !p->r->closing)
        rpc_inbox_add(p->r, d->msg);
    else if (d->msg == NULL)
        log_warning("a reply is no message", "queue=%s", p->r->reply_to);
    message_free(d->msg);
}

static void
on_published(void *arg, void *cookie, enum status st)
{
    struct peer *p = arg;

    if (!p->r->finished)
        rpc_published(p->r, cookie, st);
}

static void
on_fanout(void *arg, struct slice exchange, struct message *msg)
{
    (void)arg; /* subscribes to none, but the message would be ours */
    (void)exchange;
    message_free(msg);
}

static void
on_lost(void *arg, const struct error *why, bool tags_void)
{
    struct peer *p = arg;

    (void)tags_void;
    if (p->ready)
        log_warning("result backend lost", "backend=rpc reason=%s", why->text);
    p->ready = false;
}

static void
on_failed(void *arg, const struct error *why)
{
    (void)arg;
    log_error("result backend given up", "backend=rpc reason=%s", why->text);
}

static const struct broker_events events = {.ready = on_ready,
                                            .delivered = on_delivered,
                                            .published = on_published,
                                            .fanout = on_fanout,
                                            .lost = on_lost,
                                            .failed = on_failed};

/* ---- connections ---- */

static struct peer *
open_peer(struct result_rpc *r, struct peer *p, const char *instance)
{
    const struct broker_opts o = {.url = r->config->broker_url,
                                  .config = r->config,
                                  .instance = instance};
    struct error err;

    if (p->b == NULL && !r->closing &&
        broker_open(&p->b, r->loop, &o, &events, p, &err) != ST_OK)
        log_error("the broker for results cannot be opened", "reason=%s",
                  err.text);
    return p->b != NULL ? p : NULL;
}

struct peer *
rpc_outgoing(struct result_rpc *r)
{
    if (r->receiver.b != NULL)
        return &r->receiver;
    return open_peer(r, &r->sender, NULL);
}

struct peer *
rpc_incoming(struct result_rpc *r)
{
    struct slice queue = {r->reply_to, ID_LEN};
    struct peer *p = &r->receiver;
    char instance[sizeof "reply/" + ID_LEN];
    struct error err;

    if (p->b != NULL)
        return p;
    (void)snprintf(instance, sizeof instance, "reply/%s", r->reply_to);
    if (open_peer(r, p, instance) == NULL)
        return NULL;
    if (p->b->ops->consume_replies(p->b, queue, r->config->result_expires,
                                   &err) != ST_OK)
        log_error("no reply queue", "reason=%s", err.text);
    p->b->ops->prefetch(p->b, KEPT_MAX);
    return p;
}

static const char *
reply_to(struct result *base)
{
    struct result_rpc *r = (struct result_rpc *)base;

    return rpc_incoming(r) != NULL ? r->reply_to : "";
}

static size_t
backlog(const struct result *base)
{
    return ((const struct result_rpc *)base)->answers;
}

/* Where nothing has been needed so far, nothing is missing. */
static bool
up(const struct result *base)
{
    const struct result_rpc *r = (const struct result_rpc *)base;

    return (r->sender.b == NULL || r->sender.ready) &&
           (r->receiver.b == NULL || r->receiver.ready);
}

/* ---- closing ---- */

static void
result_free(void *owner)
{
    struct result_rpc *r = owner;

    rpc_answers_free(r);
    rpc_inbox_free(r);
    map_fini(&r->by_id);
    free(r);
}

static void
close_peer(struct result_rpc *r, struct peer *p, uint32_t flush_ms)
{
    if (p->b == NULL)
        return;
    p->b->ops->close(p->b, p->ready ? flush_ms : 0, parts_gone,
                     parts_add(&r->to_close));
}

static void
finish(struct result_rpc *r)
{
    uint64_t now = clock_mono_us();
    uint32_t left = LEAVE_MS;

    if (r->finished)
        return;
    r->finished = true;
    if (r->end_us < now + LEAVE_MS * 1000)
        left = r->end_us > now ? (uint32_t)((r->end_us - now) / 1000) : 0;
    close_peer(r, &r->sender, left);
    close_peer(r, &r->receiver, left);
    parts_close_turn(&r->to_close, &r->turn);
    parts_close_handle(&r->to_close, (uv_handle_t *)&r->deadline);
}

void
rpc_progress(struct result_rpc *r)
{
    if (r->closing && !r->finished && r->answers == 0)
        finish(r);
}

static void
on_deadline(uv_timer_t *t)
{
    finish(t->data);
}

static void
on_turn(void *arg)
{
    struct result_rpc *r = arg;

    if (!r->finished)
        rpc_answers_turn(r);
    if (!r->closing)
        rpc_inbox_turn(r);
    rpc_progress(r);
}

static void
close_result(struct result *base, uint32_t flush_ms, void (*closed)(void *arg),
             void *arg)
{
    struct result_rpc *r = (struct result_rpc *)base;

    if (r->closing)
        return;
    r->closing = true;
    r->to_close = (struct parts){result_free, r, closed, arg, 0};
    r->end_us = clock_mono_us() + (uint64_t)flush_ms * 1000;
    if (flush_ms == 0) {
        finish(r);
        return;
    }
    uv_timer_start(&r->deadline, on_deadline, flush_ms, 0);
    turn_ask(&r->turn);
}

/* ---- opening ---- */

static enum status
open_result(struct result **out, uv_loop_t *loop, const char *url,
            const struct config *config, struct error *err)
{
    enum status st;
    struct result_rpc *r = calloc(1, sizeof *r);

    (void)url; /* the broker's is meant */
    if (r == NULL)
        return error_set(err, ST_NOMEM, "no memory for a result backend");
    st = content_find(slice_of(config->result_serializer), &r->content, err);
    if (st != ST_OK) {
        free(r);
        return st;
    }
    r->accept = *config->result_accept_content != '\0'
                    ? config->result_accept_content
                    : config->accept_content;
    r->base.ops = &rpc_result_ops;
    r->loop = loop;
    r->config = config;
    id_new(r->reply_to);
    r->sender.r = r->receiver.r = r;
    list_init(&r->waiting);
    list_init(&r->flying);
    list_init(&r->again);
    list_init(&r->ended);
    map_init(&r->by_id);
    list_init(&r->entries);
    list_init(&r->kept);
    list_init(&r->asked);
    list_init(&r->due);
    turn_init(&r->turn, loop, on_turn, r);
    uv_timer_init(loop, &r->deadline);
    r->deadline.data = r;
    *out = &r->base;
    return ST_OK;
}

const struct result_ops rpc_result_ops = {
    .scheme = "rpc",
    .open = open_result,
    .close = close_result,
    .put = rpc_put,
    .get = rpc_get,
    .watch = rpc_watch,
    .unwatch = rpc_unwatch,
    .forget = rpc_forget,
    .reply_to = reply_to,
    .backlog = backlog,
    .up = up,
};

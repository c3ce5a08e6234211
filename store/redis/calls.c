/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps commands until they are answered, over losses and transient errors. */
#include "store/redis/calls.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "base/list.h"
#include "base/log.h"

enum { KINDS = CALL_ONCE + 1, RETRY_MIN_MS = 50, RETRY_MAX_MS = 1000 };

struct call {
    struct list node; /* in q->waiting or q->flying */
    struct calls *q;
    uint64_t serial; /* the order of calls_send */
    enum call_kind kind;
    bool refused; /* the last answer was that it cannot be done now */
    call_fn *fn;
    void *arg;
    struct redis_cmd cmd;
    struct slice wire; /* in cmd */
};

struct calls {
    struct redis *client;
    struct calls_events ev;
    void *arg;
    struct list waiting, flying; /* each in the order of serial */
    size_t waiting_of[KINDS];
    size_t count, bytes;
    uint64_t serial;
    struct backoff backoff;
    uv_timer_t retry;
    size_t refused; /* calls that are */
    bool retrying;
    unsigned handles;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void
call_free(struct call *call)
{
    if (call->refused)
        call->q->refused--;
    call->q->count--;
    call->q->bytes -= call->wire.len;
    list_del(&call->node);
    redis_cmd_fini(&call->cmd);
    free(call);
}

static void
finish(struct call *call, enum status st, const struct redisReply *reply)
{
    call_fn *fn = call->fn;
    void *arg = call->arg;

    call_free(call);
    if (fn != NULL)
        fn(arg, st, reply);
}

/* Nearly always at the end. */
static void
park(struct call *call)
{
    struct list *at = call->q->waiting.prev;

    while (at != &call->q->waiting &&
           list_entry(at, struct call, node)->serial > call->serial)
        at = at->prev;
    list_del(&call->node);
    list_add_head(at, &call->node); /* after at */
    call->q->waiting_of[call->kind]++;
}

static void flush(struct calls *q);

static void
on_retry(uv_timer_t *t)
{
    struct calls *q = t->data;

    q->retrying = false;
    flush(q);
}

static void
retry_later(struct calls *q)
{
    if (q->retrying)
        return;
    q->retrying = true;
    uv_timer_start(&q->retry, on_retry, backoff_next_ms(&q->backoff), 0);
}

/* One line an outage, however many calls it meets. */
static void
refused(struct call *call, const struct error *err)
{
    struct calls *q = call->q;

    if (q->refused == 0)
        log_warning("redis refuses commands for now", "reason=%s", err->text);
    if (!call->refused)
        q->refused++;
    call->refused = true;
    park(call);
    retry_later(q);
}

static void
accepted(struct call *call)
{
    struct calls *q = call->q;

    if (!call->refused)
        return;
    call->refused = false;
    if (--q->refused > 0)
        return;
    backoff_reset(&q->backoff);
    log_info("redis does what it refused", NULL);
}

/* Who may not do something now may be allowed to later; only what must not be
 * sent twice in doubt is told at once. */
static bool
is_passing(const struct call *call, enum status st)
{
    return st == ST_BUSY || (st == ST_DENIED && call->kind != CALL_ONCE);
}

static void
on_answer(void *arg, const struct redisReply *reply, const struct error *why)
{
    struct call *call = arg;
    struct error err;
    enum status st;

    (void)why;
    if (reply == NULL) {
        if (call->kind == CALL_ONCE)
            finish(call, ST_LOST, NULL);
        else
            park(call);
        return;
    }
    st = redis_status(reply, &err);
    if (is_passing(call, st)) {
        refused(call, &err);
        return;
    }
    accepted(call);
    finish(call, st, reply);
}

/* Not sent: waits for the connection or, with one, for memory. */
static bool
transmit(struct call *call)
{
    if (redis_send_wire(call->q->client, call->wire, on_answer, call) !=
        ST_OK) {
        if (redis_up(call->q->client))
            retry_later(call->q);
        return false;
    }
    list_del(&call->node);
    list_add_tail(&call->q->flying, &call->node);
    return true;
}

static void
flush(struct calls *q)
{
    while (!list_empty(&q->waiting)) {
        struct call *call = list_entry(q->waiting.next, struct call, node);
        if (!transmit(call))
            return;
        q->waiting_of[call->kind]--;
    }
}

static void
on_up(void *arg)
{
    struct calls *q = arg;

    uv_timer_stop(&q->retry);
    q->retrying = false;
    flush(q);
    q->ev.up(q->arg);
}

static void
on_down(void *arg, const struct error *why)
{
    struct calls *q = arg;

    q->ev.down(q->arg, why);
}

static void
on_failed(void *arg, const struct error *why)
{
    struct calls *q = arg;

    if (q->ev.failed != NULL)
        q->ev.failed(q->arg, why);
}

static void
one_less(void *arg)
{
    struct calls *q = arg;

    if (--q->handles > 0)
        return;
    if (q->closed != NULL)
        q->closed(q->closed_arg);
    free(q);
}

static void
on_timer_closed(uv_handle_t *h)
{
    one_less(h->data);
}

static void
forget(struct list *calls)
{
    list_for_each_safe (n, calls)
        call_free(list_entry(n, struct call, node));
}

enum status
calls_open(struct calls **out, uv_loop_t *loop, const struct redis_opts *opts,
           const struct calls_events *ev, void *arg, struct error *err)
{
    static const struct redis_events events = {
        .up = on_up, .down = on_down, .failed = on_failed};
    struct calls *q = calloc(1, sizeof *q);
    enum status st;

    if (q == NULL)
        return error_set(err, ST_NOMEM, "no memory for a redis connection");
    st = redis_open(&q->client, loop, opts, &events, q, err);
    if (st != ST_OK) {
        free(q);
        return st;
    }
    q->ev = *ev;
    q->arg = arg;
    q->backoff = (struct backoff){RETRY_MIN_MS, RETRY_MAX_MS, 0};
    list_init(&q->waiting);
    list_init(&q->flying);
    uv_timer_init(loop, &q->retry);
    q->retry.data = q;
    q->handles = 2;
    *out = q;
    return ST_OK;
}

void
calls_close(struct calls *q, void (*closed)(void *arg), void *arg)
{
    q->closed = closed;
    q->closed_arg = arg;
    redis_close(q->client, one_less, q);
    forget(&q->waiting);
    forget(&q->flying);
    uv_close((uv_handle_t *)&q->retry, on_timer_closed);
}

enum status
calls_send(struct calls *q, enum call_kind kind, struct redis_cmd *cmd,
           call_fn *fn, void *arg)
{
    struct call *call = malloc(sizeof *call);
    struct slice wire;
    enum status st = redis_cmd_wire(cmd, &wire);

    if (call == NULL)
        st = ST_NOMEM;
    if (st != ST_OK) {
        redis_cmd_fini(cmd);
        free(call);
        return st;
    }
    *call = (struct call){.q = q,
                          .serial = ++q->serial,
                          .kind = kind,
                          .fn = fn,
                          .arg = arg,
                          .cmd = *cmd,
                          .wire = wire};
    *cmd = (struct redis_cmd){0};
    list_init(&call->node);
    q->count++;
    q->bytes += wire.len;
    if ((kind != CALL_REPEAT && q->waiting_of[kind] > 0) || !transmit(call))
        park(call);
    return ST_OK;
}

size_t
calls_count(const struct calls *q)
{
    return q->count;
}

size_t
calls_bytes(const struct calls *q)
{
    return q->bytes;
}

struct redis *
calls_client(struct calls *q)
{
    return q->client;
}

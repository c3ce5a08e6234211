/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis result backend: storing and reading (celery-wire.md 5.2). */
#include "store/redis/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/redis/layout.h"
#include "store/redis/ops.h"

enum {
    CALLS_MAX = 100000,
    BYTES_MAX = 64 * 1024 * 1024,
    DOCUMENT_MAX = 512 * 1024 * 1024 /* Redis' own limit of a value */
};

struct request {
    struct list node; /* in requests or failed */
    struct result_redis *r;
    result_fn *fn;
    void *arg;
    enum status st; /* in failed */
};

static struct request *
request_new(struct result_redis *r, result_fn *fn, void *arg)
{
    struct request *rq = calloc(1, sizeof *rq);

    if (rq == NULL)
        return NULL;
    *rq = (struct request){.r = r, .fn = fn, .arg = arg};
    list_init(&rq->node);
    list_add_tail(&r->requests, &rq->node);
    return rq;
}

static void
request_end(struct request *rq, enum status st, const struct task_state *ts)
{
    struct result_redis *r = rq->r;
    result_fn *fn = rq->fn;
    void *arg = rq->arg;

    list_del(&rq->node);
    free(rq);
    if (fn != NULL)
        fn(arg, st, ts);
    redis_result_progress(r);
}

/* Not before the call that failed has returned. */
static void
fail_later(struct request *rq, enum status st)
{
    struct result_redis *r = rq->r;

    rq->st = st;
    list_del(&rq->node);
    list_add_tail(&r->failed, &rq->node);
    turn_ask(&r->turn);
}

static void
on_turn(void *arg)
{
    struct result_redis *r = arg;
    struct list *n;

    while (!r->finished && (n = list_pop(&r->failed)) != NULL) {
        struct request *rq = list_entry(n, struct request, node);
        request_end(rq, rq->st, NULL);
    }
    redis_result_progress(r);
}

static void
on_done(void *arg, enum status st, const struct redisReply *reply)
{
    if (st != ST_OK && reply != NULL)
        log_error("the result backend refused", "reason=%s", reply->str);
    request_end(arg, st, NULL);
}

static void
on_got(void *arg, enum status st, const struct redisReply *reply)
{
    struct json_object *doc = NULL;
    struct task_state ts;
    struct error err;
    struct slice text;

    if (st != ST_OK) {
        on_done(arg, st, reply);
        return;
    }
    text = redis_str(reply);
    if (text.len == 0) { /* absent; kombu takes "" for absent too */
        request_end(arg, ST_OK, NULL);
        return;
    }
    st = state_read_any(text, ((struct request *)arg)->r->accept, &doc, &ts,
                        &err);
    if (st != ST_OK)
        log_warning("a stored result does not decode", "reason=%s", err.text);
    request_end(arg, st, st == ST_OK ? &ts : NULL);
    json_object_put(doc);
}

static void
send_with(struct result_redis *r, enum call_kind kind, struct redis_cmd *cmd,
          call_fn *answer, result_fn *fn, void *arg)
{
    struct request *rq = request_new(r, fn, arg);
    enum status st;

    if (rq == NULL) { /* nobody can be told */
        log_error("no memory to ask the result backend", NULL);
        redis_cmd_fini(cmd);
        return;
    }
    if (redis_result_full(r)) {
        redis_cmd_fini(cmd);
        fail_later(rq, ST_BUSY);
        return;
    }
    st = calls_send(r->calls, kind, cmd, answer, rq);
    if (st != ST_OK)
        fail_later(rq, st);
}

static void
put(struct result *base, const struct task_state *ts, result_fn *fn, void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct redis_cmd cmd;
    struct error err;
    struct buf doc;
    enum status st;

    buf_init(&doc, DOCUMENT_MAX);
    st = state_pack(ts, r->content, &doc, &err);
    if (st != ST_OK)
        log_error("a result cannot be written", "id=%.*s reason=%s",
                  (int)ts->id.len, ts->id.ptr, err.text);
    redis_cmd_init_script(&cmd, SCRIPT_PUT, 1);
    redis_result_key(r, &cmd, "task", ts->id, "");
    redis_cmd_int(&cmd, r->expires_s);
    redis_cmd_add(&cmd, (struct slice){doc.data, doc.len});
    if (st != ST_OK)
        cmd.wire.failed = true;
    buf_fini(&doc);
    redis_result_send(r, CALL_ORDERED, &cmd, fn, arg);
}

static void
get(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "GET");
    redis_result_key(r, &cmd, "task", id, "");
    send_with(r, CALL_REPEAT, &cmd, on_got, fn, arg);
}

static void
forget(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "DEL");
    redis_result_key(r, &cmd, "task", id, "");
    redis_result_send(r, CALL_ORDERED, &cmd, fn, arg);
}

static size_t
backlog(const struct result *base)
{
    return calls_count(((const struct result_redis *)base)->calls);
}

static bool
up(const struct result *base)
{
    return redis_up(calls_client(((const struct result_redis *)base)->calls));
}

/* ---- opening and closing ---- */

static void
free_requests(struct list *requests)
{
    struct list *n;

    while ((n = list_pop(requests)) != NULL)
        free(list_entry(n, struct request, node));
}

static void
result_free(void *owner)
{
    struct result_redis *r = owner;

    free_requests(&r->requests);
    free_requests(&r->failed);
    redis_parts_free(r);
    redis_groups_free(r);
    redis_watches_free(r);
    map_fini(&r->topics);
    free(r->url);
    free(r->prefix);
    free(r);
}

static void
finish(struct result_redis *r)
{
    struct parts *p = &r->to_close;

    if (r->finished)
        return;
    r->finished = true;
    calls_close(r->calls, parts_gone, parts_add(p));
    if (r->pubsub != NULL)
        redis_close(r->pubsub, parts_gone, parts_add(p));
    parts_close_turn(p, &r->turn);
    parts_close_handle(p, (uv_handle_t *)&r->deadline);
}

static void
on_deadline(uv_timer_t *t)
{
    finish(t->data);
}

static void
close_result(struct result *base, uint32_t flush_ms, void (*closed)(void *arg),
             void *arg)
{
    struct result_redis *r = (struct result_redis *)base;

    if (r->closing)
        return;
    r->closing = true;
    r->to_close = (struct parts){result_free, r, closed, arg, 0};
    if (flush_ms == 0) {
        finish(r);
        return;
    }
    uv_timer_start(&r->deadline, on_deadline, flush_ms, 0);
    turn_ask(&r->turn);
}

static void
on_up(void *arg)
{
    (void)arg;
}

static void
on_down(void *arg, const struct error *why)
{
    (void)arg;
    (void)why;
}

static enum status
open_result(struct result **out, uv_loop_t *loop, const char *url,
            const struct config *config, struct error *err)
{
    static const struct calls_events events = {.up = on_up, .down = on_down};
    struct redis_opts opts = {.url = url,
                              .config = config,
                              .role = REDIS_RESULT,
                              .name = "result",
                              .scripts = true};
    struct result_redis *r = calloc(1, sizeof *r);
    enum status st = ST_NOMEM;

    if (r == NULL)
        return error_set(err, ST_NOMEM, "no memory for a result backend");
    r->base.ops = &redis_result_ops;
    r->loop = loop;
    r->config = config;
    r->expires_s = config->result_expires;
    r->accept = *config->result_accept_content != '\0'
                    ? config->result_accept_content
                    : config->accept_content;
    map_init(&r->topics);
    list_init(&r->all_topics);
    list_init(&r->requests);
    list_init(&r->parts);
    list_init(&r->groups);
    list_init(&r->failed);
    r->url = strdup(url);
    if (r->url != NULL)
        st = redis_result_prefix(config->result_backend_transport_options,
                                 &r->prefix, err);
    if (st == ST_OK)
        st =
            content_find(slice_of(config->result_serializer), &r->content, err);
    if (st == ST_OK)
        st = calls_open(&r->calls, loop, &opts, &events, r, err);
    if (st != ST_OK) {
        result_free(r);
        return st;
    }
    turn_init(&r->turn, loop, on_turn, r);
    uv_timer_init(loop, &r->deadline);
    r->deadline.data = r;
    *out = &r->base;
    return ST_OK;
}

/* ---- exported ---- */

void
redis_result_key(const struct result_redis *r, struct redis_cmd *cmd,
                 const char *kind, struct slice id, const char *suffix)
{
    struct buf key;

    buf_init(&key, 64 * 1024);
    buf_addf(&key, "%scelery-%s-meta-", r->prefix, kind);
    buf_add(&key, id);
    buf_addf(&key, "%s", suffix);
    if (key.failed)
        cmd->wire.failed = true;
    redis_cmd_add(cmd, (struct slice){key.data, key.len});
    buf_fini(&key);
}

void
redis_result_send(struct result_redis *r, enum call_kind kind,
                  struct redis_cmd *cmd, result_fn *fn, void *arg)
{
    send_with(r, kind, cmd, on_done, fn, arg);
}

void
redis_result_refuse(struct result_redis *r, struct redis_cmd *cmd,
                    result_fn *fn, void *arg)
{
    struct request *rq = request_new(r, fn, arg);

    redis_cmd_fini(cmd);
    if (rq != NULL)
        fail_later(rq, ST_BUSY);
}

bool
redis_result_full(const struct result_redis *r)
{
    return calls_count(r->calls) >= CALLS_MAX ||
           calls_bytes(r->calls) >= BYTES_MAX;
}

void
redis_result_progress(struct result_redis *r)
{
    if (r->closing && !r->finished && calls_count(r->calls) == 0 &&
        list_empty(&r->failed))
        finish(r);
}

const struct result_ops redis_result_ops = {
    .scheme = "redis",
    .can = RESULT_KEEPS | RESULT_COUNTS_CHORDS | RESULT_SAVES_GROUPS,
    .open = open_result,
    .close = close_result,
    .put = put,
    .get = get,
    .watch = redis_watch,
    .unwatch = redis_unwatch,
    .forget = forget,
    .chord_size = redis_chord_size,
    .chord_part = redis_chord_part,
    .chord_done = redis_chord_done,
    .group_save = redis_group_save,
    .group_get = redis_group_get,
    .group_forget = redis_group_forget,
    .backlog = backlog,
    .up = up,
};

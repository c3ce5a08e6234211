/* SPDX-License-Identifier: Apache-2.0 */
/* Saved groups in kombu's own keys (celery-wire.md 5.5): {"result": tuple}. */
#include <stdlib.h>

#include "base/log.h"
#include "store/redis/result.h"

enum { GROUP_MAX = 512 * 1024 * 1024 };

struct group_call {
    struct list node; /* in groups */
    struct result_redis *r;
    result_group_fn *fn;
    void *arg;
};

static void
call_end(struct group_call *g, enum status st, struct json_object *tuple)
{
    struct result_redis *r = g->r;

    g->fn(g->arg, st, tuple);
    list_del(&g->node);
    free(g);
    redis_result_progress(r);
}

static void
on_got(void *arg, enum status st, const struct redisReply *reply)
{
    struct json_object *doc = NULL, *tuple = NULL;
    struct error err;

    if (st == ST_OK && redis_str(reply).len > 0) {
        struct slice text = redis_str(reply);
        st = content_decode(content_guess(text), text, &doc, &err);
        tuple = json_get(doc, "result");
        if (st == ST_OK && !json_object_is_type(tuple, json_type_array))
            st = error_set(&err, ST_PROTO, "it has no result tuple");
        if (st != ST_OK)
            log_error("a saved group does not decode", "reason=%s", err.text);
    }
    call_end(arg, st, st == ST_OK ? tuple : NULL);
    json_object_put(doc);
}

static void
on_refused(void *arg, enum status st, const struct task_state *ts)
{
    (void)ts;
    call_end(arg, st, NULL);
}

void
redis_group_save(struct result *base, struct slice id,
                 struct json_object *tuple, result_fn *fn, void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct json_object *o = json_object_new_object();
    struct redis_cmd cmd;
    struct error err;
    struct buf doc;
    enum status st;

    buf_init(&doc, GROUP_MAX);
    st = json_set(o, "result", json_object_get(tuple));
    if (st == ST_OK)
        st = content_encode(r->content, o, &doc, &err);
    redis_cmd_init_script(&cmd, SCRIPT_PUT, 1);
    redis_result_key(r, &cmd, "taskset", id, "");
    redis_cmd_int(&cmd, r->expires_s);
    redis_cmd_add(&cmd, (struct slice){doc.data, doc.len});
    if (st != ST_OK)
        cmd.wire.failed = true;
    buf_fini(&doc);
    json_object_put(o);
    redis_result_send(r, CALL_ORDERED, &cmd, fn, arg);
}

void
redis_group_get(struct result *base, struct slice id, result_group_fn *fn,
                void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct group_call *g = calloc(1, sizeof(*g));
    struct redis_cmd cmd;

    if (g == NULL) { /* nobody can be told */
        log_error("no memory to ask the result backend", NULL);
        return;
    }
    *g = (struct group_call){.r = r, .fn = fn, .arg = arg};
    list_add_tail(&r->groups, &g->node);
    redis_cmd_init(&cmd, "GET");
    redis_result_key(r, &cmd, "taskset", id, "");
    if (redis_result_full(r) ||
        calls_send(r->calls, CALL_REPEAT, &cmd, on_got, g) != ST_OK)
        redis_result_refuse(r, &cmd, on_refused, g);
}

void
redis_group_forget(struct result *base, struct slice id, result_fn *fn,
                   void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "DEL");
    redis_result_key(r, &cmd, "taskset", id, "");
    redis_result_send(r, CALL_ORDERED, &cmd, fn, arg);
}

void
redis_groups_free(struct result_redis *r)
{
    struct list *n;

    while ((n = list_pop(&r->groups)) != NULL)
        free(list_entry(n, struct group_call, node));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Chords in kombu's own keys (celery-wire.md 6.5). */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "store/redis/result.h"

enum { MEMBER_MAX = 512 * 1024 * 1024 };

typedef void part_fn(void *arg, enum status st, bool ready,
                     struct json_object *parts);

struct part {
    struct list node; /* in parts */
    struct result_redis *r;
    part_fn *fn;
    void *arg;
};

/* A member that makes no sense becomes null: the size stays right. */
static struct json_object *
read_parts(const struct redisReply *reply)
{
    struct json_object *parts = json_object_new_array();

    for (size_t i = 0; parts != NULL && i < reply->elements; i++) {
        struct json_object *part = NULL;
        struct error err;
        struct slice text = redis_str(reply->element[i]);
        if (content_decode(content_guess(text), text, &part, &err) != ST_OK)
            log_error("a chord's member does not decode", "reason=%s",
                      err.text);
        if (json_object_array_add(parts, part) != 0) {
            json_object_put(part);
            json_object_put(parts);
            parts = NULL;
        }
    }
    return parts;
}

static void
on_part(void *arg, enum status st, const struct redisReply *reply)
{
    struct part *p = arg;
    struct result_redis *r = p->r;
    struct json_object *parts = NULL;
    bool ready = st == ST_OK && reply->elements > 0;

    if (ready) {
        parts = read_parts(reply);
        if (parts == NULL)
            st = ST_NOMEM;
    }
    p->fn(p->arg, st, ready && st == ST_OK, parts);
    json_object_put(parts);
    list_del(&p->node);
    free(p);
    redis_result_progress(r);
}

/* Byte for byte as Python prints it: a member that a Python worker and we both
 * report must count once. */
static enum status
write_member(const struct result_redis *r, const struct task_state *ts,
             struct buf *out, struct error *err)
{
    struct json_object *result = NULL, *member = json_object_new_array();
    enum status st = member != NULL ? ST_OK : ST_NOMEM;

    if (st == ST_OK && ts->result_text.ptr != NULL)
        st = json_parse(ts->result_text, JSON_DEPTH, &result, err);
    else
        result = json_object_get(ts->result);
    if (st == ST_OK)
        st = json_append(member, json_object_new_int(1));
    if (st == ST_OK)
        st = json_append(member, json_new_str(ts->id));
    if (st == ST_OK)
        st = json_append(member, json_new_str(ts->status));
    if (st == ST_OK)
        st = result == NULL ? json_append_null(member)
                            : json_append(member, json_object_get(result));
    if (st == ST_OK)
        st = content_encode(r->content, member, out, err);
    json_object_put(result);
    json_object_put(member);
    return st;
}

static void
add_member(const struct result_redis *r, struct redis_cmd *cmd,
           const struct task_state *ts)
{
    struct error err = {.text = "out of memory"};
    struct buf text;

    buf_init(&text, MEMBER_MAX);
    if (write_member(r, ts, &text, &err) != ST_OK) {
        log_error("a chord's member cannot be written", "id=%.*s reason=%s",
                  (int)ts->id.len, ts->id.ptr, err.text);
        cmd->wire.failed = true;
    }
    redis_cmd_add(cmd, (struct slice){text.data, text.len});
    buf_fini(&text);
}

/* ---- answers that cannot be given at once ---- */

static void
on_refused(void *arg, enum status st, const struct task_state *ts)
{
    struct part *p = arg;

    (void)ts;
    p->fn(p->arg, st, false, NULL);
    list_del(&p->node);
    free(p);
}

void
redis_chord_size(struct result *base, struct slice group, int64_t size,
                 result_fn *fn, void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct redis_cmd cmd;

    redis_cmd_init_script(&cmd, SCRIPT_PUT, 1);
    redis_result_key(r, &cmd, "taskset", group, ".s");
    redis_cmd_int(&cmd, r->expires_s);
    redis_cmd_int(&cmd, size);
    redis_result_send(r, CALL_ORDERED, &cmd, fn, arg);
}

void
redis_chord_part(struct result *base, struct slice group, int64_t index,
                 const struct task_state *part, part_fn *fn, void *arg)
{
    static const char *const suffixes[] = {".j", ".t", ".s", ".c"};
    struct result_redis *r = (struct result_redis *)base;
    struct part *p = calloc(1, sizeof *p);
    struct redis_cmd cmd;

    if (p == NULL) {
        log_error("no memory for a chord's member", NULL);
        return;
    }
    *p = (struct part){.r = r, .fn = fn, .arg = arg};
    list_add_tail(&r->parts, &p->node);
    redis_cmd_init_script(&cmd, SCRIPT_PART, 4);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        redis_result_key(r, &cmd, "taskset", group, suffixes[i]);
    if (index < 0)
        redis_cmd_str(&cmd, "+inf");
    else
        redis_cmd_int(&cmd, index);
    add_member(r, &cmd, part);
    redis_cmd_int(&cmd, r->expires_s);
    redis_cmd_add(&cmd, part->id);
    if (redis_result_full(r) ||
        calls_send(r->calls, CALL_REPEAT, &cmd, on_part, p) != ST_OK)
        redis_result_refuse(r, &cmd, on_refused, p);
}

void
redis_chord_done(struct result *base, struct slice group)
{
    static const char *const suffixes[] = {".j", ".t", ".s", ".c"};
    struct result_redis *r = (struct result_redis *)base;
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "DEL");
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        redis_result_key(r, &cmd, "taskset", group, suffixes[i]);
    redis_result_send(r, CALL_REPEAT, &cmd, NULL, NULL);
}

void
redis_parts_free(struct result_redis *r)
{
    struct list *n;

    while ((n = list_pop(&r->parts)) != NULL)
        free(list_entry(n, struct part, node));
}

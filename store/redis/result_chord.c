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
        if (json_parse(redis_str(reply->element[i]), JSON_DEPTH, &part, &err) !=
            ST_OK)
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
static void
add_member(struct redis_cmd *cmd, const struct task_state *ts)
{
    struct json_object *result = NULL;
    struct buf text;

    buf_init(&text, MEMBER_MAX);
    buf_addf(&text, "[1, ");
    json_add_string(&text, ts->id);
    buf_addf(&text, ", ");
    json_add_string(&text, ts->status);
    buf_addf(&text, ", ");
    if (ts->result_text.ptr == NULL)
        json_add(&text, ts->result);
    else if (json_parse(ts->result_text, JSON_DEPTH, &result, NULL) == ST_OK)
        json_add(&text, result);
    else
        cmd->wire.failed = true;
    buf_addf(&text, "]");
    redis_cmd_add(cmd, (struct slice){text.data, text.len});
    if (text.failed)
        cmd->wire.failed = true;
    json_object_put(result);
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
    redis_result_key(&cmd, "taskset", group, ".s");
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
        redis_result_key(&cmd, "taskset", group, suffixes[i]);
    if (index < 0)
        redis_cmd_str(&cmd, "+inf");
    else
        redis_cmd_int(&cmd, index);
    add_member(&cmd, part);
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
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "DEL");
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        redis_result_key(&cmd, "taskset", group, suffixes[i]);
    redis_result_send((struct result_redis *)base, CALL_REPEAT, &cmd, NULL,
                      NULL);
}

void
redis_parts_free(struct result_redis *r)
{
    struct list *n;

    while ((n = list_pop(&r->parts)) != NULL)
        free(list_entry(n, struct part, node));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for results: one subscription an id, however many wait for it; a GET
 * after the subscription stands closes the gap before it. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/redis/result.h"

/* After the global_keyprefix. */
static const char channel_prefix[] = "celery-task-meta-";

struct topic {
    struct list node; /* in all_topics */
    struct result_redis *r;
    char *channel;
    struct slice id; /* in channel */
    struct list watches;
    bool getting; /* a GET is under way and will come here */
    bool again;   /* it was sent before the subscription stood */
    bool firing;
    bool dead; /* out of the map; freed when the GET has come back */
};

struct result_watch {
    struct list node; /* in topic->watches */
    struct topic *topic;
    result_fn *fn;
    void *arg;
};

static struct slice
channel_of(const struct topic *t)
{
    return (struct slice){t->channel, strlen(t->channel)};
}

static void
topic_free(struct topic *t)
{
    list_del(&t->node);
    free(t->channel);
    free(t);
}

static void
retire(struct topic *t)
{
    if (!t->dead) {
        t->dead = true;
        map_del(&t->r->topics, t->id);
        (void)redis_subscribe(t->r->pubsub, "UNSUBSCRIBE", channel_of(t));
    }
    if (!t->getting && !t->firing)
        topic_free(t);
}

/* Tells all who wait, if the state is final.  They may watch and unwatch. */
static void
fire(struct topic *t, struct slice document)
{
    struct json_object *doc = NULL;
    struct task_state ts;
    struct error err;
    struct list *n;

    if (document.len == 0 || t->dead)
        return;
    if (state_read_any(document, t->r->accept, &doc, &ts, &err) != ST_OK) {
        log_warning("a stored result does not decode", "id=%.*s reason=%s",
                    (int)t->id.len, t->id.ptr, err.text);
        return;
    }
    if (state_is_ready(ts.status)) {
        t->firing = true;
        retire(t);
        while (!t->r->finished && (n = list_pop(&t->watches)) != NULL) {
            struct result_watch *w = list_entry(n, struct result_watch, node);
            result_fn *fn = w->fn;
            void *arg = w->arg;
            free(w);
            fn(arg, ST_OK, &ts);
        }
        t->firing = false;
        retire(t);
    }
    json_object_put(doc);
}

static void fetch(struct topic *t);

static void
on_got(void *arg, enum status st, const struct redisReply *reply)
{
    struct topic *t = arg;
    struct result_redis *r = t->r;

    t->getting = false;
    if (t->again && !t->dead)
        fetch(t);
    if (t->dead)
        retire(t);
    else if (st == ST_OK)
        fire(t, redis_str(reply));
    redis_result_progress(r);
}

static void
fetch(struct topic *t)
{
    struct redis_cmd cmd;

    t->again = t->getting;
    if (t->getting)
        return;
    redis_cmd_init(&cmd, "GET");
    redis_cmd_add(&cmd, channel_of(t)); /* the channel is named as the key */
    if (calls_send(t->r->calls, CALL_REPEAT, &cmd, on_got, t) == ST_OK)
        t->getting = true;
}

static struct topic *
find(struct result_redis *r, const struct redisReply *channel)
{
    struct slice s = redis_str(channel);
    size_t n = strlen(r->prefix) + sizeof channel_prefix - 1;

    if (s.len <= n)
        return NULL;
    return map_find(&r->topics, (struct slice){s.ptr + n, s.len - n});
}

static void
on_push(void *arg, const struct redisReply *reply)
{
    struct result_redis *r = arg;
    struct slice kind;
    struct topic *t;

    if (reply->type == REDIS_REPLY_ERROR)
        log_warning("redis refuses a subscription", "reason=%s", reply->str);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return;
    kind = redis_str(reply->element[0]);
    t = find(r, reply->element[1]);
    if (t == NULL || kind.ptr == NULL)
        return;
    if (strcmp(kind.ptr, "subscribe") == 0)
        fetch(t);
    else if (strcmp(kind.ptr, "message") == 0)
        fire(t, redis_str(reply->element[2]));
}

static void
on_up(void *arg)
{
    struct result_redis *r = arg;

    list_for_each (n, &r->all_topics) {
        struct topic *t = list_entry(n, struct topic, node);
        if (!t->dead)
            (void)redis_subscribe(r->pubsub, "SUBSCRIBE", channel_of(t));
    }
}

static void
on_down(void *arg, const struct error *why)
{
    (void)arg;
    (void)why;
}

static bool
open_pubsub(struct result_redis *r)
{
    static const struct redis_events events = {
        .up = on_up, .down = on_down, .push = on_push};
    struct redis_opts opts = {.url = r->url,
                              .config = r->config,
                              .role = REDIS_RESULT,
                              .name = "result-pubsub",
                              .pubsub = true};
    struct error err;

    return r->pubsub != NULL ||
           redis_open(&r->pubsub, r->loop, &opts, &events, r, &err) == ST_OK;
}

static char *
name_channel(const struct result_redis *r, struct slice id)
{
    struct buf name;
    char *channel = NULL;

    buf_init(&name, 64 * 1024);
    buf_addf(&name, "%s%s", r->prefix, channel_prefix);
    buf_add(&name, id);
    return buf_take(&name, &channel, NULL) == ST_OK ? channel : NULL;
}

static struct topic *
topic_new(struct result_redis *r, struct slice id)
{
    struct topic *t = calloc(1, sizeof *t);
    size_t n = strlen(r->prefix) + sizeof channel_prefix - 1;

    if (t == NULL)
        return NULL;
    t->r = r;
    list_init(&t->node);
    list_init(&t->watches);
    t->channel = name_channel(r, id);
    if (t->channel == NULL)
        goto fail;
    t->id = (struct slice){t->channel + n, id.len};
    if (map_put(&r->topics, t->id, t) != ST_OK)
        goto fail;
    list_add_tail(&r->all_topics, &t->node);
    (void)redis_subscribe(r->pubsub, "SUBSCRIBE", channel_of(t));
    return t;
fail:
    topic_free(t);
    return NULL;
}

struct result_watch *
redis_watch(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    struct result_redis *r = (struct result_redis *)base;
    struct result_watch *w = calloc(1, sizeof *w);
    struct topic *t;

    if (w == NULL || !open_pubsub(r))
        goto fail;
    t = map_find(&r->topics, id);
    if (t == NULL)
        t = topic_new(r, id);
    if (t == NULL)
        goto fail;
    *w = (struct result_watch){.topic = t, .fn = fn, .arg = arg};
    list_add_tail(&t->watches, &w->node);
    return w;
fail:
    free(w);
    return NULL;
}

void
redis_unwatch(struct result *base, struct result_watch *w)
{
    struct topic *t = w->topic;

    (void)base;
    list_del(&w->node);
    free(w);
    if (list_empty(&t->watches) && !t->firing)
        retire(t);
}

void
redis_watches_free(struct result_redis *r)
{
    list_for_each_safe (n, &r->all_topics) {
        struct topic *t = list_entry(n, struct topic, node);
        list_for_each_safe (m, &t->watches)
            free(list_entry(m, struct result_watch, node));
        topic_free(t);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The response cache: what Redis does not answer in time is a miss. */
#include "store/redis/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "store/redis/client.h"
#include "store/redis/layout.h"

enum { PATIENCE_MS = 250 };

struct lookup {
    struct list node; /* in waiting, oldest first; in late after its time */
    struct cache *c;
    cache_fn *fn; /* NULL: has been told it is a miss */
    void *arg;
    uint64_t until_us;
    bool sent;
};

struct cache {
    char *prefix; /* global_keyprefix of results; "" */
    struct redis *client;
    struct list waiting, late;
    uv_timer_t timer;
    unsigned handles;
};

static void arm(struct cache *c);

static void
answer(struct lookup *l, struct slice value)
{
    cache_fn *fn = l->fn;

    l->fn = NULL;
    if (fn != NULL)
        fn(l->arg, value);
}

static void
lookup_free(struct lookup *l)
{
    list_del(&l->node);
    free(l);
}

/* The client answers each command that was sent once: then it may go. */
static void
on_got(void *arg, const struct redisReply *r, const struct error *why)
{
    struct lookup *l = arg;

    (void)why;
    list_del(&l->node);
    answer(l, r != NULL && r->type == REDIS_REPLY_STRING ? redis_str(r)
                                                         : (struct slice){0});
    free(l);
}

static void
on_timer(uv_timer_t *t)
{
    struct cache *c = t->data;
    uint64_t now = clock_mono_us();

    while (!list_empty(&c->waiting) && !uv_is_closing((uv_handle_t *)t)) {
        struct lookup *l = list_entry(c->waiting.next, struct lookup, node);
        if (l->sent && l->until_us > now)
            break;
        list_del(&l->node);
        if (l->sent)
            list_add_tail(&c->late, &l->node);
        answer(l, (struct slice){0});
        if (!l->sent)
            free(l);
    }
    arm(c);
}

static void
arm(struct cache *c)
{
    const struct lookup *l;
    uint64_t now = clock_mono_us(), ms = 0;

    if (list_empty(&c->waiting) || uv_is_closing((uv_handle_t *)&c->timer))
        return;
    l = list_entry(c->waiting.next, struct lookup, node);
    if (l->sent && l->until_us > now)
        ms = (l->until_us - now) / 1000 + 1;
    uv_timer_start(&c->timer, on_timer, ms, 0);
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

static void
one_less(void *arg)
{
    struct cache *c = arg;

    if (--c->handles > 0)
        return;
    list_for_each_safe (n, &c->waiting)
        lookup_free(list_entry(n, struct lookup, node));
    list_for_each_safe (n, &c->late)
        lookup_free(list_entry(n, struct lookup, node));
    free(c->prefix);
    free(c);
}

static void
on_timer_closed(uv_handle_t *h)
{
    one_less(h->data);
}

static void
add_key(const struct cache *c, struct redis_cmd *cmd, struct slice key)
{
    struct buf name;

    buf_init(&name, 64 * 1024);
    buf_addf(&name, "%slovage.cache.", c->prefix);
    buf_add(&name, key);
    if (name.failed)
        cmd->wire.failed = true;
    redis_cmd_add(cmd, (struct slice){name.data, name.len});
    buf_fini(&name);
}

enum status
cache_open(struct cache **out, uv_loop_t *loop, const char *url,
           const struct config *config, struct error *err)
{
    static const struct redis_events events = {.up = on_up, .down = on_down};
    struct redis_opts opts = {
        .url = url, .config = config, .role = REDIS_RESULT, .name = "cache"};
    struct cache *c = calloc(1, sizeof *c);
    enum status st;

    if (c == NULL)
        return error_set(err, ST_NOMEM, "no memory for a cache");
    st = redis_result_prefix(config->result_backend_transport_options,
                             &c->prefix, err);
    if (st == ST_OK)
        st = redis_open(&c->client, loop, &opts, &events, c, err);
    if (st != ST_OK) {
        free(c->prefix);
        free(c);
        return st;
    }
    list_init(&c->waiting);
    list_init(&c->late);
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->handles = 2;
    *out = c;
    return ST_OK;
}

bool
cache_takes(const char *url)
{
    return strncmp(url, "redis", 5) == 0 || strncmp(url, "socket:", 7) == 0 ||
           strncmp(url, "sentinel:", 9) == 0;
}

void
cache_close(struct cache *c)
{
    if (c == NULL)
        return;
    redis_close(c->client, one_less, c);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

void
cache_get(struct cache *c, struct slice key, cache_fn *fn, void *arg)
{
    struct lookup *l = calloc(1, sizeof *l);
    struct redis_cmd cmd;

    if (l == NULL) {
        log_error("no memory to ask the cache", NULL);
        return;
    }
    *l = (struct lookup){.c = c, .fn = fn, .arg = arg};
    redis_cmd_init(&cmd, "GET");
    add_key(c, &cmd, key);
    l->until_us = clock_mono_us() + PATIENCE_MS * 1000;
    l->sent = redis_send(c->client, &cmd, on_got, l) == ST_OK;
    if (l->sent)
        list_add_tail(&c->waiting, &l->node);
    else
        list_add_head(&c->waiting, &l->node);
    arm(c);
}

void
cache_put(struct cache *c, struct slice key, struct slice value, int64_t ttl_s)
{
    struct redis_cmd cmd;

    if (ttl_s <= 0 || redis_pending(c->client) > 10000)
        return;
    redis_cmd_init(&cmd, "SETEX");
    add_key(c, &cmd, key);
    redis_cmd_int(&cmd, ttl_s);
    redis_cmd_add(&cmd, value);
    (void)redis_send(c->client, &cmd, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A result backend under test and the record of what it told; Redis as its
 * server. */
#include "tests/support/result_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tests/support/loop.h"
#include "tests/support/pg_server.h"
#include "tests/support/redis_server.h"

struct goal {
    const int *value;
    int count;
};

static bool
reached(void *arg)
{
    struct goal *g = arg;

    return *g->value >= g->count;
}

static void
on_closed(void *arg)
{
    struct result_rig *r = arg;

    r->r = NULL;
}

static bool
is_closed(void *arg)
{
    return ((struct result_rig *)arg)->r == NULL;
}

static bool
is_up(void *arg)
{
    const struct result_rig *r = arg;

    return r->r->ops->up(r->r);
}

void
result_rig_init(struct result_rig *r, const struct result_impl *impl)
{
    struct error err;

    memset(r, 0, sizeof *r);
    r->impl = impl;
    cr_assert_eq(uv_loop_init(&r->loop), 0);
    cr_assert_eq(config_init(&r->config, &err), ST_OK, "%s", err.text);
    r->server = impl->start();
    result_rig_open(r);
}

void
result_rig_fini(struct result_rig *r)
{
    if (r->r != NULL)
        result_rig_close(r, 2000);
    loop_end(&r->loop);
    config_fini(&r->config);
    r->impl->stop(r->server);
}

bool
result_rig_can(struct result_rig *r, unsigned what)
{
    if ((result_can(r->r) & what) != 0)
        return true;
    result_rig_fini(r);
    return false;
}

void
result_rig_open(struct result_rig *r)
{
    const char *where = r->impl->url(r->server);
    struct error err = {0};

    if (r->impl->rpc) {
        free(r->config.broker_url);
        r->config.broker_url = strdup(where);
        where = "rpc://";
    }
    cr_assert_eq(result_open(&r->r, &r->loop, where, &r->config, &err), ST_OK,
                 "%s", err.text);
    (void)result_reply_to(r->r);
    if (!r->impl->rpc)
        cr_assert(loop_until(&r->loop, is_up, r, 10000), "does not connect");
}

void
result_rig_close(struct result_rig *r, uint32_t flush_ms)
{
    r->r->ops->close(r->r, flush_ms, on_closed, r);
    cr_assert(loop_until(&r->loop, is_closed, r, (int)flush_ms + 3000),
              "does not close");
}

void
result_rig_note(void *arg, enum status st, const struct task_state *ts)
{
    struct result_rig *r = arg;
    char *text;

    r->calls++;
    r->status = st;
    r->text[0] = '\0';
    if (ts == NULL)
        return;
    text = json_text(ts->result);
    (void)snprintf(r->text, sizeof r->text, "%.*s %s", (int)ts->status.len,
                   ts->status.ptr, text);
    free(text);
}

void
result_rig_part(void *arg, enum status st, bool ready,
                struct json_object *parts)
{
    struct result_rig *r = arg;
    char *text = json_text(parts);

    r->parts++;
    r->status = st;
    r->part_ready = ready;
    (void)snprintf(r->part_text, sizeof r->part_text, "%s", text);
    free(text);
}

void
result_rig_group(void *arg, enum status st, struct json_object *tuple)
{
    result_rig_part(arg, st, tuple != NULL, tuple);
}

bool
result_rig_wait(struct result_rig *r, int calls, int ms)
{
    struct goal g = {&r->calls, calls};

    return loop_until(&r->loop, reached, &g, ms);
}

bool
result_rig_wait_parts(struct result_rig *r, int parts, int ms)
{
    struct goal g = {&r->parts, parts};

    return loop_until(&r->loop, reached, &g, ms);
}

void
result_rig_run(struct result_rig *r, int ms)
{
    loop_until(&r->loop, NULL, NULL, ms);
}

/* ---- Redis ---- */

static void *
start(void)
{
    static const char *const flags[] = {"--appendonly", "yes", "--appendfsync",
                                        "always", NULL};

    return redis_server_new(flags);
}

static void
stop(void *server)
{
    redis_server_free(server);
}

static const char *
url(void *server)
{
    return redis_server_url(server);
}

static void
down(void *server, bool is_down)
{
    if (is_down)
        redis_server_kill(server);
    else
        redis_server_start(server);
}

static void
cut(void *server)
{
    free(redis_server_ask(server, "CLIENT KILL TYPE normal SKIPME yes"));
    free(redis_server_ask(server, "CLIENT KILL TYPE pubsub SKIPME yes"));
}

const struct result_impl result_impl_redis = {.name = "redis",
                                              .start = start,
                                              .stop = stop,
                                              .url = url,
                                              .down = down,
                                              .cut = cut};

const struct result_impl result_impl_rpc_redis = {.name = "rpc over redis",
                                                  .start = start,
                                                  .stop = stop,
                                                  .url = url,
                                                  .down = down,
                                                  .cut = cut,
                                                  .rpc = true};
/* ---- PostgreSQL ---- */

struct pg {
    struct pg_server *server;
    char url[512];
};

static void *
pg_start(void)
{
    struct pg *pg = calloc(1, sizeof(*pg));

    cr_assert_not_null(pg);
    pg->server = pg_server_new(false);
    (void)snprintf(pg->url, sizeof(pg->url), "db+%s",
                   pg_server_url(pg->server));
    return pg;
}

static void
pg_stop(void *server)
{
    struct pg *pg = server;

    pg_server_free(pg->server);
    free(pg);
}

static const char *
pg_url(void *server)
{
    return ((struct pg *)server)->url;
}

static void
pg_down(void *server, bool is_down)
{
    struct pg *pg = server;

    if (is_down)
        pg_server_crash(pg->server);
    else
        pg_server_start(pg->server);
}

static void
pg_cut(void *server)
{
    struct pg *pg = server;

    pg_server_run(pg->server,
                  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                  "WHERE pid <> pg_backend_pid() AND datname IS NOT NULL");
}

struct pg_server *
result_rig_pg(struct result_rig *r)
{
    return ((struct pg *)r->server)->server;
}

const struct result_impl result_impl_pg = {.name = "db",
                                           .start = pg_start,
                                           .stop = pg_stop,
                                           .url = pg_url,
                                           .down = pg_down,
                                           .cut = pg_cut};

/* SPDX-License-Identifier: Apache-2.0 */
/* Redis as the contract suite's server. */
#include "tests/support/broker_impl_redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/redis_server.h"

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

static const char *
wrong_url(void *server)
{
    static char text[128];

    free(redis_server_ask(server, "CONFIG SET requirepass secret"));
    (void)snprintf(text, sizeof text, "redis://:wrong@127.0.0.1:%d/0",
                   redis_server_port(server));
    redis_server_auth(server, "secret");
    return text;
}

static void
restart(void *server)
{
    redis_server_kill(server);
    redis_server_start(server);
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

static void
freeze(void *server, bool frozen)
{
    redis_server_freeze(server, frozen);
}

static void
inject(void *server, const char *queue, const char *bytes)
{
    free(
        redis_server_do(server, (const char *[]){"LPUSH", queue, bytes, NULL}));
}

const struct broker_impl broker_impl_redis = {
    .name = "redis",
    .start = start,
    .stop = stop,
    .url = url,
    .wrong_url = wrong_url,
    .restart = restart,
    .down = down,
    .cut = cut,
    .freeze = freeze,
    .inject = inject,
    .tags_void = false,
    .restarts = 10,
};

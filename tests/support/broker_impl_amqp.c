/* SPDX-License-Identifier: Apache-2.0 */
/* RabbitMQ as the contract suite's server. */
#include "tests/support/broker_impl_amqp.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/rabbit_server.h"
#include "tests/support/result_rig.h"

struct server {
    struct tcp_proxy *proxy;
    char url[128], wrong_url[128];
    bool frozen;
};

static void *
start(void)
{
    struct server *s = calloc(1, sizeof *s);
    int port;

    if (s == NULL)
        abort();
    rabbit_server_clean();
    s->proxy = tcp_proxy_new(rabbit_server_port());
    port = tcp_proxy_port(s->proxy);
    (void)snprintf(s->url, sizeof s->url, "amqp://guest:guest@127.0.0.1:%d//",
                   port);
    (void)snprintf(s->wrong_url, sizeof s->wrong_url,
                   "amqp://guest:wrong@127.0.0.1:%d//", port);
    return s;
}

static void
freeze(void *server, bool frozen)
{
    struct server *s = server;

    s->frozen = frozen;
    rabbit_server_tell(frozen ? "freeze" : "thaw");
}

static void
stop(void *server)
{
    struct server *s = server;

    if (s->frozen)
        freeze(s, false);
    tcp_proxy_free(s->proxy);
    free(s);
}

static const char *
url(void *server)
{
    return ((struct server *)server)->url;
}

static const char *
wrong_url(void *server)
{
    return ((struct server *)server)->wrong_url;
}

static void
restart(void *server)
{
    (void)server;
    rabbit_server_tell("restart");
}

static void
down(void *server, bool is_down)
{
    tcp_proxy_down(((struct server *)server)->proxy, is_down);
}

static void
cut(void *server)
{
    tcp_proxy_cut(((struct server *)server)->proxy);
}

static void
inject(void *server, const char *queue, const char *bytes)
{
    (void)server;
    rabbit_server_inject(queue, bytes);
}

struct tcp_proxy *
broker_impl_amqp_proxy(void *server)
{
    return ((struct server *)server)->proxy;
}

const struct broker_impl broker_impl_amqp = {
    .name = "amqp",
    .start = start,
    .stop = stop,
    .url = url,
    .wrong_url = wrong_url,
    .restart = restart,
    .down = down,
    .cut = cut,
    .freeze = freeze,
    .inject = inject,
    .tags_void = true,
    .restarts = 2,
};

const struct result_impl result_impl_rpc_amqp = {.name = "rpc over amqp",
                                                 .start = start,
                                                 .stop = stop,
                                                 .url = url,
                                                 .down = down,
                                                 .cut = cut,
                                                 .rpc = true,
                                                 .queue_dies = true};

/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to whatever sentinels say is the master.  They are asked before
 * each attempt to connect, and twice a second afterwards: a master that hangs,
 * that is cut off from the rest or that has handed over is left as soon as
 * another has been chosen.  (Sentinel makes a replica of a master that can
 * still be reached only after eight seconds; what is written there until then
 * is lost.) */
#include "store/redis/client_state.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_MS = 500 };

static void
on_master(void *arg, const char *host, int port, const struct error *why)
{
    struct redis *c = arg;
    struct error err;

    if (c->phase == PHASE_FIND && host == NULL) {
        redis_drop(c, why);
    } else if (c->phase == PHASE_FIND) {
        (void)snprintf(c->host, sizeof c->host, "%s", host);
        c->port = port;
        c->addr.stream.host = c->host;
        c->addr.stream.port = port;
        redis_connect(c);
    } else if (host != NULL && c->phase != PHASE_WAIT &&
               (port != c->port || strcmp(host, c->host) != 0)) {
        (void)error_set(&err, ST_LOST, "%.80s:%d is the master now", host,
                        port);
        redis_drop(c, &err);
    }
}

static void
on_watch(uv_timer_t *t)
{
    struct redis *c = t->data;

    if (c->phase == PHASE_CONNECT || c->phase == PHASE_LOGIN ||
        c->phase == PHASE_UP)
        sentinel_ask(c->sentinel);
}

enum status
redis_master_open(struct redis *c, struct error *err)
{
    enum status st =
        sentinel_open(&c->sentinel, c->loop, &c->addr, on_master, c, err);

    if (st != ST_OK)
        return st;
    uv_timer_init(c->loop, &c->watch);
    c->watch.data = c;
    uv_timer_start(&c->watch, on_watch, LOOK_MS, LOOK_MS);
    return ST_OK;
}

void
redis_master_find(struct redis *c)
{
    c->phase = PHASE_FIND;
    sentinel_ask(c->sentinel);
}

void
redis_master_stop(struct redis *c)
{
    if (c->sentinel != NULL)
        sentinel_stop(c->sentinel);
}

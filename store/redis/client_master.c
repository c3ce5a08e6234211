/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to whatever sentinels say is the master.  They are asked before
 * each attempt to connect, and from time to time afterwards: more often when
 * the master does not answer, so that one that hangs, or that is cut off from
 * the rest, is left as soon as another has been chosen. */
#include "store/redis/client_state.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    LOOK_MS = 1000,
    SILENT_US = 1000000, /* then it is asked at each look */
    ROUTINE_US = 5000000
};

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

static bool
is_silent(const struct redis *c, uint64_t now)
{
    uint64_t since = c->count > 0 ? c->ring[c->head].sent_us : c->ping_us;

    return c->phase != PHASE_UP || (since != 0 && now > since + SILENT_US);
}

static void
on_watch(uv_timer_t *t)
{
    struct redis *c = t->data;
    uint64_t now = clock_mono_us();

    if (c->phase != PHASE_CONNECT && c->phase != PHASE_LOGIN &&
        c->phase != PHASE_UP)
        return;
    if (!is_silent(c, now) && now < c->asked_us + ROUTINE_US)
        return;
    c->asked_us = now;
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
    c->asked_us = clock_mono_us();
    sentinel_ask(c->sentinel);
}

void
redis_master_stop(struct redis *c)
{
    if (c->sentinel != NULL)
        sentinel_stop(c->sentinel);
}

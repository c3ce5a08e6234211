/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { TICK_MS = 50, FLUSH_MS = 2000 };

static void
on_ready(void *arg)
{
    struct client *k = arg;

    k->ready = true;
}

static void
on_delivered(void *arg, const struct delivery *d)
{
    struct client *k = arg;

    k->delivered(k->arg, d);
}

static void
on_published(void *arg, void *cookie, enum status st)
{
    struct client *k = arg;

    (void)cookie;
    k->published = true;
    k->published_st = st;
}

static void
on_fanout(void *arg, struct slice exchange, struct message *msg)
{
    (void)arg;
    (void)exchange;
    message_free(msg);
}

static void
on_lost(void *arg, const struct error *why, bool tags_void)
{
    struct client *k = arg;

    (void)tags_void;
    k->ready = false;
    k->why = *why;
}

static void
on_failed(void *arg, const struct error *why)
{
    struct client *k = arg;

    k->why = *why;
    k->gave_up = true;
}

static void
on_tick(uv_timer_t *timer)
{
    (void)timer; /* client_run() looks at the clock */
}

static void
on_closed(void *arg)
{
    struct client *k = arg;

    k->closing--;
}

static bool
all_up(const struct client *k)
{
    return (k->broker == NULL || k->ready) &&
           (k->result == NULL || k->result->ops->up(k->result));
}

/* Says which service is away, once it has been for too long. */
static enum status
check_services(struct client *k, struct error *err)
{
    uint64_t now = clock_mono_us();

    if (all_up(k)) {
        k->down_us = 0;
        return ST_OK;
    }
    if (k->down_us == 0)
        k->down_us = now;
    if (!k->gave_up && now - k->down_us < CLIENT_PATIENCE * 1000000u)
        return ST_OK;
    if (k->broker != NULL && !k->ready)
        return error_set(err, ST_LOST, "no connection to the broker: %s",
                         k->why.text[0] ? k->why.text : "no answer");
    return error_set(err, ST_LOST, "no connection to the result backend");
}

enum status
client_run(struct client *k, const bool *done, double timeout_s,
           struct error *err)
{
    uint64_t end = clock_mono_us() + (uint64_t)(timeout_s * 1e6);
    enum status st = ST_OK;

    while (!*done && st == ST_OK) {
        uv_run(&k->loop, UV_RUN_ONCE);
        if (*done)
            break;
        st = check_services(k, err);
        if (st == ST_OK && timeout_s > 0 && clock_mono_us() >= end)
            st = error_set(err, ST_TIMEOUT, "not done in %g s", timeout_s);
    }
    return st;
}

enum status
client_open(struct client *k, const struct config *config, unsigned what,
            struct error *err)
{
    static const struct broker_events events = {
        .ready = on_ready,
        .delivered = on_delivered,
        .published = on_published,
        .fanout = on_fanout,
        .lost = on_lost,
        .failed = on_failed,
    };
    char instance[ID_LEN + 1];
    struct broker_opts opts = {
        .url = config->broker_url,
        .config = config,
        .instance = k->delivered != NULL ? instance : NULL,
    };
    enum status st = ST_OK;

    id_new(instance);
    if (topology_new(&k->topology, config, err) != ST_OK)
        return err->code;
    opts.topology = k->topology;
    if (uv_loop_init(&k->loop) != 0)
        return error_set(err, ST_NOMEM, "no event loop");
    uv_timer_init(&k->loop, &k->tick);
    uv_timer_start(&k->tick, on_tick, TICK_MS, TICK_MS);
    if (what & CLIENT_RESULT)
        st = result_open(&k->result, &k->loop, config->result_backend, config,
                         err);
    if (st == ST_OK && (what & CLIENT_RESULT) && k->result == NULL)
        st = error_set(err, ST_INVALID,
                       "result_backend is not set (LOVAGE_RESULT_BACKEND)");
    (void)result_reply_to(k->result); /* it gets what it needs for that */
    if (st == ST_OK && (what & CLIENT_BROKER))
        st = broker_open(&k->broker, &k->loop, &opts, &events, k, err);
    while (st == ST_OK && k->broker != NULL && !all_up(k)) {
        uv_run(&k->loop, UV_RUN_ONCE);
        st = check_services(k, err);
    }
    return st;
}

enum status
client_publish(struct client *k, const struct message *m, struct error *err)
{
    enum status st;

    k->published = false;
    st = k->broker->ops->publish(k->broker, m, NULL, err);
    if (st == ST_OK)
        st = client_run(k, &k->published, 0, err);
    if (st == ST_OK && k->published_st != ST_OK)
        st = error_set(err, k->published_st, "not published: %s",
                       status_text(k->published_st));
    return st;
}

void
client_close(struct client *k)
{
    if (k->tick.loop == NULL) { /* client_open() was not called, or no loop */
        topology_free(k->topology);
        return;
    }
    if (k->broker != NULL) {
        k->closing++;
        k->broker->ops->close(k->broker, FLUSH_MS, on_closed, k);
    }
    if (k->result != NULL) {
        k->closing++;
        k->result->ops->close(k->result, FLUSH_MS, on_closed, k);
    }
    while (k->closing > 0)
        uv_run(&k->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&k->tick, NULL);
    uv_run(&k->loop, UV_RUN_DEFAULT);
    uv_loop_close(&k->loop);
    topology_free(k->topology);
}

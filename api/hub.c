/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's thread: its loop, its connections, its queue, its end. */
#include "api/hub_loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

enum { SWEEP_MS = 5000, FIRST_SWEEP_MS = 200 };

/* ---- the queue, on the loop ---- */

/* Between TAKEN and STARTED the thread keeps the arguments alive. */
static void
start_call(struct hub *h, struct call *c)
{
    bool abandoned;

    pthread_mutex_lock(&c->lock);
    abandoned = c->abandoned;
    c->state = CALL_TAKEN;
    pthread_mutex_unlock(&c->lock);
    if (abandoned) {
        call_finish(c, ST_TIMEOUT);
        return;
    }
    call_hold(c); /* run() may finish it at once */
    c->run(h, c);
    pthread_mutex_lock(&c->lock);
    if (c->state == CALL_TAKEN)
        c->state = CALL_STARTED;
    if (c->abandoned)
        pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    call_drop(c);
}

static void
take_all(struct list *out, struct list *from)
{
    while (!list_empty(from))
        list_add_tail(out, list_pop(from));
}

static void
take_calls(struct hub *h)
{
    struct list batch, cancels;

    list_init(&batch);
    list_init(&cancels);
    pthread_mutex_lock(&h->lock);
    take_all(&batch, &h->queue);
    take_all(&cancels, &h->cancels);
    pthread_mutex_unlock(&h->lock);
    while (!list_empty(&batch))
        start_call(h, list_entry(list_pop(&batch), struct call, node));
    while (!list_empty(&cancels)) {
        struct call *c =
            list_entry(list_pop(&cancels), struct call, cancel_node);

        c->cancel(h, c);
        call_drop(c);
    }
}

/* ---- the end: relay, broker, result backend, records, in this order; what
 * was never opened is passed over ---- */

static void
records_closed(void *arg)
{
    struct hub *h = arg;

    uv_close((uv_handle_t *)&h->wake, NULL);
    uv_close((uv_handle_t *)&h->sweep, NULL);
    uv_close((uv_handle_t *)&h->look, NULL);
}

static void
result_closed(void *arg)
{
    struct hub *h = arg;

    if (h->records == NULL)
        records_closed(h);
    else
        records_close(h->records, h->flush_ms, records_closed, h);
}

static void
broker_closed(void *arg)
{
    struct hub *h = arg;
    struct result *result = h->result;

    h->result = NULL; /* the records may yet answer who would ask it */
    if (result == NULL)
        result_closed(h);
    else
        result->ops->close(result, h->flush_ms, result_closed, h);
}

static void
relay_closed(void *arg)
{
    struct hub *h = arg;

    if (h->broker == NULL)
        broker_closed(h);
    else
        h->broker->ops->close(h->broker, h->flush_ms, broker_closed, h);
}

static void
close_clients(struct hub *h)
{
    struct relay *relay = h->relay;

    if (h->closed)
        return;
    h->closed = true;
    h->relay = NULL;
    uv_timer_stop(&h->sweep);
    uv_timer_stop(&h->look);
    if (relay == NULL)
        relay_closed(h);
    else
        relay_close(relay, relay_closed, h);
}

void
hub_wake(struct hub *h)
{
    (void)!eventfd_write(h->wake_fd, 1);
}

static void
on_wake(uv_poll_t *wake, int status, int events)
{
    struct hub *h = wake->data;
    eventfd_t count;
    bool closing;

    (void)status;
    (void)events;
    (void)!eventfd_read(h->wake_fd, &count);
    take_calls(h);
    pthread_mutex_lock(&h->lock);
    closing = h->closing;
    pthread_mutex_unlock(&h->lock);
    if (closing)
        close_clients(h);
}

static void
on_sweep(uv_timer_t *timer)
{
    hub_sweep(timer->data);
}

/* ---- the broker's events ---- */

static void
on_ready(void *arg)
{
    struct hub *h = arg;

    h->broker_up = true;
    log_info("broker connected", NULL);
    if (h->relay != NULL)
        relay_ready(h->relay);
}

static void
on_published(void *arg, void *cookie, enum status st)
{
    struct hub *h = arg;

    if (h->relay != NULL)
        (void)relay_published(h->relay, cookie, st);
}

static void
on_lost(void *arg, const struct error *why, bool tags_void)
{
    struct hub *h = arg;

    (void)tags_void; /* nothing is consumed here */
    if (h->broker_up)
        log_warning("broker lost", "error=%s", why->text);
    h->broker_up = false;
    if (h->relay != NULL)
        relay_lost(h->relay);
}

static void
on_failed(void *arg, const struct error *why)
{
    (void)arg;
    log_error("broker given up", "error=%s", why->text);
}

static void
on_delivered(void *arg, const struct delivery *d)
{
    (void)arg; /* never consumes, but the message would be ours */
    message_free(d->msg);
}

static void
on_fanout(void *arg, struct slice exchange, struct message *msg)
{
    (void)arg;
    (void)exchange;
    message_free(msg);
}

static const struct broker_events events = {.ready = on_ready,
                                            .delivered = on_delivered,
                                            .published = on_published,
                                            .fanout = on_fanout,
                                            .lost = on_lost,
                                            .failed = on_failed};

/* ---- open and close ---- */

static void *
thread_main(void *arg)
{
    struct hub *h = arg;

    uv_run(&h->loop, UV_RUN_DEFAULT);
    return NULL;
}

static enum status
open_clients(struct hub *h, struct error *err)
{
    struct broker_opts opts = {.url = h->config->broker_url,
                               .config = h->config,
                               .topology = h->topology};
    enum status st;

    st = records_open(&h->records, &h->loop, h->config, err);
    if (st == ST_OK)
        st = result_open(&h->result, &h->loop, h->config->result_backend,
                         h->config, err);
    if (st == ST_OK)
        st = broker_open(&h->broker, &h->loop, &opts, &events, h, err);
    if (st == ST_OK)
        st = relay_open(&h->relay, &h->loop, h->records, h->broker, err);
    if (st == ST_OK)
        h->reply_to = result_reply_to(h->result);
    return st;
}

/* Signals are the main thread's business. */
static enum status
start_thread(struct hub *h, struct error *err)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    rc = pthread_create(&h->thread, NULL, thread_main, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? ST_OK : error_set(err, ST_NOMEM, "cannot start a thread");
}

static enum status
open_loop(struct hub *h, struct error *err)
{
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->wake_fd < 0)
        return error_set(err, ST_NOMEM, "cannot make an eventfd");
    if (uv_loop_init(&h->loop) != 0) {
        close(h->wake_fd);
        return error_set(err, ST_NOMEM, "cannot make an event loop");
    }
    uv_poll_init(&h->loop, &h->wake, h->wake_fd);
    h->wake.data = h;
    uv_poll_start(&h->wake, UV_READABLE, on_wake);
    uv_timer_init(&h->loop, &h->sweep);
    h->sweep.data = h;
    uv_timer_start(&h->sweep, on_sweep, FIRST_SWEEP_MS, SWEEP_MS);
    uv_timer_init(&h->loop, &h->look);
    h->look.data = h;
    return ST_OK;
}

static void
free_hub(struct hub *h)
{
    uv_loop_close(&h->loop);
    topology_free(h->topology);
    close(h->wake_fd);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

enum status
hub_open(struct hub **out, const struct config *config, struct error *err)
{
    struct hub *h = calloc(1, sizeof(*h));
    enum status st;

    if (h == NULL)
        return error_set(err, ST_NOMEM, "no memory for the hub");
    pthread_mutex_init(&h->lock, NULL);
    list_init(&h->queue);
    list_init(&h->cancels);
    list_init(&h->waits);
    h->config = config;
    h->outbox_depth = -1;
    st = topology_new(&h->topology, config, err);
    if (st == ST_OK)
        st = open_loop(h, err);
    if (st != ST_OK) {
        topology_free(h->topology);
        free(h);
        return st;
    }
    st = open_clients(h, err);
    if (st == ST_OK)
        st = start_thread(h, err);
    if (st == ST_OK) {
        *out = h;
        return ST_OK;
    }
    close_clients(h);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    free_hub(h);
    return st;
}

void
hub_close(struct hub *h, uint32_t flush_ms)
{
    pthread_mutex_lock(&h->lock);
    h->closing = true;
    h->flush_ms = flush_ms;
    pthread_mutex_unlock(&h->lock);
    hub_wake(h);
    pthread_join(h->thread, NULL);
    free_hub(h);
}

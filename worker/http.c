/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP engine: libcurl's multi interface driven by libuv.
 *
 * Curl tells which sockets it wants watched and when it wants to be woken; we
 * tell it what happened.  Calls wait in our own queue and not in curl's,
 * because there the waiting would count against their timeouts, and are started
 * in slices, because starting a thousand at once blocks the loop for 80 ms.
 * Easy handles are used again, and there is room to keep as many connections as
 * calls may run: with less, curl closes and opens one for nearly every call. */
#include "worker/http.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/turn.h"
#include "worker/http_call.h"

enum {
    START_SLICE = 50, /* calls started in one turn of the loop */
    TICK_MS = 100,    /* how exactly first-byte timeouts are kept */
    H2_STREAMS_MAX = 1000
};

struct http {
    uv_loop_t *loop;
    CURLM *multi;           /* NULL: nothing was called yet */
    uv_timer_t timer;       /* curl's */
    uv_timer_t tick;        /* for the first-byte timeouts */
    struct turn start, now; /* now: curl's timer, when it is for at once */
    struct list waiting, running;
    size_t max_calls, waiting_count, running_count;
    CURL **idle; /* easy handles to use again: at most max_calls */
    size_t idle_count;
    unsigned handles; /* open uv handles that hold us */
    bool draining;    /* callbacks are being made: not the time to clean up */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct watch { /* one socket of curl's */
    uv_poll_t poll;
    struct http *http;
    curl_socket_t fd;
};

/* ---- the end of the engine ---- */

static void
release(struct http *h)
{
    if (--h->handles > 0)
        return;
    if (h->closed != NULL)
        h->closed(h->closed_arg);
    for (size_t i = 0; i < h->idle_count; i++)
        curl_easy_cleanup(h->idle[i]);
    if (h->multi != NULL)
        curl_global_cleanup();
    free(h->idle);
    free(h);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void
on_turn_closed(void *arg)
{
    release(arg);
}

/* ---- calls that end ---- */

static void update_tick(struct http *h);

/* Takes c out of curl and keeps its handle. */
static void
detach(struct http_call *c)
{
    struct http *h = c->http;

    list_del(&c->node);
    if (c->easy == NULL) {
        h->waiting_count--;
        return;
    }
    curl_multi_remove_handle(h->multi, c->easy);
    curl_easy_reset(c->easy);
    h->idle[h->idle_count++] = c->easy;
    c->easy = NULL;
    h->running_count--;
    if (h->waiting_count > 0)
        turn_ask(&h->start);
    update_tick(h);
}

static void
finish(struct http_call *c, CURLcode code)
{
    struct http_response r;

    http_call_result(c, code, &r);
    detach(c);
    c->fn(c->arg, &r);
    http_call_free(c);
}

static void
clean_up(struct http *h)
{
    curl_multi_cleanup(h->multi); /* gives its sockets back */
    uv_close((uv_handle_t *)&h->timer, on_handle_closed);
    uv_close((uv_handle_t *)&h->tick, on_handle_closed);
    turn_close(&h->start, on_turn_closed);
    turn_close(&h->now, on_turn_closed);
}

/* Callbacks may make and cancel calls and close the engine. */
static void
begin_callbacks(struct http *h)
{
    h->draining = true;
}

static void
end_callbacks(struct http *h)
{
    h->draining = false;
    if (h->closing)
        clean_up(h);
}

static void
drain(struct http *h)
{
    CURLMsg *msg;
    int left;

    begin_callbacks(h);
    while (!h->closing &&
           (msg = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct http_call *c = NULL;

        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &c);
        finish(c, msg->data.result);
    }
    end_callbacks(h);
}

/* ---- what curl wants ---- */

static void
act(struct http *h, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(h->multi, fd, what, &running);
    drain(h);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    int what = 0;

    if (status < 0)
        what = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    act(w->http, w->fd, what);
}

static void
on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;

    release(w->http);
    free(w);
}

static struct watch *
watch_new(struct http *h, curl_socket_t fd)
{
    struct watch *w = calloc(1, sizeof(*w));

    if (w == NULL || uv_poll_init_socket(h->loop, &w->poll, fd) != 0) {
        free(w);
        return NULL;
    }
    w->poll.data = w;
    w->http = h;
    w->fd = fd;
    h->handles++;
    curl_multi_assign(h->multi, fd, w);
    return w;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch)
{
    struct http *h = arg;
    struct watch *w = watch;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            curl_multi_assign(h->multi, fd, NULL);
            uv_poll_stop(&w->poll); /* now: curl closes the socket next */
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        }
        return 0;
    }
    if (w == NULL)
        w = watch_new(h, fd);
    if (w == NULL) /* not watched: the call's timeouts end it */
        return 0;
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    uv_poll_start(&w->poll, events, on_poll);
    return 0;
}

static void
on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_now(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_curl_timer(CURLM *multi, long wait_ms, void *arg)
{
    struct http *h = arg;

    (void)multi;
    if (h->closing)
        return 0;
    if (wait_ms > 0) {
        uv_timer_start(&h->timer, on_timer, (uint64_t)wait_ms, 0);
        return 0;
    }
    uv_timer_stop(&h->timer);
    if (wait_ms == 0)
        turn_ask(&h->now); /* curl must not be called back from here */
    return 0;
}

/* ---- first-byte timeouts ---- */

static bool
is_late(const struct http_call *c, uint64_t now_us)
{
    return c->first_byte_timeout_ms > 0 && c->first_byte_us == 0 &&
           now_us - c->started_us > (uint64_t)c->first_byte_timeout_ms * 1000;
}

/* A call was made late by the callback of another: look again from the start,
 * as the list may have changed. */
static struct http_call *
find_late(struct http *h)
{
    uint64_t now_us = clock_mono_us();

    list_for_each (n, &h->running) {
        struct http_call *c = list_entry(n, struct http_call, node);

        if (is_late(c, now_us))
            return c;
    }
    return NULL;
}

static void
on_tick(uv_timer_t *tick)
{
    struct http *h = tick->data;
    struct http_call *c;

    begin_callbacks(h);
    while (!h->closing && (c = find_late(h)) != NULL)
        finish(c, CURLE_OPERATION_TIMEDOUT);
    end_callbacks(h);
}

/* The tick runs while calls do, so that an idle node sleeps. */
static void
update_tick(struct http *h)
{
    if (h->closing)
        return;
    if (h->running_count == 0)
        uv_timer_stop(&h->tick);
    else if (!uv_is_active((uv_handle_t *)&h->tick))
        uv_timer_start(&h->tick, on_tick, TICK_MS, TICK_MS);
}

/* ---- calls that start ---- */

static CURL *
take_easy(struct http *h)
{
    return h->idle_count > 0 ? h->idle[--h->idle_count] : curl_easy_init();
}

/* ST_OK: it runs.  Otherwise it still counts as waiting. */
static enum status
start_call(struct http *h, struct http_call *c)
{
    CURL *easy = take_easy(h);
    enum status st;

    if (easy == NULL)
        return ST_NOMEM;
    st = http_call_prepare(c, easy);
    if (st == ST_OK && curl_multi_add_handle(h->multi, easy) != CURLM_OK)
        st = ST_NOMEM;
    if (st != ST_OK) {
        curl_easy_cleanup(easy);
        return st;
    }
    c->easy = easy;
    c->started_us = clock_mono_us();
    list_del(&c->node);
    list_add_tail(&h->running, &c->node);
    h->waiting_count--;
    h->running_count++;
    update_tick(h);
    return ST_OK;
}

static enum status
set_up_multi(struct http *h)
{
    CURLM *m = h->multi;

    if (curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
        curl_multi_setopt(m, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
        curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_curl_timer) !=
            CURLM_OK ||
        curl_multi_setopt(m, CURLMOPT_TIMERDATA, h) != CURLM_OK ||
        curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)h->max_calls) !=
            CURLM_OK ||
        curl_multi_setopt(m, CURLMOPT_MAX_CONCURRENT_STREAMS,
                          (long)H2_STREAMS_MAX) != CURLM_OK)
        return ST_INVALID;
    return ST_OK;
}

/* Curl is begun by the first call: with OpenSSL's share it is 3 MiB, which a
 * node that calls nobody does not need. */
static enum status
begin_curl(struct http *h)
{
    if (h->multi != NULL)
        return ST_OK;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return ST_NOMEM;
    h->multi = curl_multi_init();
    if (h->multi != NULL && set_up_multi(h) == ST_OK)
        return ST_OK;
    curl_multi_cleanup(h->multi);
    h->multi = NULL;
    curl_global_cleanup();
    return ST_NOMEM;
}

static void
on_start(void *arg)
{
    struct http *h = arg;

    begin_callbacks(h);
    for (int i = 0; i < START_SLICE && !h->closing &&
                    !list_empty(&h->waiting) && h->running_count < h->max_calls;
         i++) {
        struct http_call *c =
            list_entry(h->waiting.next, struct http_call, node);

        if (begin_curl(h) != ST_OK || start_call(h, c) != ST_OK)
            finish(c, CURLE_FAILED_INIT);
    }
    if (!h->closing && h->waiting_count > 0 && h->running_count < h->max_calls)
        turn_ask(&h->start);
    end_callbacks(h);
}

/* ---- exported ---- */

enum status
http_open(struct http **out, uv_loop_t *loop, size_t max_calls,
          struct error *err)
{
    struct http *h;

    if (max_calls == 0)
        return error_set(err, ST_INVALID, "http: room for no calls");
    h = calloc(1, sizeof(*h));
    if (h == NULL)
        return error_set(err, ST_NOMEM, "http: out of memory");
    h->idle = calloc(max_calls, sizeof(CURL *));
    if (h->idle == NULL) {
        free(h);
        return error_set(err, ST_NOMEM, "http: out of memory");
    }
    h->loop = loop;
    h->max_calls = max_calls;
    list_init(&h->waiting);
    list_init(&h->running);
    uv_timer_init(loop, &h->timer); /* cannot fail */
    uv_timer_init(loop, &h->tick);
    h->timer.data = h->tick.data = h;
    turn_init(&h->start, loop, on_start, h);
    turn_init(&h->now, loop, on_now, h);
    h->handles = 4;
    *out = h;
    return ST_OK;
}

void
http_close(struct http *h, void (*closed)(void *arg), void *arg)
{
    if (h->closing)
        return;
    h->closed = closed;
    h->closed_arg = arg;
    while (!list_empty(&h->running))
        http_cancel(list_entry(h->running.next, struct http_call, node));
    while (!list_empty(&h->waiting))
        http_cancel(list_entry(h->waiting.next, struct http_call, node));
    h->closing = true;
    uv_timer_stop(&h->timer);
    if (!h->draining)
        clean_up(h);
}

enum status
http_call(struct http *h, const struct http_request *rq, http_fn *fn, void *arg,
          struct http_call **out)
{
    struct http_call *c;

    if (h->closing)
        return ST_LOST;
    c = http_call_new(rq);
    if (c == NULL)
        return ST_NOMEM;
    c->http = h;
    c->fn = fn;
    c->arg = arg;
    list_add_tail(&h->waiting, &c->node);
    h->waiting_count++;
    if (h->running_count < h->max_calls)
        turn_ask(&h->start);
    *out = c;
    return ST_OK;
}

void
http_cancel(struct http_call *c)
{
    detach(c);
    http_call_free(c);
}

size_t
http_active(const struct http *h)
{
    return h->running_count + h->waiting_count;
}

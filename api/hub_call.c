/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from request threads to the hub's loop: the hand-over.
 *
 * A call is held by the thread and by the loop, and freed by the last of them,
 * because a thread may stop waiting (its client went away, the deadline came)
 * while the loop still waits for a server.  Its arguments belong to the thread:
 * so the thread does not leave while run() is using them. */
#include "api/hub_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum {
    CALLS_MAX = 4096, /* waiting at once */
    LOOK_MS = 250     /* how often a waiting thread asks gone() */
};

struct call *
call_new(struct hub *h, void (*run)(struct hub *, struct call *))
{
    struct call *c = calloc(1, sizeof(*c));
    pthread_condattr_t attr;

    if (c == NULL)
        return NULL;
    c->hub = h;
    c->run = run;
    c->holders = 1;
    list_init(&c->node);
    list_init(&c->cancel_node);
    list_init(&c->wait_node);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    return c;
}

void
call_hold(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    c->holders++;
    pthread_mutex_unlock(&c->lock);
}

void
call_drop(struct call *c)
{
    bool last;

    pthread_mutex_lock(&c->lock);
    last = --c->holders == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c->rows);
    message_free(c->message);
    free(c->outcome.block);
    free(c);
}

void
call_finish(struct call *c, enum status st)
{
    pthread_mutex_lock(&c->hub->lock);
    c->hub->calls--;
    pthread_mutex_unlock(&c->hub->lock);
    pthread_mutex_lock(&c->lock);
    c->state = CALL_DONE;
    c->st = st;
    pthread_mutex_unlock(&c->lock);
    /* After the unlock, or the thread would wake only to wait for the lock; c
     * is still held by the loop. */
    pthread_cond_signal(&c->changed);
    call_drop(c);
}

static enum status
enqueue(struct call *c)
{
    struct hub *h = c->hub;
    enum status st = ST_OK;
    bool first = false;

    pthread_mutex_lock(&h->lock);
    if (h->closing || h->calls >= CALLS_MAX) {
        st = ST_BUSY;
    } else {
        h->calls++;
        c->holders++;
        first = list_empty(&h->queue); /* else the loop knows already */
        list_add_tail(&h->queue, &c->node);
    }
    pthread_mutex_unlock(&h->lock);
    if (first)
        hub_wake(h);
    return st;
}

/* Waits for the call to change, until deadline_us. */
static void
wait_change(struct call *c, uint64_t until_us)
{
    struct timespec ts = {.tv_sec = (time_t)(until_us / 1000000),
                          .tv_nsec = (long)(until_us % 1000000) * 1000};

    pthread_cond_timedwait(&c->changed, &c->lock, &ts);
}

/* With the lock held.  Stops waiting without an answer. */
static enum status
leave(struct call *c, enum status st)
{
    c->abandoned = true;
    while (c->state == CALL_TAKEN)
        pthread_cond_wait(&c->changed, &c->lock);
    return c->state == CALL_DONE ? c->st : st;
}

enum status
call_make(struct call *c, uint64_t deadline_us, bool (*gone)(void *arg),
          void *arg)
{
    enum status st = enqueue(c);

    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&c->lock);
    while (c->state != CALL_DONE) {
        uint64_t now = clock_mono_us(), until = deadline_us;

        if (now >= deadline_us || (gone != NULL && gone(arg))) {
            st = leave(c, now >= deadline_us ? ST_TIMEOUT : ST_LOST);
            pthread_mutex_unlock(&c->lock);
            return st;
        }
        if (gone != NULL && until - now > LOOK_MS * UINT64_C(1000))
            until = now + LOOK_MS * UINT64_C(1000);
        wait_change(c, until);
    }
    st = c->st;
    pthread_mutex_unlock(&c->lock);
    return st;
}

void
call_cancel(struct call *c)
{
    struct hub *h = c->hub;

    call_hold(c);
    pthread_mutex_lock(&h->lock);
    list_add_tail(&h->cancels, &c->cancel_node);
    pthread_mutex_unlock(&h->lock);
    hub_wake(h);
}

/* ---- rows ---- */

static size_t
row_bytes(const struct records_row *r)
{
    return r->id.len + r->name.len + r->description.len + r->task.len +
           r->args.len + r->kwargs.len + r->queue.len + r->status.len +
           r->result.len + r->error.len + r->traceback.len + r->worker.len +
           r->model.len;
}

static void
move(struct slice *s, char **at)
{
    if (s->ptr == NULL)
        return;
    memcpy(*at, s->ptr, s->len);
    s->ptr = *at;
    *at += s->len;
}

static void
move_row(struct records_row *r, char **at)
{
    struct slice *const all[] = {
        &r->id,        &r->name,   &r->description, &r->task,   &r->args,
        &r->kwargs,    &r->queue,  &r->status,      &r->result, &r->error,
        &r->traceback, &r->worker, &r->model};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        move(all[i], at);
}

struct hub_rows *
hub_rows_copy(const struct records_row *rows, size_t n, int64_t total)
{
    struct hub_rows *out;
    size_t size = sizeof(*out) + n * sizeof(rows[0]);
    char *at;

    for (size_t i = 0; i < n; i++)
        size += row_bytes(&rows[i]);
    out = malloc(size);
    if (out == NULL)
        return NULL;
    out->total = total;
    out->count = n;
    at = (char *)&out->rows[n];
    for (size_t i = 0; i < n; i++) {
        out->rows[i] = rows[i];
        move_row(&out->rows[i], &at);
    }
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From a task that a client wants to its row and its message. */
#include "api/submission.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/rows.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/envelope.h"
#include "protocol/task.h"

enum {
    MESSAGE_MAX = 32 << 20,
    /* An ETA further away waits in the outbox, not in a worker. */
    HOLD_US = 300 * 1000000
};

/* "gen<pid>@<host>" and an id for replies, as Celery's producers have them. */
static struct {
    char origin[320], reply_to[ID_LEN + 1];
} producer;
static pthread_once_t producer_once = PTHREAD_ONCE_INIT;

static void
make_producer(void)
{
    char host[256] = "localhost";

    (void)gethostname(host, sizeof(host) - 1);
    snprintf(producer.origin, sizeof(producer.origin), "gen%ld@%s",
             (long)getpid(), host);
    id_new(producer.reply_to);
}

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

enum status
submission_route(const struct api *api, const struct submission *s,
                 struct task_route *out)
{
    struct error err;
    enum status st;

    *out = (struct task_route){.queue = s->queue, .priority = s->priority};
    st = topology_route(api->topology, s->task, out, &err);
    if (st != ST_OK)
        log_warning("a task has no queue", "task=%.*s reason=%s",
                    (int)s->task.len, s->task.ptr, err.text);
    return st == ST_NOTFOUND ? ST_INVALID : st;
}

enum status
submission_encode(const struct api *api, const struct submission *s,
                  const struct task_route *r, struct slice id,
                  struct message **out)
{
    const char *reply_to = hub_reply_to(api->hub);
    struct task_new t = TASK_NEW_INIT;
    struct message *m = NULL;
    struct buf envelope;
    enum status st;

    pthread_once(&producer_once, make_producer);
    t.id = id;
    t.name = s->task;
    t.args = s->args;
    t.kwargs = s->kwargs;
    t.origin = text(producer.origin);
    t.reply_to = text(*reply_to != '\0' ? reply_to : producer.reply_to);
    t.has_eta = s->has_eta;
    t.eta_us = s->eta_us;
    t.has_expires = s->has_expires;
    t.expires_us = s->expires_us;
    t.priority = r->priority;
    t.delivery_mode = r->delivery_mode;
    t.exchange = r->exchange;
    t.routing_key = r->routing_key;
    st = task_encode(&t, &m, NULL);
    if (st != ST_OK)
        return st;
    buf_init(&envelope, MESSAGE_MAX);
    envelope_encode(m, &envelope);
    st = buf_take(&envelope, &m->envelope, &m->envelope_len);
    if (st == ST_OK)
        *out = m;
    else
        message_free(m);
    return st;
}

bool
submission_is_far(const struct submission *s)
{
    return s->has_eta && s->eta_us > clock_unix_us() + HOLD_US;
}

static void
fill_row(const struct submission *s, struct records_new *n)
{
    n->name = s->name;
    n->description = s->description;
    n->task = s->task;
    n->model = s->model;
    if (submission_is_far(s))
        n->due_us = s->eta_us;
}

/* The JSON text of v for the row; dflt if there is none. */
static struct slice
json_column(struct json_object *v, const char *dflt, struct buf *b)
{
    if (v == NULL)
        return text(dflt);
    json_add(b, v);
    return (struct slice){b->data, b->len};
}

/* A row as it has just been made. */
static void
add_row(struct buf *body, const struct records_new *n,
        const struct records_made *made)
{
    struct records_row row = {.seq = made->seq,
                              .id = n->id,
                              .name = n->name,
                              .description = n->description,
                              .task = n->task,
                              .args = n->args,
                              .kwargs = n->kwargs,
                              .queue = n->queue,
                              .model = n->model,
                              .status = text("PENDING"),
                              .prompt_tokens = -1,
                              .completion_tokens = -1,
                              .total_tokens = -1,
                              .created_us = made->created_us,
                              .updated_us = made->created_us};

    rows_add(body, &row);
}

enum status
submission_commit(struct api *api, const struct submission *s,
                  char id[ID_LEN + 1], struct buf *body)
{
    struct records_new n = {.due_us = 0};
    struct task_route route = TASK_ROUTE_INIT;
    struct records_made made;
    struct message *m = NULL;
    struct buf args, kwargs;
    enum status st;

    buf_init(&args, MESSAGE_MAX);
    buf_init(&kwargs, MESSAGE_MAX);
    id_new(id);
    fill_row(s, &n);
    n.id = text(id);
    n.args = json_column(s->args, "[]", &args);
    n.kwargs = json_column(s->kwargs, "{}", &kwargs);
    st = args.failed || kwargs.failed ? ST_NOMEM : ST_OK;
    if (st == ST_OK)
        st = submission_route(api, s, &route);
    n.queue = route.queue.len > 0 ? route.queue : route.routing_key;
    if (st == ST_OK)
        st = submission_encode(api, s, &route, n.id, &m);
    if (st == ST_OK) {
        n.message = (struct slice){m->envelope, m->envelope_len};
        st = hub_submit(api->hub, &n, &m, &made);
    }
    if (st == ST_OK && body != NULL)
        add_row(body, &n, &made);
    buf_fini(&args);
    buf_fini(&kwargs);
    return st;
}

void
submission_refused(struct response *rs, enum status st)
{
    switch (st) {
    case ST_NOTFOUND:
        response_error(rs, 404, "Task not found");
        return;
    case ST_DENIED:
        response_error(rs, 409, "The task is running or done");
        return;
    case ST_TOOBIG:
        response_error(rs, 413, "Request body too large");
        return;
    case ST_INVALID:
        response_error(rs, 422, "There is no such queue");
        return;
    case ST_BUSY:
        response_busy(rs, "Too many requests are waiting");
        return;
    case ST_AGAIN:
        response_busy(rs, "Too many tasks wait for the broker");
        return;
    case ST_TIMEOUT:
    case ST_LOST:
        response_busy(rs, "The database is not available");
        return;
    default:
        log_error("request failed", "error=%s", status_text(st));
        response_error(rs, 500, "Internal Server Error");
    }
}

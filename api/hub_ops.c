/* SPDX-License-Identifier: Apache-2.0 */
/* What the hub can be asked: each call's half on the thread, and its half on
 * the loop. */
#include "api/hub_loop.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "protocol/control.h"

enum {
    GRACE_US = 1000000, /* records gives up first: at database_timeout */
    STATE_US = 1000000
};

static uint64_t
database_deadline(const struct hub *h)
{
    return clock_mono_us() + (uint64_t)(h->config->database_timeout * 1e6) +
           GRACE_US;
}

void
call_set_id(struct call *c, struct slice id)
{
    size_t n = id.len < sizeof(c->id) - 1 ? id.len : sizeof(c->id) - 1;

    memcpy(c->id, id.ptr, n);
    c->id[n] = '\0';
}

struct slice
call_id(const struct call *c)
{
    return (struct slice){c->id, strlen(c->id)};
}

static struct records_key
call_key(const struct call *c)
{
    struct slice none = {NULL, 0};

    return (struct records_key){c->id[0] != '\0' ? call_id(c) : none, c->seq};
}

/* Keeps what came, replacing what was there. */
static enum status
keep_rows(struct call *c, enum status st, const struct records_row *rows,
          size_t n, int64_t total)
{
    struct hub_rows *copy = NULL;

    if (st != ST_OK)
        return st;
    copy = hub_rows_copy(rows, n, total);
    if (copy == NULL)
        return ST_NOMEM;
    pthread_mutex_lock(&c->lock);
    free(c->rows);
    c->rows = copy;
    pthread_mutex_unlock(&c->lock);
    return ST_OK;
}

/* ---- submit ---- */

static void
submitted(void *arg, enum status st, const struct records_made *made)
{
    struct call *c = arg;
    struct hub *h = c->hub;

    if (st == ST_OK) {
        c->made = *made;
        if (c->due && h->relay != NULL)
            relay_push(h->relay, made->outbox_id, c->message);
    }
    call_finish(c, st);
}

/* An estimate: what was published since the last count is not known here. */
static bool
outbox_is_full(const struct hub *h)
{
    return h->config->database_outbox_max > 0 &&
           h->outbox_depth + h->submitted >= h->config->database_outbox_max;
}

static void
run_submit(struct hub *h, struct call *c)
{
    if (outbox_is_full(h)) {
        call_finish(c, ST_AGAIN);
        return;
    }
    h->submitted++;
    records_submit(h->records, c->submit, submitted, c);
}

enum status
hub_submit(struct hub *h, const struct records_new *n, struct message **m,
           struct records_made *made)
{
    struct call *c = call_new(h, run_submit);
    enum status st;

    if (c == NULL) {
        message_free(*m);
        *m = NULL;
        return ST_NOMEM;
    }
    c->message = *m;
    *m = NULL;
    c->submit = n;
    c->due = n->due_us == 0;
    st = call_make(c, database_deadline(h), NULL, NULL);
    if (st == ST_OK)
        *made = c->made;
    call_drop(c);
    return st;
}

/* ---- rows ---- */

static void
got_rows(void *arg, enum status st, const struct records_row *rows, size_t n,
         int64_t total)
{
    struct call *c = arg;

    st = keep_rows(c, st, rows, n, total);
    call_finish(c, st);
}

/* Makes the call and hands its rows out; key NULL: any number of them.  A call
 * that was left at its deadline may have rows all the same: older ones, but
 * true. */
static enum status
make_for_rows(struct call *c, const struct records_key *key,
              struct hub_rows **out)
{
    enum status st;

    *out = NULL;
    if (c == NULL)
        return ST_NOMEM;
    if (key != NULL && key->id.ptr != NULL)
        call_set_id(c, key->id);
    c->seq = key != NULL ? key->seq : 0;
    st = call_make(c, database_deadline(c->hub), NULL, NULL);
    pthread_mutex_lock(&c->lock);
    if (c->rows != NULL) {
        st = key != NULL && c->rows->count == 0 ? ST_NOTFOUND : ST_OK;
        *out = c->rows;
        c->rows = NULL;
    } else if (st == ST_OK) {
        st = ST_NOTFOUND;
    }
    pthread_mutex_unlock(&c->lock);
    if (st == ST_NOTFOUND) {
        free(*out);
        *out = NULL;
    }
    call_drop(c);
    return st;
}

static void
noted(void *arg, bool news)
{
    struct call *c = arg;

    if (news)
        records_get(c->hub->records, call_key(c), got_rows, c);
    else
        call_finish(c, ST_OK);
}

static void
got_row(void *arg, enum status st, const struct records_row *rows, size_t n,
        int64_t total)
{
    struct call *c = arg;

    st = keep_rows(c, st, rows, n, total);
    if (st == ST_OK && n == 1 && rows[0].finished_us == 0 &&
        !state_is_ready(rows[0].status))
        hub_look_up(c->hub, rows[0].id, noted, c);
    else
        call_finish(c, st);
}

static void
run_get(struct hub *h, struct call *c)
{
    records_get(h->records, call_key(c), got_row, c);
}

enum status
hub_get(struct hub *h, struct records_key key, struct hub_rows **out)
{
    return make_for_rows(call_new(h, run_get), &key, out);
}

static void
run_list(struct hub *h, struct call *c)
{
    records_list(h->records, c->filter, got_rows, c);
}

enum status
hub_list(struct hub *h, const struct records_filter *f, struct hub_rows **out)
{
    struct call *c = call_new(h, run_list);

    if (c != NULL)
        c->filter = f;
    return make_for_rows(c, NULL, out);
}

static void
run_update(struct hub *h, struct call *c)
{
    records_update(h->records, call_key(c), c->change, got_rows, c);
}

enum status
hub_update(struct hub *h, struct records_key key,
           const struct records_change *change, struct hub_rows **out)
{
    struct call *c = call_new(h, run_update);

    if (c != NULL)
        c->change = change;
    return make_for_rows(c, &key, out);
}

static void
run_delete(struct hub *h, struct call *c)
{
    records_delete(h->records, call_key(c), got_rows, c);
}

enum status
hub_delete(struct hub *h, struct records_key key, struct hub_rows **out)
{
    return make_for_rows(call_new(h, run_delete), &key, out);
}

/* ---- revoke ---- */

static enum status
send_revoke(struct hub *h, const struct call *c)
{
    static const char pidbox[] = "celery.pidbox";
    struct json_object *args = json_object_new_object();
    struct message *m = NULL;
    enum status st;

    st = json_set(args, "task_id", json_object_new_string(c->id));
    if (st == ST_OK)
        st = json_set(args, "terminate", json_object_new_boolean(c->terminate));
    if (st == ST_OK)
        st = control_command("revoke", args, &m, NULL);
    if (st == ST_OK)
        st = h->broker->ops->publish_fanout(
            h->broker, (struct slice){pidbox, strlen(pidbox)}, m, NULL);
    message_free(m);
    json_object_put(args);
    return st;
}

static void
run_revoke(struct hub *h, struct call *c)
{
    call_finish(c, send_revoke(h, c));
}

enum status
hub_revoke(struct hub *h, struct slice id, bool terminate)
{
    struct call *c = call_new(h, run_revoke);
    enum status st;

    if (c == NULL)
        return ST_NOMEM;
    call_set_id(c, id);
    c->terminate = terminate;
    st = call_make(c, clock_mono_us() + STATE_US, NULL, NULL);
    call_drop(c);
    return st;
}

/* ---- state ---- */

static void
run_state(struct hub *h, struct call *c)
{
    c->snapshot = (struct hub_state){
        .database_up = records_up(h->records),
        .broker_up = h->broker_up,
        .result_up = h->result != NULL && h->result->ops->up(h->result),
        .outbox_depth = h->outbox_depth,
        .relay_backlog = h->relay != NULL ? relay_backlog(h->relay) : 0};
    call_finish(c, ST_OK);
}

enum status
hub_state(struct hub *h, struct hub_state *out)
{
    struct call *c = call_new(h, run_state);
    enum status st;

    if (c == NULL)
        return ST_NOMEM;
    st = call_make(c, clock_mono_us() + STATE_US, NULL, NULL);
    if (st == ST_OK)
        *out = c->snapshot;
    call_drop(c);
    pthread_mutex_lock(&h->lock);
    out->calls = h->calls;
    pthread_mutex_unlock(&h->lock);
    return st;
}

const char *
hub_reply_to(const struct hub *h)
{
    return h->reply_to;
}

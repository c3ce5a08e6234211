/* SPDX-License-Identifier: Apache-2.0 */
/* Sending the messages of a canvas, and what its chords need besides
 * (celery-wire.md 6.5, 6.6). */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "protocol/signature.h"
#include "worker/fields.h"
#include "worker/node.h"
#include "worker/value.h"

enum { AGAIN_MS = 200 };

/* A chord that the message waits for. */
struct held_chord {
    char group[TASK_ID_MAX + 1];
    int64_t size;
    struct json_object *results; /* owned: to be saved first; NULL: not */
};

/* The last message of a chord's header (or of several, one in the other), until
 * their sizes are set. */
struct held {
    struct timer timer; /* first: fn gets its address */
    struct request *rq;
    struct message *msg;
    size_t count, at;
    struct held_chord chords[];
};

static void prepare(struct held *h);

static void
held_free(struct held *h)
{
    for (size_t i = 0; i < h->count; i++)
        json_object_put(h->chords[i].results);
    message_free(h->msg);
    free(h);
}

static void
prepare_again(struct timer *t)
{
    prepare((struct held *)(void *)t);
}

/* Sent, or refused for good. */
static void
let_go(struct held *h, enum status st)
{
    struct request *rq = h->rq;

    if (st != ST_OK) {
        log_error("a chord's last member could not be sent",
                  "group=%s reason=%s", h->chords[0].group, status_text(st));
        rq->refused = st;
    }
    held_free(h);
    settle_answer(rq, ST_OK);
}

/* False: it was in vain, and is tried again in a while if that may help. */
static bool
is_done(struct held *h, enum status st)
{
    struct timers *ts = &h->rq->n->timers;

    if (st == ST_OK)
        return true;
    if ((!status_is_transient(st) && st != ST_NOMEM) ||
        timer_set(ts, &h->timer, AGAIN_MS, prepare_again) != ST_OK)
        let_go(h, st);
    return false;
}

static void
group_saved(void *arg, enum status st, const struct task_state *ts)
{
    struct held *h = arg;

    (void)ts;
    if (!is_done(h, st))
        return;
    json_object_put(h->chords[h->at].results);
    h->chords[h->at].results = NULL;
    prepare(h);
}

static void
size_set(void *arg, enum status st, const struct task_state *ts)
{
    struct held *h = arg;

    (void)ts;
    if (!is_done(h, st))
        return;
    h->at++;
    prepare(h);
}

static void
prepare(struct held *h)
{
    struct request *rq = h->rq;
    struct result *r = rq->n->result;
    struct held_chord *c = &h->chords[h->at];

    if (h->at < h->count && c->results) {
        r->ops->group_save(r, node_slice(c->group), c->results, group_saved, h);
        return;
    }
    if (h->at < h->count) {
        r->ops->chord_size(r, node_slice(c->group), c->size, size_set, h);
        return;
    }
    let_go(h, node_publish(rq->n, rq, &h->msg));
}

/* The message is published when the count chords are prepared. */
static enum status
hold(struct request *rq, const struct signature_chord *chords, size_t count,
     struct message **m)
{
    struct held *h = calloc(1, sizeof(*h) + count * sizeof(h->chords[0]));
    bool saves = result_can(rq->n->result) & RESULT_SAVES_GROUPS;

    if (!h)
        return ST_NOMEM;
    h->rq = rq;
    h->msg = *m;
    *m = NULL;
    h->count = count;
    for (size_t i = 0; i < count; i++) {
        memcpy(h->chords[i].group, chords[i].group, sizeof(chords[i].group));
        h->chords[i].size = chords[i].size;
        if (chords[i].nested && saves)
            h->chords[i].results = json_object_get(chords[i].results);
    }
    rq->waits++;
    prepare(h);
    return ST_OK;
}

/* ---- with a backend that does not count ---- */

/* What runs first of a body.  Celery looks at the body alone, and sends what
 * waits for a chain to the default queue, which may have no consumer. */
static struct json_object *
first_task(struct json_object *body)
{
    struct json_object *tasks;

    for (int depth = 0; depth < JSON_DEPTH; depth++) {
        tasks = json_get(json_get(body, "kwargs"), "tasks");
        if ((signature_type(body) != SIG_CHAIN &&
             signature_type(body) != SIG_GROUP) ||
            !json_object_is_type(tasks, json_type_array) ||
            json_object_array_length(tasks) == 0)
            break;
        body = json_object_array_get_idx(tasks, 0);
    }
    return body;
}

/* What waits for the members goes where the body will go. */
static void
add_route(struct request *rq, struct json_object *body,
          struct json_object *options)
{
    static const char *const names[] = {"queue", "exchange", "routing_key"};
    struct json_object *first = first_task(body);
    struct task_route r = TASK_ROUTE_INIT;

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        field_ref(options, names[i], signature_option(first, names[i]));
    if (json_get(options, "queue") || json_get(options, "exchange") ||
        topology_route(rq->n->topology, signature_task(first), &r, NULL) !=
            ST_OK)
        return;
    if (r.exchange.len) {
        field_str(options, "exchange", r.exchange);
        field_str(options, "routing_key", r.routing_key);
    } else {
        field_str(options, "queue", r.routing_key);
    }
}

/* celery.chord_unlock(group_id, callback, interval=, max_retries=, result=) */
static struct json_object *
unlock_signature(struct request *rq, const struct signature_chord *c)
{
    struct json_object *args = json_object_new_array();
    struct json_object *kwargs = json_object_new_object();
    struct json_object *options = json_object_new_object(), *sig = NULL;
    enum status st = json_append(args, json_new_str(node_slice(c->group)));

    if (st == ST_OK)
        st = json_append(args, json_object_get(c->body));
    field_null(kwargs, "interval");
    field_null(kwargs, "max_retries");
    field_ref(kwargs, "result", json_object_array_get_idx(c->results, 1));
    field_int(options, "countdown", 1);
    field_bool(options, "ignore_result", true);
    add_route(rq, c->body, options);
    field_ref(options, "priority", signature_option(c->body, "priority"));
    if (st == ST_OK && json_get(kwargs, "result"))
        sig = signature_new(node_slice("celery.chord_unlock"), args, kwargs,
                            false);
    if (json_set(sig, "options", options) != ST_OK) {
        json_object_put(sig);
        sig = NULL;
    }
    json_object_put(args);
    json_object_put(kwargs);
    return sig;
}

static enum status
send_unlock(struct request *rq, const struct signature_chord *c,
            struct error *err)
{
    struct json_object *sig = unlock_signature(rq, c);
    enum status st = sig ? follow_apply(rq, sig, NULL, NULL, err) : ST_NOMEM;

    json_object_put(sig);
    return st;
}

static enum status
send_with_unlocks(struct request *rq, struct signature_messages *ms,
                  struct error *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < ms->count && st == ST_OK; i++)
        st = node_publish(rq->n, rq, &ms->items[i].msg);
    for (size_t i = 0; i < ms->chord_count && st == ST_OK; i++)
        st = send_unlock(rq, &ms->chords[i], err);
    return st;
}

/* ---- both ---- */

static enum status
send_counted(struct request *rq, struct signature_messages *ms)
{
    size_t chord = 0;
    enum status st = ST_OK;

    for (size_t i = 0; i < ms->count && st == ST_OK; i++) {
        struct message **m = &ms->items[i].msg;
        size_t n = 0;

        while (chord + n < ms->chord_count && ms->chords[chord + n].last == i)
            n++;
        st =
            n ? hold(rq, &ms->chords[chord], n, m) : node_publish(rq->n, rq, m);
        chord += n;
    }
    return st;
}

static enum status
add_child(struct request *rq, struct json_object **child)
{
    struct json_object *c = *child;

    *child = NULL;
    if (!c)
        return ST_OK;
    if (!rq->children)
        rq->children = json_object_new_array();
    if (!rq->children) {
        json_object_put(c);
        return ST_NOMEM;
    }
    return json_append(rq->children, c);
}

enum status
follow_send(struct request *rq, struct signature_messages *ms,
            struct error *err)
{
    struct result *r = rq->n->result;
    struct error own;
    enum status st;

    if (!err)
        err = &own;
    err->text[0] = '\0';
    if (ms->chord_count && !r)
        return error_set(err, ST_DENIED, "a chord needs a result backend");
    if (ms->chord_count &&
        !(result_can(r) & (RESULT_COUNTS_CHORDS | RESULT_KEEPS)))
        return error_set(err, ST_DENIED,
                         "The \"%s\" result backend does not support chords!",
                         r->ops->scheme);
    if (ms->chord_count && !(result_can(r) & RESULT_COUNTS_CHORDS))
        st = send_with_unlocks(rq, ms, err);
    else
        st = send_counted(rq, ms);
    if (st == ST_OK)
        st = add_child(rq, &ms->children);
    return st == ST_OK || err->text[0]
               ? st
               : error_set(err, st, "not sent: %s", status_text(st));
}

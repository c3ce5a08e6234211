/* SPDX-License-Identifier: Apache-2.0 */
/* One task signature with its options, as a message. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "protocol/canvas.h"
#include "protocol/iso8601.h"

/* What the message borrows while it is built. */
struct parts {
    struct json_object *args, *callbacks, *errbacks, *stamps;
};

/* The list option, as a list; NULL when there is none.  A callback that is no
 * signature would be found out by the worker that wants to call it. */
static enum status
list_option(struct canvas *c, struct json_object *options, const char *key,
            struct json_object **out)
{
    struct json_object *v = json_get(options, key);
    enum status st = ST_OK;

    if (v == NULL)
        return ST_OK;
    if (!json_object_is_type(v, json_type_array)) {
        *out = json_object_new_array();
        if (json_append(*out, json_object_get(v)) != ST_OK)
            return canvas_nomem(c);
    } else if (json_object_array_length(v) > 0) {
        *out = json_object_get(v);
    }
    for (size_t i = 0;
         *out != NULL && i < json_object_array_length(*out) && st == ST_OK; i++)
        st = signature_check(json_object_array_get_idx(*out, i), c->err);
    return st;
}

static enum status
collect_stamps(struct json_object *options, struct json_object **out)
{
    struct json_object *names = json_get(options, "stamped_headers");
    enum status st = ST_OK;

    if (!json_object_is_type(names, json_type_array))
        return ST_OK;
    *out = json_object_new_object();
    for (size_t i = 0; i < json_object_array_length(names) && st == ST_OK;
         i++) {
        struct slice name = json_str(json_object_array_get_idx(names, i));
        struct json_object *v =
            name.ptr != NULL ? json_get(options, name.ptr) : NULL;

        if (v != NULL)
            st = canvas_share(*out, name.ptr, v);
    }
    return *out != NULL ? st : ST_NOMEM;
}

static enum status
collect(struct canvas *c, struct json_object *sig, struct json_object *partial,
        struct parts *p)
{
    struct json_object *options = json_get(sig, "options");
    enum status st;

    if (signature_immutable(sig))
        partial = NULL;
    p->args = canvas_concat(partial, json_get(sig, "args"));
    if (p->args == NULL || collect_stamps(options, &p->stamps) != ST_OK)
        return canvas_nomem(c);
    st = list_option(c, options, "link", &p->callbacks);
    if (st == ST_OK)
        st = list_option(c, options, "link_error", &p->errbacks);
    return st;
}

static bool
is_number(struct json_object *v)
{
    return json_object_is_type(v, json_type_int) ||
           json_object_is_type(v, json_type_double);
}

/* A time given as text, or as seconds from now.  Bad ones are told here rather
 * than by every worker that gets the message. */
static enum status
time_option(struct canvas *c, struct json_object *v, bool *has, int64_t *us)
{
    double s;
    enum status st;

    if (v == NULL)
        return ST_OK;
    if (is_number(v)) {
        s = json_object_get_double(v);
        if (!isfinite(s) || fabs(s) > 1e11)
            return error_set(c->err, ST_PROTO, "canvas: a time of %g s", s);
        *us = c->ctx->now_us + (int64_t)(s * 1e6);
    } else {
        struct slice text = json_str(v);

        if (text.ptr == NULL)
            return error_set(c->err, ST_PROTO,
                             "canvas: a time that is neither text nor number");
        if (text.len == 0)
            return ST_OK;
        st = iso8601_parse(text, us, c->err);
        if (st != ST_OK)
            return st;
    }
    *has = true;
    return ST_OK;
}

static enum status
set_times(struct canvas *c, struct json_object *options, struct task_new *t)
{
    struct json_object *countdown = json_get(options, "countdown");
    struct json_object *eta = json_get(options, "eta");

    /* A countdown wins, and 0 is none. */
    if (is_number(countdown) && json_object_get_double(countdown) != 0)
        eta = countdown;
    if (is_number(eta) && eta != countdown)
        return error_set(c->err, ST_PROTO, "canvas: an eta that is a number");
    if (time_option(c, eta, &t->has_eta, &t->eta_us) != ST_OK)
        return ST_PROTO;
    return time_option(c, json_get(options, "expires"), &t->has_expires,
                       &t->expires_us);
}

/* As given, also above 9; AMQP has an octet for it. */
static int
priority(struct json_object *options)
{
    int64_t p = json_get_int(options, "priority", -1);

    return (int)(p < 0 ? -1 : p > 255 ? 255 : p);
}

/* map and starmap go where the task that they run goes. */
static enum status
set_route(struct canvas *c, struct json_object *sig, struct task_new *t)
{
    struct json_object *options = json_get(sig, "options");
    struct slice task = signature_task(sig);
    struct slice inner =
        signature_task(json_get(json_get(sig, "kwargs"), "task"));
    int64_t mode = json_get_int(options, "delivery_mode", 0);
    struct task_route r = {
        .queue = json_get_str(options, "queue"),
        .exchange = json_get_str(options, "exchange"),
        .exchange_type = json_get_str(options, "exchange_type"),
        .routing_key = json_get_str(options, "routing_key"),
        .priority = priority(options),
        .delivery_mode = mode == 1 || mode == 2 ? (int)mode : 0,
    };
    enum status st;

    if (signature_type(sig) != SIG_TASK && inner.len > 0)
        task = inner;
    st = topology_route(c->ctx->topology, task, &r, c->err);
    t->exchange = r.exchange;
    t->routing_key = r.routing_key;
    t->priority = r.priority;
    t->delivery_mode = r.delivery_mode;
    return st;
}

static void
set_ids(struct canvas *c, struct json_object *options, struct task_new *t)
{
    t->root_id = json_get_str(options, "root_id");
    t->parent_id = json_get_str(options, "parent_id");
    t->group = json_get_str(options, "group_id");
    t->group_index = json_get_int(options, "group_index", -1);
    t->shadow = json_get_str(options, "shadow");
    t->reply_to = json_get_str(options, "reply_to");
    if (t->reply_to.ptr == NULL)
        t->reply_to = c->ctx->reply_to;
    t->origin = c->ctx->origin;
}

static enum status
fill(struct canvas *c, struct json_object *sig, const struct parts *p,
     struct task_new *t)
{
    struct json_object *options = json_get(sig, "options");
    struct json_object *ignore = json_get(options, "ignore_result");
    struct json_object *chain = json_get(options, "chain");
    struct json_object *chord = json_get(options, "chord");
    struct json_object *headers = json_get(options, "headers");

    t->name = signature_task(sig);
    t->args = p->args;
    t->kwargs = json_get(sig, "kwargs");
    t->callbacks = p->callbacks;
    t->errbacks = p->errbacks;
    t->chain = json_object_is_type(chain, json_type_array) ? chain : NULL;
    t->chord = json_object_is_type(chord, json_type_object) ? chord : NULL;
    t->stamps = p->stamps;
    t->stamped_headers =
        p->stamps != NULL ? json_get(options, "stamped_headers") : NULL;
    t->headers =
        json_object_is_type(headers, json_type_object) ? headers : NULL;
    t->retries = json_get_int(options, "retries", 0);
    t->hard_limit = json_get_double(options, "time_limit", 0);
    t->soft_limit = json_get_double(options, "soft_time_limit", 0);
    t->ignore_result =
        ignore != NULL && json_object_get_boolean(ignore) ? 1 : 0;
    t->replaced_task_nesting =
        json_get_int(options, "replaced_task_nesting", 0);
    t->compression = json_get_str(options, "compression");
    t->now_us = c->ctx->now_us;
    set_ids(c, options, t);
    if (set_route(c, sig, t) != ST_OK)
        return c->err->code;
    return set_times(c, options, t);
}

static enum status
push(struct canvas *c, struct message **m, struct slice id)
{
    struct signature_messages *o = c->out;
    struct signature_message *items;

    if (o->count == CANVAS_MESSAGES_MAX ||
        (*m)->body_len > CANVAS_BYTES_MAX - c->bytes)
        return error_set(c->err, ST_TOOBIG,
                         "canvas: over %d messages or %d bytes",
                         CANVAS_MESSAGES_MAX, CANVAS_BYTES_MAX);
    if (o->count == c->item_cap) {
        size_t cap = c->item_cap ? c->item_cap * 2 : 4;

        items = realloc(o->items, cap * sizeof(*items));
        if (items == NULL)
            return canvas_nomem(c);
        o->items = items;
        c->item_cap = cap;
    }
    o->items[o->count] = (struct signature_message){.msg = *m};
    memcpy(o->items[o->count].id, id.ptr, id.len);
    c->bytes += (*m)->body_len;
    o->count++;
    *m = NULL;
    return ST_OK;
}

/* The caller frees p, also after a failure. */
static enum status
send_parts(struct canvas *c, struct json_object *sig, struct parts *p,
           struct canvas_result *out)
{
    struct task_new t = TASK_NEW_INIT;
    struct message *m = NULL;
    char fresh[ID_LEN + 1];
    enum status st = fill(c, sig, p, &t);

    if (st != ST_OK)
        return st;
    t.id = json_get_str(json_get(sig, "options"), "task_id");
    if (t.id.len == 0) {
        id_new(fresh);
        t.id = (struct slice){fresh, ID_LEN};
    }
    st = task_encode(&t, &m, c->err);
    if (st == ST_OK)
        st = push(c, &m, t.id);
    message_free(m);
    if (st != ST_OK)
        return st;
    memcpy(out->id, t.id.ptr, t.id.len);
    out->tuple = canvas_tuple(t.id, NULL);
    return out->tuple != NULL ? ST_OK : canvas_nomem(c);
}

enum status
canvas_send(struct canvas *c, struct json_object *sig,
            struct json_object *partial, struct canvas_result *out)
{
    struct parts p = {0};
    enum status st = collect(c, sig, partial, &p);

    if (st == ST_OK)
        st = send_parts(c, sig, &p, out);
    json_object_put(p.args);
    json_object_put(p.callbacks);
    json_object_put(p.errbacks);
    json_object_put(p.stamps);
    return st;
}

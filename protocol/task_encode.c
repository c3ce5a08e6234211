/* SPDX-License-Identifier: Apache-2.0 */
/* From task to message, protocol 2: every header field in Python's order, and
 * all four keys of embed, because tools index them without asking. */
#include "protocol/task.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "protocol/compress.h"
#include "protocol/iso8601.h"
#include "protocol/saferepr.h"

/* Collects the first failure, so that it is looked at once. */
struct headers {
    struct json_object *obj;
    enum status st;
};

/* v NULL: its constructor failed. */
static void
set(struct headers *h, const char *key, struct json_object *v)
{
    enum status st = json_set(h->obj, key, v);

    if (h->st == ST_OK)
        h->st = st;
}

static void
set_null(struct headers *h, const char *key)
{
    enum status st = json_set_null(h->obj, key);

    if (h->st == ST_OK)
        h->st = st;
}

static void
set_str(struct headers *h, const char *key, struct slice s)
{
    if (s.ptr == NULL)
        set_null(h, key);
    else
        set(h, key, json_new_str(s));
}

static void
set_time(struct headers *h, const char *key, bool has, int64_t us)
{
    char date[ISO8601_MAX];

    if (has)
        set(h, key, json_new_str(slice_of(iso8601_format(us, date))));
    else
        set_null(h, key);
}

static void
set_copy(struct headers *h, const char *key, struct json_object *v)
{
    if (v == NULL)
        set_null(h, key);
    else
        set(h, key, json_copy(v));
}

/* Seconds as a producer writes them: 30, not 30.0. */
static enum status
append_limit(struct json_object *pair, double s)
{
    if (s <= 0)
        return json_append_null(pair);
    if (s < 1e15 && s == (double)(int64_t)s)
        return json_append(pair, json_object_new_int64((int64_t)s));
    return json_append(pair, json_new_double(s));
}

static void
set_limits(struct headers *h, const struct task_new *t)
{
    struct json_object *pair = json_object_new_array();
    enum status st = append_limit(pair, t->hard_limit);

    if (st == ST_OK)
        st = append_limit(pair, t->soft_limit);
    set(h, "timelimit", pair);
    if (h->st == ST_OK)
        h->st = st;
}

/* given, or made from v, which is a tuple's array or an object. */
static void
set_repr(struct headers *h, const char *key, struct slice given,
         struct json_object *v, bool tuple)
{
    struct buf b;

    if (given.ptr != NULL) {
        set_str(h, key, given);
        return;
    }
    /* Longer than the budget by an ellipsis and brackets, of 4-byte text. */
    buf_init(&b, (size_t)8 * TASK_REPR_MAX);
    if (v == NULL)
        buf_add(&b, slice_of(tuple ? "()" : "{}"));
    else if (tuple)
        saferepr_add_tuple(&b, v, TASK_REPR_MAX);
    else
        saferepr_add(&b, v, TASK_REPR_MAX);
    if (b.failed)
        h->st = ST_NOMEM;
    else
        set_str(h, key, (struct slice){b.data, b.len});
    buf_fini(&b);
}

static void
set_reprs(struct headers *h, const struct task_new *t)
{
    /* Of serialised bytes only the sender knows what they show. */
    if (t->body.ptr != NULL && t->argsrepr.ptr == NULL)
        set_null(h, "argsrepr");
    else
        set_repr(h, "argsrepr", t->argsrepr, t->args, true);
    if (t->body.ptr != NULL && t->kwargsrepr.ptr == NULL)
        set_null(h, "kwargsrepr");
    else
        set_repr(h, "kwargsrepr", t->kwargsrepr, t->kwargs, false);
}

/* The sender's own headers are merged flat, and win. */
static void
set_custom(struct headers *h, struct json_object *custom)
{
    if (custom == NULL)
        return;
    json_object_object_foreach(custom, key, v)
    {
        set_copy(h, key, v);
    }
}

static enum status
encode_headers(const struct task_new *t, struct json_object **out)
{
    struct headers h = {json_object_new_object(), ST_OK};

    set(&h, "lang", json_new_str(slice_of("py")));
    set_str(&h, "task", t->name);
    set_str(&h, "id", t->id);
    set_str(&h, "shadow", t->shadow);
    set_time(&h, "eta", t->has_eta, t->eta_us);
    set_time(&h, "expires", t->has_expires, t->expires_us);
    set_str(&h, "group", t->group);
    if (t->group_index >= 0)
        set(&h, "group_index", json_object_new_int64(t->group_index));
    else
        set_null(&h, "group_index");
    set(&h, "retries", json_object_new_int64(t->retries));
    set_limits(&h, t);
    set_str(&h, "root_id", t->root_id.len > 0 ? t->root_id : t->id);
    set_str(&h, "parent_id", t->parent_id);
    set_reprs(&h, t);
    set_str(&h, "origin", t->origin);
    set(&h, "ignore_result", json_object_new_boolean(t->ignore_result > 0));
    set(&h, "replaced_task_nesting",
        json_object_new_int64(t->replaced_task_nesting));
    set_copy(&h, "stamped_headers", t->stamped_headers);
    set(&h, "stamps",
        t->stamps != NULL ? json_copy(t->stamps) : json_object_new_object());
    set_custom(&h, t->headers);
    if (t->compression.len > 0 && compress_mime(t->compression) != NULL)
        set_str(&h, "compression", slice_of(compress_mime(t->compression)));
    if (h.st != ST_OK) {
        json_object_put(h.obj);
        return h.st;
    }
    *out = h.obj;
    return ST_OK;
}

static void
add_member(struct buf *b, const char *name, struct json_object *v)
{
    buf_add(b, slice_of(name));
    json_add(b, v);
}

static void
add_body(const struct task_new *t, struct buf *b)
{
    if (t->body.ptr != NULL) {
        buf_add(b, t->body);
        return;
    }
    buf_add(b, slice_of("["));
    if (t->args != NULL)
        json_add(b, t->args);
    else
        buf_add(b, slice_of("[]"));
    if (t->kwargs != NULL)
        add_member(b, ", ", t->kwargs);
    else
        buf_add(b, slice_of(", {}"));
    add_member(b, ", {\"callbacks\": ", t->callbacks);
    add_member(b, ", \"errbacks\": ", t->errbacks);
    add_member(b, ", \"chain\": ", t->chain);
    add_member(b, ", \"chord\": ", t->chord);
    buf_add(b, slice_of("}]"));
}

static enum status
encode_body(const struct task_new *t, struct message *m, struct error *err)
{
    struct buf plain, packed;
    enum status st = ST_OK;

    buf_init(&plain, TASK_BODY_MAX);
    buf_init(&packed, TASK_BODY_MAX);
    add_body(t, &plain);
    if (t->compression.len == 0) {
        st = buf_take(&plain, &m->body, &m->body_len);
    } else if (plain.failed) {
        st = plain.nomem ? ST_NOMEM : ST_TOOBIG;
    } else {
        st = compress_pack(t->compression,
                           (struct slice){plain.data, plain.len}, &packed, err);
        if (st == ST_OK)
            st = buf_take(&packed, &m->body, &m->body_len);
    }
    if (st == ST_TOOBIG || st == ST_NOMEM)
        st = error_set(err, st, "task message: the body: %s", status_text(st));
    buf_fini(&packed);
    buf_fini(&plain);
    return st;
}

/* What is left until it expires, in ms, for AMQP's own expiry. */
static enum status
set_expiration(struct message *m, const struct task_new *t)
{
    char *ms = NULL;
    size_t len;
    struct buf b;
    int64_t left = t->expires_us - t->now_us;
    enum status st;

    if (!t->has_expires || t->now_us == 0)
        return ST_OK;
    buf_init(&b, 32);
    buf_addf(&b, "%lld", (long long)(left > 0 ? left / 1000 : 0));
    st = buf_take(&b, &ms, &len);
    if (st == ST_OK) {
        free(m->expiration);
        m->expiration = ms;
    }
    return st;
}

static enum status
encode_properties(const struct task_new *t, struct message *m)
{
    char tag[ID_LEN + 1];
    enum status st;

    id_new(tag);
    m->delivery_mode = t->delivery_mode != 0 ? t->delivery_mode : 2;
    m->priority = t->priority < 0 ? 0 : t->priority;
    st = message_set(&m->content_type, slice_of("application/json"));
    if (st == ST_OK)
        st = message_set(&m->content_encoding, slice_of("utf-8"));
    if (st == ST_OK)
        st = message_set(&m->correlation_id, t->id);
    if (st == ST_OK)
        st = message_set(&m->reply_to,
                         t->reply_to.ptr != NULL ? t->reply_to : slice_of(""));
    if (st == ST_OK)
        st = message_set(&m->exchange,
                         t->exchange.ptr != NULL ? t->exchange : slice_of(""));
    if (st == ST_OK)
        st = message_set(&m->routing_key, t->routing_key);
    if (st == ST_OK)
        st = message_set(&m->delivery_tag, (struct slice){tag, ID_LEN});
    return st == ST_OK ? set_expiration(m, t) : st;
}

enum status
task_encode(const struct task_new *t, struct message **out, struct error *err)
{
    struct message *m;
    enum status st;

    if (t->id.len == 0 || t->id.len > TASK_ID_MAX)
        return error_set(err, ST_INVALID, "a task id of %zu bytes", t->id.len);
    if (t->name.len == 0 || t->name.len > TASK_NAME_MAX)
        return error_set(err, ST_INVALID, "a task name of %zu bytes",
                         t->name.len);
    m = message_new();
    if (m == NULL)
        return error_set(err, ST_NOMEM, "task message: out of memory");
    st = encode_headers(t, &m->headers);
    if (st == ST_OK)
        st = encode_properties(t, m);
    if (st != ST_OK)
        st = error_set(err, st, "task message: %s", status_text(st));
    else
        st = encode_body(t, m, err);
    if (st != ST_OK) {
        message_free(m);
        return st;
    }
    *out = m;
    return ST_OK;
}

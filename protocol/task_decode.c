/* SPDX-License-Identifier: Apache-2.0 */
/* From message to task, in the order of a real worker (celery-wire.md 1.8),
 * with section 1.9 for what kills one.  A version 1 message, and the hybrid of
 * both, is first turned into what version 2 would have said: the members of its
 * body become headers, and from there on there is one kind. */
#include "protocol/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/compress.h"
#include "protocol/content.h"
#include "protocol/iso8601.h"

enum {
    SHOWN = 64,              /* bytes of a bad value that an error shows */
    EMBED_PARTS = 3,         /* args, kwargs, embed */
    LIMIT_MAX_S = 1000000000 /* thirty years: milliseconds fit everywhere */
};

struct decoder {
    struct task_message *t;
    const char *accept;
    enum task_fault fault;
    struct error *err;
};

static int
shown(struct slice s)
{
    return (int)(s.len < SHOWN ? s.len : SHOWN);
}

static enum status
invalid(struct decoder *d, const char *what)
{
    d->fault = TASK_FAULT_INVALID;
    return error_set(d->err, ST_PROTO, "%s", what);
}

static enum status
nomem(struct decoder *d)
{
    d->fault = TASK_FAULT_NONE;
    return error_set(d->err, ST_NOMEM, "task message: out of memory");
}

/* Like kombu, JSON is UTF-8 whatever content_encoding says. */
static enum status
check_content(struct decoder *d, enum content *c)
{
    struct slice type = slice_of(d->t->msg->content_type);

    if (type.ptr == NULL)
        return invalid(d, "no content type");
    if (content_find(type, c, NULL) == ST_OK &&
        strcmp(type.ptr, content_mime(*c)) == 0 &&
        content_accepted(*c, d->accept))
        return ST_OK;
    d->fault = TASK_FAULT_INVALID;
    return error_set(d->err, ST_PROTO,
                     "refusing to deserialize content of type '%.*s'", SHOWN,
                     type.ptr);
}

/* The bytes, unpacked if the header says so.  *b owns them if it is used. */
static enum status
unpack(struct decoder *d, struct buf *b, struct slice *out)
{
    struct message *m = d->t->msg;
    struct slice name = json_get_str(m->headers, "compression");
    enum status st;

    *out = (struct slice){m->body, m->body_len};
    if (name.len == 0)
        return ST_OK;
    st = compress_unpack(name, *out, b, d->err);
    *out = (struct slice){b->len > 0 ? b->data : "", b->len};
    return st;
}

/* From here on the message is one of JSON: others pass on its text. */
static enum status
become_json(struct decoder *d, struct json_object *body)
{
    struct message *m = d->t->msg;
    struct buf text;
    char *bytes = NULL;
    size_t len = 0;
    enum status st;

    buf_init(&text, TASK_BODY_MAX);
    json_add(&text, body);
    st = buf_take(&text, &bytes, &len);
    if (st == ST_OK)
        st =
            message_set(&m->content_type, slice_of(content_mime(CONTENT_JSON)));
    if (st == ST_OK)
        st = message_set(&m->content_encoding,
                         slice_of(content_charset(CONTENT_JSON)));
    buf_fini(&text);
    if (st != ST_OK) {
        free(bytes);
        return st;
    }
    if (m->headers != NULL)
        json_object_object_del(m->headers, "compression");
    free(m->body);
    m->body = bytes;
    m->body_len = len;
    return ST_OK;
}

static enum status
load_body(struct decoder *d, struct json_object **body)
{
    enum content c;
    struct slice bytes;
    struct buf b;
    enum status st = check_content(d, &c);

    if (st != ST_OK)
        return st;
    if (d->t->msg->body_len == 0)
        return invalid(d, "the body is empty");
    buf_init(&b, TASK_BODY_MAX);
    st = unpack(d, &b, &bytes);
    if (st == ST_OK)
        st = content_decode(c, bytes, body, d->err);
    if (st == ST_OK && c != CONTENT_JSON)
        st = become_json(d, *body);
    if (st != ST_OK) {
        json_object_put(*body);
        *body = NULL;
    }
    buf_fini(&b);
    if (st == ST_NOMEM)
        return nomem(d);
    if (st == ST_OK)
        return ST_OK;
    /* Too large is our own limit: reject it, where it may be dead-lettered. */
    d->fault = st == ST_TOOBIG ? TASK_FAULT_INVALID : TASK_FAULT_UNDECODED;
    return st == ST_TOOBIG ? ST_TOOBIG : ST_PROTO;
}

/* Members of a version 1 body that are not header fields of version 2. */
static bool
is_payload(const char *key)
{
    static const char *const keys[] = {"args",     "kwargs", "callbacks",
                                       "errbacks", "chord",  "chain",
                                       "utc",      "taskset"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static enum status
adopt(struct json_object *headers, const char *key, struct json_object *v)
{
    return v != NULL ? json_set(headers, key, json_object_get(v))
                     : json_set_null(headers, key);
}

/* Headers win over the body.  A group goes by "taskset" in version 1. */
static enum status
merge_headers(struct decoder *d, struct json_object *body)
{
    struct message *m = d->t->msg;
    struct json_object *taskset = json_get(body, "taskset");
    enum status st = ST_OK;

    if (m->headers == NULL)
        m->headers = json_object_new_object();
    if (m->headers == NULL)
        return nomem(d);
    if (taskset != NULL && d->t->protocol == 1)
        st = adopt(m->headers, "group", taskset);
    json_object_object_foreach(body, key, v)
    {
        if (st == ST_OK && !is_payload(key) &&
            !json_object_object_get_ex(m->headers, key, NULL))
            st = adopt(m->headers, key, v);
    }
    return st == ST_OK ? ST_OK : nomem(d);
}

/* An id may come as a number: it is then its digits. */
static enum status
read_id(struct decoder *d)
{
    struct json_object *headers = d->t->msg->headers;
    struct json_object *v = json_get(headers, "id");
    enum status st;
    char *text;

    if (json_object_is_type(v, json_type_int) ||
        json_object_is_type(v, json_type_double)) {
        text = json_text(v);
        if (text == NULL)
            return nomem(d);
        st = json_set(headers, "id", json_new_str(slice_of(text)));
        free(text);
        if (st != ST_OK)
            return nomem(d);
    }
    d->t->id = json_get_str(headers, "id");
    if (d->t->id.len == 0)
        return invalid(d, "no id");
    if (d->t->id.len > TASK_ID_MAX)
        return invalid(d, "the id is too long");
    if (memchr(d->t->id.ptr, '\0', d->t->id.len) != NULL)
        return invalid(d, "the id holds a NUL");
    return ST_OK;
}

static enum status
read_name(struct decoder *d)
{
    d->t->name = json_get_str(d->t->msg->headers, "task");
    if (d->t->name.len == 0)
        return invalid(d, "no task name");
    if (d->t->name.len > TASK_NAME_MAX)
        return invalid(d, "the task name is too long");
    if (memchr(d->t->name.ptr, '\0', d->t->name.len) != NULL)
        return invalid(d, "the task name holds a NUL");
    return ST_OK;
}

/* "" kills a Python worker; to us it is null. */
static enum status
read_time(struct decoder *d, const char *key, struct slice *text, int64_t *us)
{
    struct json_object *v = json_get(d->t->msg->headers, key);
    struct slice s = json_str(v);

    if (v == NULL || (s.ptr != NULL && s.len == 0))
        return ST_OK;
    if (s.ptr != NULL && iso8601_parse(s, us, NULL) == ST_OK) {
        *text = s;
        return ST_OK;
    }
    d->fault = TASK_FAULT_INVALID;
    if (s.ptr == NULL)
        return error_set(d->err, ST_PROTO, "invalid %s: no string", key);
    return error_set(d->err, ST_PROTO, "invalid %s: '%.*s'", key, shown(s),
                     s.ptr);
}

static double
limit(struct json_object *pair, size_t i)
{
    struct json_object *v = json_object_array_get_idx(pair, i);
    double s = 0;

    if (json_object_is_type(v, json_type_int) ||
        json_object_is_type(v, json_type_double))
        s = json_object_get_double(v);
    if (!isfinite(s) || s <= 0)
        return 0;
    return s < LIMIT_MAX_S ? s : LIMIT_MAX_S;
}

/* [hard, soft], in this order; anything else is "the task's default". */
static void
read_limits(struct task_message *t)
{
    struct json_object *pair = json_get(t->msg->headers, "timelimit");

    if (!json_object_is_type(pair, json_type_array) ||
        json_object_array_length(pair) != 2)
        return;
    t->hard_limit = limit(pair, 0);
    t->soft_limit = limit(pair, 1);
}

/* A count; Python takes it as text too.  Cut, so that one more always fits. */
static int64_t
count(struct json_object *headers, const char *key, int64_t dflt)
{
    struct json_object *v = json_get(headers, key);
    int64_t n = dflt;

    if (json_object_is_type(v, json_type_int) ||
        json_object_is_type(v, json_type_string))
        n = json_object_get_int64(v);
    return n < dflt ? dflt : n > INT32_MAX ? INT32_MAX : n;
}

static void
read_stamps(struct task_message *t)
{
    struct json_object *stamps = json_get(t->msg->headers, "stamps");
    struct json_object *names = json_get(t->msg->headers, "stamped_headers");

    if (json_object_is_type(stamps, json_type_object) &&
        json_object_object_length(stamps) > 0)
        t->stamps = json_object_get(stamps);
    if (json_object_is_type(names, json_type_array) &&
        json_object_array_length(names) > 0)
        t->stamped_headers = json_object_get(names);
}

static enum status
read_headers(struct decoder *d)
{
    struct task_message *t = d->t;
    struct json_object *h = t->msg->headers;
    struct json_object *ignore = json_get(h, "ignore_result");
    enum status st = read_id(d);

    if (st == ST_OK)
        st = read_name(d);
    if (st == ST_OK)
        st = read_time(d, "eta", &t->eta, &t->eta_us);
    if (st == ST_OK)
        st = read_time(d, "expires", &t->expires, &t->expires_us);
    if (st != ST_OK)
        return st;
    t->has_eta = t->eta.ptr != NULL;
    t->has_expires = t->expires.ptr != NULL;
    t->root_id = json_get_str(h, "root_id");
    t->parent_id = json_get_str(h, "parent_id");
    t->group = json_get_str(h, "group");
    t->shadow = json_get_str(h, "shadow");
    t->origin = json_get_str(h, "origin");
    t->argsrepr = json_get_str(h, "argsrepr");
    t->kwargsrepr = json_get_str(h, "kwargsrepr");
    t->reply_to = slice_of(t->msg->reply_to);
    t->correlation_id = slice_of(t->msg->correlation_id);
    t->retries = count(h, "retries", 0);
    t->group_index = count(h, "group_index", -1);
    t->replaced_task_nesting = count(h, "replaced_task_nesting", 0);
    if (ignore != NULL)
        t->ignore_result = json_object_get_boolean(ignore) ? 1 : 0;
    t->redelivered =
        t->msg->redelivered || json_get_bool(h, "redelivered", false);
    read_limits(t);
    read_stamps(t);
    return ST_OK;
}

/* null stands for "none" wherever a part may be absent. */
static enum status
take_args(struct decoder *d, struct json_object *args,
          struct json_object *kwargs)
{
    if (args != NULL && !json_object_is_type(args, json_type_array))
        return invalid(d, "args is no array");
    if (kwargs != NULL && !json_object_is_type(kwargs, json_type_object))
        return invalid(d, "kwargs is no object");
    d->t->args = args != NULL ? json_object_get(args) : json_object_new_array();
    d->t->kwargs =
        kwargs != NULL ? json_object_get(kwargs) : json_object_new_object();
    return d->t->args != NULL && d->t->kwargs != NULL ? ST_OK : nomem(d);
}

/* A list of signatures; a lone one is a list of one, an empty one is none. */
static enum status
take_list(struct decoder *d, struct json_object *embed, const char *key,
          struct json_object **out)
{
    struct json_object *v = json_get(embed, key);

    if (json_object_is_type(v, json_type_array)) {
        if (json_object_array_length(v) > 0)
            *out = json_object_get(v);
        return ST_OK;
    }
    if (v == NULL)
        return ST_OK;
    if (!json_object_is_type(v, json_type_object)) {
        d->fault = TASK_FAULT_INVALID;
        return error_set(d->err, ST_PROTO, "%s is no list of signatures", key);
    }
    *out = json_object_new_array();
    return json_append(*out, json_object_get(v)) == ST_OK ? ST_OK : nomem(d);
}

static enum status
take_embed(struct decoder *d, struct json_object *embed)
{
    struct task_message *t = d->t;
    struct json_object *chord;
    enum status st;

    if (embed == NULL)
        return ST_OK;
    if (!json_object_is_type(embed, json_type_object))
        return invalid(d, "embed is no object");
    st = take_list(d, embed, "callbacks", &t->callbacks);
    if (st == ST_OK)
        st = take_list(d, embed, "errbacks", &t->errbacks);
    if (st == ST_OK)
        st = take_list(d, embed, "chain", &t->chain);
    if (st != ST_OK)
        return st;
    chord = json_get(embed, "chord");
    if (chord != NULL && !json_object_is_type(chord, json_type_object))
        return invalid(d, "chord is no signature");
    t->chord = json_object_get(chord);
    return ST_OK;
}

/* Version 1 and the hybrid: one object, which is its own embed. */
static enum status
read_object(struct decoder *d, struct json_object *body)
{
    enum status st = merge_headers(d, body);

    if (st == ST_OK)
        st = read_headers(d);
    if (st == ST_OK)
        st = take_args(d, json_get(body, "args"), json_get(body, "kwargs"));
    return st == ST_OK ? take_embed(d, body) : st;
}

static enum status
read_array(struct decoder *d, struct json_object *body)
{
    enum status st = read_headers(d);

    if (st != ST_OK)
        return st;
    if (json_object_array_length(body) != EMBED_PARTS)
        return invalid(d, "the body is no array of args, kwargs and embed");
    st = take_args(d, json_object_array_get_idx(body, 0),
                   json_object_array_get_idx(body, 1));
    return st == ST_OK ? take_embed(d, json_object_array_get_idx(body, 2)) : st;
}

static enum status
decode_v2(struct decoder *d)
{
    struct json_object *body = NULL;
    enum status st;

    d->t->protocol = 2;
    st = load_body(d, &body);
    if (st != ST_OK)
        return st;
    if (json_object_is_type(body, json_type_array))
        st = read_array(d, body);
    else if (json_object_object_get_ex(body, "args", NULL))
        st = read_object(d, body);
    else
        st = invalid(d, "the body is no array of args, kwargs and embed");
    json_object_put(body);
    return st;
}

static enum status
decode_v1(struct decoder *d)
{
    struct json_object *body = NULL;
    enum status st;

    d->t->protocol = 1;
    st = load_body(d, &body);
    if (st != ST_OK) {
        /* Python has not looked at the type yet when it fails here. */
        if (d->fault == TASK_FAULT_INVALID && st != ST_TOOBIG)
            d->fault = d->t->msg->body_len > 0 ? TASK_FAULT_UNDECODED
                                               : TASK_FAULT_UNKNOWN;
        return st;
    }
    if (json_get(body, "task") != NULL) {
        st = read_object(d, body);
    } else {
        d->fault = TASK_FAULT_UNKNOWN;
        st = error_set(d->err, ST_PROTO, "no task message of any protocol");
    }
    json_object_put(body);
    return st;
}

static void
copy_id(struct message *m, char *id_out)
{
    struct slice id = json_get_str(m->headers, "id");

    if (id_out == NULL)
        return;
    id_out[0] = '\0';
    if (id.len == 0 || id.len > TASK_ID_MAX)
        return;
    memcpy(id_out, id.ptr, id.len);
    id_out[id.len] = '\0';
}

enum status
task_decode(struct message **m, const char *accept, struct task_message *out,
            enum task_fault *fault, char *id_out, struct error *err)
{
    struct decoder d = {.t = out, .accept = accept, .err = err};
    enum status st;

    *out = (struct task_message){
        .msg = *m, .group_index = -1, .ignore_result = -1};
    *m = NULL;
    if (json_object_object_get_ex(out->msg->headers, "task", NULL))
        st = decode_v2(&d);
    else
        st = decode_v1(&d);
    copy_id(out->msg, id_out);
    *fault = d.fault;
    if (st != ST_OK)
        task_fini(out);
    return st;
}

void
task_fini(struct task_message *t)
{
    message_free(t->msg);
    json_object_put(t->args);
    json_object_put(t->kwargs);
    json_object_put(t->callbacks);
    json_object_put(t->errbacks);
    json_object_put(t->chain);
    json_object_put(t->chord);
    json_object_put(t->stamps);
    json_object_put(t->stamped_headers);
    *t = (struct task_message){0};
}

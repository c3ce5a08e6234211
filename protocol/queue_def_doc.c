/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of queues, from the forms that Celery takes to the whole object
 * that kombu's Queue.as_dict() gives. */
#include "protocol/queue_def.h"

#include <string.h>

#include "base/id.h"

struct reader {
    const char *setting;
    struct slice name; /* of the queue, once it is known */
    const struct queue_defaults *d;
    struct error *err;
};

/* ---- checking fields ---- */

enum kind { TEXT, NAME, FLAG, SECONDS, COUNT, OBJECT, MODE, ANY };

struct field {
    const char *name;
    enum kind kind;
};

static const struct field queue_fields[] = {
    {"name", NAME},
    {"alias", TEXT},
    {"exchange", ANY},
    {"exchange_type", TEXT},
    {"exchange_durable", FLAG},
    {"exchange_auto_delete", FLAG},
    {"exchange_arguments", OBJECT},
    {"delivery_mode", MODE},
    {"routing_key", NAME},
    {"binding_key", NAME},
    {"bindings", ANY},
    {"queue_arguments", OBJECT},
    {"arguments", OBJECT},
    {"binding_arguments", OBJECT},
    {"consumer_arguments", OBJECT},
    {"durable", FLAG},
    {"queue_durable", FLAG},
    {"exclusive", FLAG},
    {"auto_delete", FLAG},
    {"queue_auto_delete", FLAG},
    {"no_ack", FLAG},
    {"no_declare", FLAG},
    {"expires", SECONDS},
    {"message_ttl", SECONDS},
    {"max_length", COUNT},
    {"max_length_bytes", COUNT},
    {"max_priority", COUNT},
    {"broadcast", FLAG},
    {"queue", NAME},
    {NULL, ANY},
};

static const struct field exchange_fields[] = {
    {"name", NAME},          {"type", TEXT},        {"durable", FLAG},
    {"auto_delete", FLAG},   {"arguments", OBJECT}, {"no_declare", FLAG},
    {"delivery_mode", MODE}, {"passive", FLAG},     {NULL, ANY},
};

static const struct field binding_fields[] = {
    {"exchange", ANY},     {"exchange_type", TEXT},
    {"routing_key", NAME}, {"arguments", OBJECT},
    {NULL, ANY},
};

static enum status
bad(const struct reader *r, const char *field, const char *why)
{
    return error_set(r->err, ST_INVALID, "%s: queue \"%.*s\": %s %s",
                     r->setting, (int)(r->name.len < 80 ? r->name.len : 80),
                     r->name.len ? r->name.ptr : "", field, why);
}

static enum status
no_memory(const struct reader *r)
{
    return error_set(r->err, ST_NOMEM, "%s: out of memory", r->setting);
}

static bool
is_number(struct json_object *v)
{
    return json_object_is_type(v, json_type_int) ||
           json_object_is_type(v, json_type_double);
}

static bool
is_mode(struct json_object *v)
{
    struct slice s = json_str(v);
    int64_t n = json_object_get_int64(v);

    if (s.ptr != NULL)
        return strcmp(s.ptr, "transient") == 0 ||
               strcmp(s.ptr, "persistent") == 0;
    return json_object_is_type(v, json_type_int) && (n == 1 || n == 2);
}

/* What is wrong with v; NULL: nothing. */
static const char *
fault(enum kind kind, struct json_object *v)
{
    struct slice s = json_str(v);
    double n = is_number(v) ? json_object_get_double(v) : -1;

    switch (kind) {
    case NAME:
    case TEXT:
        if (s.ptr == NULL || strlen(s.ptr) != s.len)
            return "is not a text";
        return s.len > QUEUE_NAME_MAX ? "is longer than 255 bytes" : NULL;
    case FLAG:
        return json_object_is_type(v, json_type_boolean)
                   ? NULL
                   : "is neither true nor false";
    case SECONDS:
        return n >= 0 && n < 1e10 ? NULL : "is not a number of seconds";
    case COUNT:
        return json_object_is_type(v, json_type_int) && n >= 0
                   ? NULL
                   : "is not a number from 0 on";
    case OBJECT:
        return json_object_is_type(v, json_type_object) ? NULL
                                                        : "is no JSON object";
    case MODE:
        return is_mode(v) ? NULL
                          : "is not 1, 2, \"transient\" or "
                            "\"persistent\"";
    case ANY:
        break;
    }
    return NULL;
}

static enum status
check(const struct reader *r, const char *what, struct json_object *o,
      const struct field *fields)
{
    struct json_object_iter it;
    const char *why;

    if (!json_object_is_type(o, json_type_object))
        return bad(r, what, "is no JSON object");
    json_object_object_foreachC(o, it)
    {
        const struct field *f = fields;

        while (f->name != NULL && strcmp(f->name, it.key) != 0)
            f++;
        if (f->name == NULL)
            return error_set(r->err, ST_INVALID,
                             "%s: queue \"%.*s\": %sno field is called "
                             "\"%.60s\"",
                             r->setting, (int)r->name.len,
                             r->name.len ? r->name.ptr : "", what, it.key);
        why = it.val == NULL ? NULL : fault(f->kind, it.val);
        if (why != NULL)
            return bad(r, it.key, why);
    }
    return ST_OK;
}

/* ---- making it whole ---- */

/* doc[key] = v, shared; null for NULL. */
static enum status
put(struct json_object *doc, const char *key, struct json_object *v)
{
    return v == NULL ? json_set_null(doc, key)
                     : json_set(doc, key, json_object_get(v));
}

static enum status
put_text(struct json_object *doc, const char *key, const char *s)
{
    return json_set(doc, key, json_new_str(slice_of(s)));
}

static enum status
put_flag(struct json_object *doc, const char *key, bool on)
{
    return json_set(doc, key, json_object_new_boolean(on));
}

static int
mode_of(struct json_object *v)
{
    struct slice s = json_str(v);

    if (s.ptr != NULL)
        return strcmp(s.ptr, "transient") == 0 ? 1 : 2;
    return v == NULL ? 0 : json_object_get_int(v);
}

/* The whole of an exchange. */
struct exchange_parts {
    const char *name, *type;
    bool durable, auto_delete, no_declare;
    int mode;
    struct json_object *arguments;
};

static enum status
make_exchange(const struct exchange_parts *p, struct json_object **out)
{
    struct json_object *e = json_object_new_object();
    enum status st = put_text(e, "name", p->name);

    if (st == ST_OK)
        st = put_text(e, "type", p->type);
    if (st == ST_OK)
        st = put(e, "arguments", p->arguments);
    if (st == ST_OK)
        st = put_flag(e, "durable", p->durable);
    if (st == ST_OK)
        st = put_flag(e, "passive", false);
    if (st == ST_OK)
        st = put_flag(e, "auto_delete", p->auto_delete);
    if (st == ST_OK && p->mode != 0)
        st = json_set(e, "delivery_mode", json_object_new_int(p->mode));
    else if (st == ST_OK)
        st = json_set_null(e, "delivery_mode");
    if (st == ST_OK)
        st = put_flag(e, "no_declare", p->no_declare);
    if (st == ST_OK)
        *out = e;
    else
        json_object_put(e);
    return st;
}

/* The member "exchange" of o, a name or an object, into p, which has the
 * defaults. */
static enum status
read_exchange(const struct reader *r, struct json_object *o,
              struct exchange_parts *p)
{
    struct json_object *x = json_get(o, "exchange");
    struct slice type = json_get_str(o, "exchange_type");
    enum status st;

    if (type.len > 0)
        p->type = type.ptr;
    if (x == NULL)
        return ST_OK;
    if (json_object_is_type(x, json_type_string)) {
        if (fault(NAME, x) != NULL)
            return bad(r, "exchange", fault(NAME, x));
        p->name = json_str(x).ptr;
        return ST_OK;
    }
    if (!json_object_is_type(x, json_type_object))
        return bad(r, "exchange", "is neither a name nor a JSON object");
    st = check(r, "exchange: ", x, exchange_fields);
    if (st != ST_OK)
        return st;
    p->name = json_get_str(x, "name").len ? json_get_str(x, "name").ptr : "";
    if (json_get_str(x, "type").len > 0)
        p->type = json_get_str(x, "type").ptr;
    p->durable = json_get_bool(x, "durable", p->durable);
    p->auto_delete = json_get_bool(x, "auto_delete", p->auto_delete);
    p->no_declare = json_get_bool(x, "no_declare", false);
    if (json_get(x, "arguments") != NULL)
        p->arguments = json_get(x, "arguments");
    if (json_get(x, "delivery_mode") != NULL)
        p->mode = mode_of(json_get(x, "delivery_mode"));
    return ST_OK;
}

/* Celery's dict form has the exchange's fields beside the queue's, and what is
 * said of the queue alone holds for both. */
static enum status
own_exchange(const struct reader *r, struct json_object *o, bool dict_form,
             struct json_object **out)
{
    struct exchange_parts p = {
        .name = "",
        .type = "direct",
        .durable = !dict_form || json_get_bool(o, "durable", true),
        .auto_delete = dict_form && json_get_bool(o, "auto_delete", false),
        .arguments = json_get(o, "exchange_arguments"),
        .mode = mode_of(json_get(o, "delivery_mode")),
    };
    enum status st;

    p.durable = json_get_bool(o, "exchange_durable", p.durable);
    p.auto_delete = json_get_bool(o, "exchange_auto_delete", p.auto_delete);
    if (json_get_bool(o, "broadcast", false)) {
        p.name = json_get_str(o, "name").ptr;
        p.type = "fanout";
    }
    st = read_exchange(r, o, &p);
    if (st != ST_OK)
        return st;
    if (*p.name == '\0') { /* Celery gives it the default one, type and all */
        p = (struct exchange_parts){.name = r->d->exchange,
                                    .type = r->d->exchange_type,
                                    .durable = true};
    }
    st = make_exchange(&p, out);
    return st == ST_OK ? ST_OK : no_memory(r);
}

static enum status
read_binding(const struct reader *r, struct json_object *o,
             struct json_object **out)
{
    struct exchange_parts p = {.name = "", .type = "direct", .durable = true};
    struct json_object *b = NULL, *e = NULL;
    struct slice key;
    enum status st = check(r, "bindings: ", o, binding_fields);

    if (st == ST_OK)
        st = read_exchange(r, o, &p);
    if (st == ST_OK && *p.name == '\0')
        st = bad(r, "bindings:", "one has no exchange");
    if (st != ST_OK)
        return st;
    key = json_get_str(o, "routing_key");
    b = json_object_new_object();
    st = make_exchange(&p, &e);
    if (st == ST_OK)
        st = json_set(b, "exchange", e);
    if (st == ST_OK)
        st = put_text(b, "routing_key", key.ptr != NULL ? key.ptr : "");
    if (st == ST_OK)
        st = put(b, "arguments", json_get(o, "arguments"));
    if (st == ST_OK)
        st = json_set_null(b, "unbind_arguments");
    if (st != ST_OK) {
        json_object_put(b);
        return no_memory(r);
    }
    *out = b;
    return ST_OK;
}

static enum status
read_bindings(const struct reader *r, struct json_object *o,
              struct json_object *doc)
{
    struct json_object *from = json_get(o, "bindings"), *b = NULL;
    struct json_object *list = json_object_new_array();
    size_t n = from == NULL ? 0 : QUEUE_BINDINGS_MAX;
    enum status st = list == NULL ? no_memory(r) : ST_OK;

    if (st == ST_OK && from != NULL &&
        !json_object_is_type(from, json_type_array))
        st = bad(r, "bindings", "is no JSON array");
    if (st == ST_OK && from != NULL)
        n = json_object_array_length(from);
    if (st == ST_OK && n >= QUEUE_BINDINGS_MAX)
        st = bad(r, "bindings", "has more than 255 elements");
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        st = read_binding(r, json_object_array_get_idx(from, i), &b);
        if (st == ST_OK && json_append(list, b) != ST_OK)
            st = no_memory(r);
    }
    if (st != ST_OK) {
        json_object_put(list);
        return st;
    }
    return json_set(doc, "bindings", list) == ST_OK ? ST_OK : no_memory(r);
}

/* task_queue_max_priority is written into the arguments, as Celery does. */
static enum status
put_arguments(const struct reader *r, struct json_object *o,
              struct json_object *doc)
{
    struct json_object *args = json_get(o, "queue_arguments"), *copy;

    if (args == NULL)
        args = json_get(o, "arguments");
    if (r->d->max_priority == 0 || json_get(args, "x-max-priority") != NULL)
        return put(doc, "queue_arguments", args);
    copy = args == NULL ? json_object_new_object() : json_copy(args);
    if (copy == NULL ||
        json_set(copy, "x-max-priority",
                 json_object_new_int(r->d->max_priority)) != ST_OK) {
        json_object_put(copy);
        return ST_NOMEM;
    }
    return json_set(doc, "queue_arguments", copy);
}

static enum status
put_seconds(struct json_object *o, const char *key, struct json_object *doc)
{
    struct json_object *v = json_get(o, key);

    if (v == NULL)
        return json_set_null(doc, key);
    return json_set(doc, key, json_new_double(json_object_get_double(v)));
}

static enum status
put_numbers(struct json_object *o, struct json_object *doc)
{
    static const char *const counts[] = {"max_length", "max_length_bytes",
                                         "max_priority"};
    enum status st = put_seconds(o, "expires", doc);

    if (st == ST_OK)
        st = put_seconds(o, "message_ttl", doc);
    for (size_t i = 0; i < 3 && st == ST_OK; i++)
        st = put(doc, counts[i], json_get(o, counts[i]));
    return st;
}

static enum status
put_flags(struct json_object *o, struct json_object *doc)
{
    bool broadcast = json_get_bool(o, "broadcast", false);
    bool exclusive = json_get_bool(o, "exclusive", false);
    bool durable = json_get_bool(o, "durable", true);
    bool auto_delete = json_get_bool(o, "auto_delete", broadcast);
    enum status st;

    durable = json_get_bool(o, "queue_durable", durable);
    auto_delete = json_get_bool(o, "queue_auto_delete", auto_delete);
    st = put_flag(doc, "durable", durable);
    if (st == ST_OK)
        st = put_flag(doc, "exclusive", exclusive);
    if (st == ST_OK)
        st = put_flag(doc, "auto_delete", auto_delete || exclusive);
    if (st == ST_OK)
        st = put_flag(doc, "no_ack", json_get_bool(o, "no_ack", false));
    return st;
}

static struct slice
routing_key(const struct reader *r, struct json_object *o, bool dict_form)
{
    struct slice key = json_get_str(o, "binding_key");

    if (key.len == 0 || json_get_str(o, "routing_key").len > 0)
        key = json_get_str(o, "routing_key");
    if (key.len == 0)
        key = dict_form ? r->name : slice_of(r->d->routing_key);
    return key;
}

static enum status
fill_doc(const struct reader *r, struct json_object *o, bool dict_form,
         struct json_object *doc)
{
    static const char *const shared[] = {"binding_arguments",
                                         "consumer_arguments"};
    struct json_object *exchange = NULL;
    enum status st = json_set(doc, "name", json_new_str(r->name));

    if (st == ST_OK)
        st = own_exchange(r, o, dict_form, &exchange);
    if (st == ST_INVALID)
        return st;
    if (st == ST_OK)
        st = json_set(doc, "exchange", exchange);
    if (st == ST_OK)
        st = json_set(doc, "routing_key",
                      json_new_str(routing_key(r, o, dict_form)));
    if (st == ST_OK)
        st = put_arguments(r, o, doc);
    for (size_t i = 0; i < 2 && st == ST_OK; i++)
        st = put(doc, shared[i], json_get(o, shared[i]));
    if (st == ST_OK)
        st = put_flags(o, doc);
    if (st == ST_OK && json_get(doc, "alias") == NULL)
        st = put(doc, "alias", json_get(o, "alias"));
    if (st == ST_OK)
        st = put(doc, "no_declare", json_get(o, "no_declare"));
    if (st == ST_OK)
        st = put_numbers(o, doc);
    return st == ST_OK ? read_bindings(r, o, doc) : no_memory(r);
}

/* kombu's Broadcast("x"): a queue of its own for each consumer, called x in
 * routes. */
static enum status
make_broadcast(struct reader *r, struct json_object *o, struct json_object *doc,
               struct buf *name)
{
    struct slice own = json_get_str(o, "queue");
    char id[ID_LEN + 1];
    enum status st;

    id_new(id);
    if (own.len > 0)
        buf_add(name, own);
    else
        buf_addf(name, "bcast.%s", id);
    if (name->failed)
        return no_memory(r);
    st = json_set(doc, "alias", json_new_str(r->name));
    r->name = (struct slice){name->data, name->len};
    if (st == ST_OK)
        st = json_set(doc, "queue", json_new_str(r->name));
    return st == ST_OK ? ST_OK : no_memory(r);
}

/* ---- exported ---- */

enum status
queue_def_doc(struct json_object *from, const char *setting, struct slice name,
              const struct queue_defaults *d, struct json_object **out,
              struct error *err)
{
    struct reader r = {setting, name, d, err};
    bool dict_form = name.ptr != NULL;
    struct json_object *doc = json_object_new_object();
    struct buf own;
    enum status st;

    buf_init(&own, QUEUE_NAME_MAX + 1);
    if (!dict_form)
        r.name = json_get_str(from, "name");
    st = doc == NULL ? no_memory(&r) : check(&r, "", from, queue_fields);
    if (st == ST_OK && (r.name.len == 0 || r.name.len > QUEUE_NAME_MAX))
        st = bad(&r, "name",
                 r.name.len == 0 ? "is missing" : "is longer than 255 bytes");
    if (st == ST_OK && json_get_bool(from, "broadcast", false))
        st = make_broadcast(&r, from, doc, &own);
    if (st == ST_OK)
        st = fill_doc(&r, from, dict_form, doc);
    if (st == ST_OK)
        *out = doc;
    else
        json_object_put(doc);
    buf_fini(&own);
    return st;
}

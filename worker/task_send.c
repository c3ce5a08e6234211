/* SPDX-License-Identifier: Apache-2.0 */
/* The task API: signatures, and sending them. */
#include <string.h>

#include "base/id.h"
#include "protocol/signature.h"
#include "worker/task.h"
#include "worker/value.h"

static struct json_object *
json_of(const lovage_signature *s)
{
    return (struct json_object *)(uintptr_t)s;
}

static lovage_signature *
sig_of(struct json_object *json)
{
    return (lovage_signature *)(void *)json;
}

lovage_signature *
lovage_sig(const char *task, lovage_value *args, lovage_value *kwargs)
{
    struct json_object *a = value_json(args), *k = value_json(kwargs);
    struct json_object *sig = signature_new(slice_of(task), a, k, false);

    json_object_put(a);
    json_object_put(k);
    return sig_of(sig);
}

static struct json_object *
options_of(struct json_object *sig)
{
    struct json_object *o = json_get(sig, "options");

    if (!o && json_set(sig, "options", json_object_new_object()) == ST_OK)
        o = json_get(sig, "options");
    return o;
}

lovage_status
lovage_sig_set(lovage_signature *s, const char *option, lovage_value *v)
{
    struct json_object *json, *where;

    if (value_take(v, &json) != ST_OK)
        return LOVAGE_FAILED;
    where = json_of(s);
    if (where && strcmp(option, "immutable") != 0)
        where = options_of(where);
    if (!where) {
        json_object_put(json);
        return LOVAGE_FAILED;
    }
    if (!json)
        return json_set_null(where, option) == ST_OK ? LOVAGE_OK
                                                     : LOVAGE_FAILED;
    return json_set(where, option, json) == ST_OK ? LOVAGE_OK : LOVAGE_FAILED;
}

/* options[name] is a list of signatures, or one alone as Python writes it. */
static lovage_status
add_link(lovage_signature *s, const char *name, lovage_signature *other)
{
    struct json_object *link = json_of(other), *o, *list;

    o = s && other ? options_of(json_of(s)) : NULL;
    if (!o) {
        json_object_put(link);
        return LOVAGE_FAILED;
    }
    list = json_object_get(json_get(o, name));
    if (json_object_get_type(list) != json_type_array) {
        struct json_object *one = list;

        list = json_object_new_array();
        if (one && list && json_append(list, one) != ST_OK) {
            json_object_put(list);
            list = NULL;
        }
    }
    if (!list || json_append(list, link) != ST_OK) {
        json_object_put(list);
        return LOVAGE_FAILED;
    }
    return json_set(o, name, list) == ST_OK ? LOVAGE_OK : LOVAGE_FAILED;
}

lovage_status
lovage_sig_link(lovage_signature *s, lovage_signature *callback)
{
    return add_link(s, "link", callback);
}

lovage_status
lovage_sig_link_error(lovage_signature *s, lovage_signature *errback)
{
    return add_link(s, "link_error", errback);
}

static struct json_object *
array_of(lovage_signature **items, size_t n)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < n; i++) {
        if (!list || !items[i]) {
            json_object_put(json_of(items[i]));
            json_object_put(list);
            list = NULL;
        } else if (json_append(list, json_of(items[i])) != ST_OK) {
            json_object_put(list);
            list = NULL;
        }
        items[i] = NULL;
    }
    return list;
}

/* A canvas: its parts are in kwargs, its type in subtask_type.  Consumes. */
static lovage_signature *
canvas(const char *task, const char *type, const char *key,
       struct json_object *parts, struct json_object *body)
{
    struct json_object *sig, *kwargs;

    sig = signature_new(slice_of(task), NULL, NULL, false);
    kwargs = sig && parts ? json_object_new_object() : NULL;
    if (!kwargs) {
        json_object_put(parts);
        json_object_put(body);
        json_object_put(sig);
        return NULL;
    }
    if (json_set(kwargs, key, parts) != ST_OK ||
        (body && json_set(kwargs, "body", body) != ST_OK)) {
        json_object_put(kwargs);
        json_object_put(sig);
        return NULL;
    }
    if (json_set(sig, "kwargs", kwargs) != ST_OK ||
        json_set(sig, "subtask_type", json_new_str(slice_of(type))) != ST_OK) {
        json_object_put(sig);
        return NULL;
    }
    return sig_of(sig);
}

lovage_signature *
lovage_chain(lovage_signature **steps, size_t n)
{
    return canvas("celery.chain", "chain", "tasks", array_of(steps, n), NULL);
}

lovage_signature *
lovage_group(lovage_signature **members, size_t n)
{
    return canvas("celery.group", "group", "tasks", array_of(members, n), NULL);
}

lovage_signature *
lovage_chord(lovage_signature **members, size_t n, lovage_signature *body)
{
    struct json_object *header = array_of(members, n);

    if (!body) {
        json_object_put(header);
        return NULL;
    }
    return canvas("celery.chord", "chord", "header", header, json_of(body));
}

lovage_signature *
lovage_sig_parse(const char *json)
{
    struct json_object *sig = NULL;

    if (json_parse(slice_of(json), JSON_DEPTH, &sig, NULL) != ST_OK)
        return NULL;
    if (signature_check(sig, NULL) != ST_OK) {
        json_object_put(sig);
        return NULL;
    }
    return sig_of(sig);
}

void
lovage_sig_free(lovage_signature *s)
{
    json_object_put(json_of(s));
}

/* Gives the signature its id now, so that the caller knows it: a chord's is
 * its body's.  Borrowed; NULL without memory. */
static const char *
fix_id(struct json_object *sig)
{
    struct json_object *where = sig, *o;
    struct slice id;
    char text[ID_LEN + 1];

    if (signature_type(sig) == SIG_CHORD)
        where = json_get(json_get(sig, "kwargs"), "body");
    o = where ? options_of(where) : NULL;
    if (!o)
        return NULL;
    id = json_get_str(o, "task_id");
    if (!id.ptr) {
        id_new(text);
        if (json_set(o, "task_id", json_new_str(slice_of(text))) != ST_OK)
            return NULL;
        id = json_get_str(o, "task_id");
    }
    return id.ptr;
}

/* Keeps the id for as long as the task lives. */
static const char *
remember(lovage_task *t, const char *id)
{
    struct json_object *s = json_new_str(slice_of(id));

    if (!t->sent)
        t->sent = json_object_new_array();
    if (!t->sent || !s || json_append(t->sent, s) != ST_OK)
        return NULL;
    return json_object_get_string(s);
}

lovage_status
lovage_send(lovage_task *t, lovage_signature *s, const char **id)
{
    struct json_object *sig = json_of(s);
    const char *the_id = NULL;
    struct error err = {.text = ""};
    enum status st = ST_NOMEM;

    if (sig)
        st = signature_check(sig, &err);
    if (st == ST_OK) {
        the_id = fix_id(sig);
        st = the_id ? t->host->send(t, sig) : ST_NOMEM;
    }
    if (st == ST_OK && id)
        *id = remember(t, the_id);
    json_object_put(sig);
    if (st == ST_OK && (!id || *id))
        return LOVAGE_OK;
    return lovage_raisef(t, "ValueError", "cannot send: %s",
                         err.text[0] ? err.text : status_text(st));
}

lovage_status
lovage_replace(lovage_task *t, lovage_signature *sig)
{
    struct json_object *json = json_of(sig);
    struct error err = {.code = ST_NOMEM, .text = "out of memory"};

    if (!json || signature_check(json, &err) != ST_OK) {
        json_object_put(json);
        return lovage_raisef(t, "ValueError", "cannot replace: %s", err.text);
    }
    json_object_put(t->out.sig);
    t->out.sig = json;
    outcome_set(&t->out, OUTCOME_REPLACE);
    return LOVAGE_ENDED;
}

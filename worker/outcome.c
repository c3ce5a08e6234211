/* SPDX-License-Identifier: Apache-2.0 */
/* The outcome of one execution, and its way from an executor to the node. */
#include "worker/outcome.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/state.h"

static const char *const names[OUTCOME_KINDS] = {
    [OUTCOME_NONE] = "none",       [OUTCOME_RETURN] = "return",
    [OUTCOME_RAISE] = "raise",     [OUTCOME_RETRY] = "retry",
    [OUTCOME_REJECT] = "reject",   [OUTCOME_IGNORE] = "ignore",
    [OUTCOME_REPLACE] = "replace", [OUTCOME_REVOKED] = "revoked",
};

void
outcome_init(struct outcome *o)
{
    memset(o, 0, sizeof(*o));
    o->prompt_tokens = o->completion_tokens = o->total_tokens = -1;
}

void
outcome_fini(struct outcome *o)
{
    json_object_put(o->result);
    json_object_put(o->exc);
    json_object_put(o->sig);
    free(o->text);
    free(o->traceback);
    free(o->model);
    outcome_init(o);
}

const char *
outcome_name(enum outcome_kind k)
{
    return names[k];
}

void
outcome_set(struct outcome *o, enum outcome_kind k)
{
    json_object_put(o->exc);
    o->exc = NULL;
    free(o->traceback);
    o->traceback = NULL;
    o->kind = k;
}

void
outcome_raise_args(struct outcome *o, const char *type, const char *module,
                   struct json_object *args)
{
    outcome_set(o, OUTCOME_RAISE);
    o->exc = state_exception(type, module, args);
    json_object_put(args);
}

void
outcome_raise(struct outcome *o, const char *type, const char *module,
              const char *text)
{
    struct json_object *args = json_object_new_array();
    struct slice s = {text, strlen(text)};

    if (args && json_append(args, json_new_str(s)) != ST_OK) {
        json_object_put(args);
        args = NULL;
    }
    outcome_raise_args(o, type, module, args);
}

static enum status
put_text(struct json_object *head, const char *key, const char *text)
{
    struct slice s = {text, text ? strlen(text) : 0};

    return text ? json_set(head, key, json_new_str(s)) : ST_OK;
}

static enum status
put_ref(struct json_object *head, const char *key, struct json_object *v)
{
    return v ? json_set(head, key, json_object_get(v)) : ST_OK;
}

static enum status
put_head(const struct outcome *o, struct json_object *head)
{
    enum status st = put_text(head, "end", names[o->kind]);

    if (st == ST_OK)
        st = put_ref(head, "exc", o->exc);
    if (st == ST_OK)
        st = put_text(head, "traceback", o->traceback);
    if (st == ST_OK)
        st = put_ref(head, "sig", o->sig);
    if (st == ST_OK && o->kind == OUTCOME_RETRY)
        st = json_set(head, "countdown", json_new_double(o->countdown));
    if (st == ST_OK && o->requeue)
        st = json_set(head, "requeue", json_object_new_boolean(true));
    return st;
}

enum status
outcome_encode(const struct outcome *o, struct json_object *head,
               struct buf *body)
{
    struct slice text = {o->text, o->text_len};
    enum status st = head ? put_head(o, head) : ST_OK;

    if (st != ST_OK || o->kind != OUTCOME_RETURN)
        return st;
    if (o->text)
        buf_add(body, text);
    else
        json_add(body, o->result);
    return body->failed ? ST_TOOBIG : ST_OK;
}

static enum outcome_kind
kind_of(struct slice name)
{
    for (int k = OUTCOME_RETURN; k < OUTCOME_KINDS; k++)
        if (name.ptr && strlen(names[k]) == name.len &&
            !memcmp(names[k], name.ptr, name.len))
            return (enum outcome_kind)k;
    return OUTCOME_NONE;
}

static char *
dup_slice(struct slice s)
{
    return s.ptr ? strndup(s.ptr, s.len) : NULL;
}

enum status
outcome_decode(struct json_object *head, struct slice body, struct outcome *o,
               struct error *err)
{
    outcome_init(o);
    o->kind = head ? kind_of(json_get_str(head, "end")) : OUTCOME_RETURN;
    if (o->kind == OUTCOME_NONE)
        return error_set(err, ST_PROTO, "an executor's outcome has no kind");
    o->exc = json_object_get(json_get(head, "exc"));
    o->sig = json_object_get(json_get(head, "sig"));
    o->traceback = dup_slice(json_get_str(head, "traceback"));
    o->countdown = json_get_double(head, "countdown", 0);
    o->requeue = json_get_bool(head, "requeue", false);
    if (o->kind != OUTCOME_RETURN)
        return ST_OK;
    o->text = malloc(body.len + 1);
    if (!o->text)
        return error_set(err, ST_NOMEM, "a result of %zu bytes", body.len);
    memcpy(o->text, body.ptr, body.len);
    o->text[body.len] = '\0';
    o->text_len = body.len;
    return ST_OK;
}

enum status
outcome_value(struct outcome *o, struct json_object **out, struct error *err)
{
    struct slice text = {o->text, o->text_len};
    enum status st = ST_OK;

    if (o->text && !o->result)
        st = json_parse(text, JSON_DEPTH, &o->result, err);
    if (st == ST_OK)
        *out = o->result;
    return st;
}

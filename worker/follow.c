/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a task: callbacks, the next of a chain, errbacks, and whatever
 * it sends (celery-wire.md 6.2, 6.3, 6.7). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/signature.h"
#include "worker/fields.h"
#include "worker/node.h"
#include "worker/value.h"

/* Whose child that which is sent is: the request's task, or the body of its
 * chord. */
struct parent {
    struct slice id, root_id;
};

static struct parent
parent_of(const struct request *rq)
{
    const struct task_message *tm = &rq->tm;

    return (struct parent){tm->id, tm->root_id.ptr ? tm->root_id : tm->id};
}

static enum status
apply(struct request *rq, struct parent parent, struct json_object *sig,
      struct json_object *partial, struct json_object *chain, struct error *err)
{
    struct signature_messages ms = {.count = 0};
    char origin[300];
    enum status st;
    struct signature_context ctx = {
        .partial = partial,
        .root_id = parent.root_id,
        .parent_id = parent.id,
        .reply_to = rq->tm.reply_to,
        .chain = chain,
        .topology = rq->n->topology,
        .now_us = clock_unix_us(),
    };
    const char *host = strchr(rq->n->name, '@');
    int len = snprintf(origin, sizeof(origin), "gen%d%s", (int)getpid(),
                       host ? host : "@");

    if (len > 0 && (size_t)len < sizeof(origin))
        ctx.origin = node_slice(origin);
    st = signature_check(sig, err);
    if (st == ST_OK)
        st = signature_apply(sig, &ctx, &ms, err);
    if (st == ST_OK)
        st = follow_send(rq, &ms, err);
    signature_messages_fini(&ms);
    return st;
}

enum status
follow_apply(struct request *rq, struct json_object *sig,
             struct json_object *partial, struct json_object *chain,
             struct error *err)
{
    return apply(rq, parent_of(rq), sig, partial, chain, err);
}

/* ---- after a success ---- */

static struct json_object *
args_of_one(struct json_object *v)
{
    struct json_object *args = json_object_new_array();

    if (args && value_append(args, json_object_get(v)) != ST_OK) {
        json_object_put(args);
        return NULL;
    }
    return args;
}

/* An implicit group of all in list that want says yes to. */
static struct json_object *
group_of(struct json_object *list, bool (*want)(struct json_object *))
{
    struct json_object *sig, *kwargs, *tasks = json_object_new_array();
    size_t n = json_object_array_length(list);
    enum status st = tasks ? ST_OK : ST_NOMEM;

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct json_object *s = json_object_array_get_idx(list, i);

        if (!want || want(s))
            st = json_append(tasks, json_object_get(s));
    }
    kwargs = json_object_new_object();
    sig = signature_new(node_slice("celery.group"), NULL, NULL, false);
    if (st != ST_OK || !kwargs || !sig) {
        json_object_put(tasks);
        json_object_put(kwargs);
        json_object_put(sig);
        return NULL;
    }
    field_take(kwargs, "tasks", tasks);
    field_take(sig, "kwargs", kwargs);
    field_text(sig, "subtask_type", "group");
    return sig;
}

static bool
is_group(struct json_object *sig)
{
    return signature_type(sig) == SIG_GROUP;
}

static bool
is_no_group(struct json_object *sig)
{
    return !is_group(sig);
}

static enum status
apply_rest(struct request *rq, struct json_object *callbacks,
           struct json_object *args, struct error *err)
{
    struct json_object *group = group_of(callbacks, is_no_group);
    enum status st = group ? ST_OK : ST_NOMEM;
    struct json_object *tasks = json_get(json_get(group, "kwargs"), "tasks");

    if (st == ST_OK && json_object_array_length(tasks) > 0)
        st = follow_apply(rq, group, args, NULL, err);
    json_object_put(group);
    return st;
}

static enum status
apply_callbacks(struct request *rq, struct json_object *args, struct error *err)
{
    struct json_object *cbs = rq->tm.callbacks;
    size_t n = cbs ? json_object_array_length(cbs) : 0;
    enum status st = ST_OK;

    if (n == 1)
        return follow_apply(rq, json_object_array_get_idx(cbs, 0), args, NULL,
                            err);
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct json_object *s = json_object_array_get_idx(cbs, i);

        if (is_group(s))
            st = follow_apply(rq, s, args, NULL, err);
    }
    return st == ST_OK && n ? apply_rest(rq, cbs, args, err) : st;
}

/* The chain is reversed: its last element is the next step. */
static enum status
apply_chain(struct request *rq, struct json_object *args, struct error *err)
{
    struct json_object *chain = rq->tm.chain, *rest, *next;
    size_t n = chain ? json_object_array_length(chain) : 0;
    enum status st = ST_OK;

    if (!n)
        return ST_OK;
    rest = json_object_new_array();
    for (size_t i = 0; rest && i + 1 < n && st == ST_OK; i++)
        st = json_append(rest,
                         json_object_get(json_object_array_get_idx(chain, i)));
    next = json_object_array_get_idx(chain, n - 1);
    if (!rest)
        st = ST_NOMEM;
    if (st == ST_OK)
        st = follow_apply(rq, next, args, rest, err);
    json_object_put(rest);
    return st;
}

static bool
has_elements(struct json_object *array)
{
    return array && json_object_array_length(array) > 0;
}

static enum status
follow_success(struct request *rq, struct error *err)
{
    struct json_object *value = NULL, *args;
    enum status st;

    if (!has_elements(rq->tm.callbacks) && !has_elements(rq->tm.chain))
        return ST_OK;
    st = outcome_value(&rq->out, &value, err);
    if (st != ST_OK)
        return st;
    args = args_of_one(value);
    st = args ? apply_callbacks(rq, args, err) : ST_NOMEM;
    if (st == ST_OK)
        st = apply_chain(rq, args, err);
    json_object_put(args);
    return st;
}

/* As in Celery, a task whose followers cannot be sent has failed. */
static void
check_followed(struct request *rq, enum status st, const struct error *err)
{
    if (st != ST_OK)
        outcome_raise(&rq->out,
                      st == ST_DENIED ? "NotImplementedError" : "ValueError",
                      "builtins", err->text);
}

bool
follow_refused(struct request *rq)
{
    enum outcome_kind k = rq->out.kind;
    char text[80];

    if (rq->refused == ST_OK ||
        (k != OUTCOME_RETURN && k != OUTCOME_RETRY && k != OUTCOME_REPLACE))
        return false;
    snprintf(text, sizeof(text), "what it sent was refused: %s",
             status_text(rq->refused));
    outcome_raise(&rq->out, "ValueError", "builtins", text);
    return true;
}

void
follow_up(struct request *rq)
{
    struct error err = {.text = "out of memory"};
    enum status st = ST_OK;

    if (follow_refused(rq)) /* while it ran */
        return;
    switch (rq->out.kind) {
    case OUTCOME_RETURN:
        st = follow_success(rq, &err);
        break;
    case OUTCOME_RETRY:
        st = follow_retry(rq, &err);
        break;
    case OUTCOME_REPLACE:
        st = follow_replace(rq, &err);
        break;
    default:
        break;
    }
    check_followed(rq, st, &err);
}

/* ---- after a failure ---- */

struct failed {
    struct json_object *errbacks, *exc; /* borrowed */
    const char *traceback;              /* borrowed; NULL: none */
};

/* An errback of ours that takes more than the id gets what Python's new style
 * gets: the request, the exception, the traceback. */
static bool
is_new_style(struct json_object *sig)
{
    const struct lovage_task_def *d = registry_find(signature_task(sig));

    return d && d->params != 1 && d->params != 0;
}

static bool
is_old_style(struct json_object *sig)
{
    return !is_new_style(sig);
}

static struct json_object *
new_style_args(const struct failed *f, struct json_object *fields)
{
    struct json_object *args = json_object_new_array(), *tb = NULL;

    if (f->traceback)
        tb = json_new_str(node_slice(f->traceback));
    if (!args || !fields || json_append(args, fields) != ST_OK ||
        value_append(args, json_object_get(f->exc)) != ST_OK ||
        value_append(args, tb) != ST_OK) {
        json_object_put(args);
        return NULL;
    }
    return args;
}

static void
send_errbacks(struct request *rq, struct parent parent,
              struct json_object *errbacks, struct json_object *args,
              bool (*want)(struct json_object *))
{
    struct json_object *group = args ? group_of(errbacks, want) : NULL;
    struct json_object *tasks = json_get(json_get(group, "kwargs"), "tasks");
    struct error err = {.text = "out of memory"};
    enum status st = group ? ST_OK : ST_NOMEM;

    if (st == ST_OK && json_object_array_length(tasks) > 0)
        st = apply(rq, parent, group, args, NULL, &err);
    if (st != ST_OK)
        log_error("an errback could not be sent", "id=%.*s reason=%s",
                  (int)rq->tm.id.len, rq->tm.id.ptr, err.text);
    json_object_put(group);
    json_object_put(args);
}

/* Consumes fields: what the failed task's request shows. */
static void
send_all_errbacks(struct request *rq, struct parent parent,
                  const struct failed *f, struct json_object *fields)
{
    struct json_object *list = json_object_get(f->errbacks), *text;

    if (json_object_get_type(list) != json_type_array) {
        list = args_of_one(f->errbacks);
        json_object_put(f->errbacks);
    }
    if (!has_elements(list)) {
        json_object_put(list);
        json_object_put(fields);
        return;
    }
    text = json_new_str(parent.id);
    send_errbacks(rq, parent, list, args_of_one(text), is_old_style);
    send_errbacks(rq, parent, list, new_style_args(f, fields), is_new_style);
    json_object_put(text);
    json_object_put(list);
}

void
follow_errbacks(struct request *rq)
{
    const struct failed f = {rq->tm.errbacks, rq->out.exc, rq->out.traceback};

    if (rq->out.kind == OUTCOME_RAISE && rq->def && f.errbacks)
        send_all_errbacks(rq, parent_of(rq), &f, request_fields(rq));
}

void
follow_chord_errbacks(struct request *rq, struct json_object *body,
                      struct json_object *exc)
{
    struct json_object *options = json_get(body, "options");
    struct slice id = json_get_str(options, "task_id");
    const struct failed f = {json_get(options, "link_error"), exc, NULL};
    struct json_object *fields;

    if (!f.errbacks)
        return;
    fields = json_copy(body);
    field_str(fields, "id", id);
    field_ref(fields, "errbacks", f.errbacks);
    field_take(fields, "delivery_info", json_object_new_object());
    send_all_errbacks(rq, (struct parent){id, id}, &f, fields);
}

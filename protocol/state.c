/* SPDX-License-Identifier: Apache-2.0 */
/* The meta document of a task, as every result backend keeps it.  Its members
 * come in Python's order and style: two records of one outcome are then the
 * same bytes, whoever wrote them, but for date_done. */
#include "protocol/state.h"

#include <string.h>

#include "protocol/iso8601.h"
#include "protocol/pyrepr.h"

/* name is constant text with its punctuation, such as ", \"result\": ". */
static void
add_value(struct buf *out, const char *name, struct json_object *v)
{
    buf_add(out, slice_of(name));
    json_add(out, v);
}

static void
add_string(struct buf *out, const char *name, struct slice s)
{
    buf_add(out, slice_of(name));
    if (s.ptr == NULL)
        buf_add(out, slice_of("null"));
    else
        json_add_string(out, s);
}

static void
add_date(struct buf *out, const struct task_state *s)
{
    char date[ISO8601_MAX];

    buf_add(out, slice_of(", \"date_done\": "));
    if (!state_is_ready(s->status)) {
        buf_add(out, slice_of("null"));
        return;
    }
    buf_add(out, slice_of("\""));
    buf_add(out, slice_of(iso8601_format(s->done_us, date)));
    buf_add(out, slice_of("\""));
}

static void
add_extended(struct buf *out, const struct task_state *s)
{
    add_string(out, ", \"name\": ", s->name);
    add_value(out, ", \"args\": ", s->args);
    add_value(out, ", \"kwargs\": ", s->kwargs);
    add_string(out, ", \"worker\": ", s->worker);
    buf_addf(out, ", \"retries\": %lld", (long long)s->retries);
    add_string(out, ", \"queue\": ", s->queue);
}

bool
state_is_ready(struct slice status)
{
    return slice_is(status, "SUCCESS") || slice_is(status, "FAILURE") ||
           slice_is(status, "REVOKED");
}

void
state_encode(const struct task_state *s, struct buf *out)
{
    add_string(out, "{\"status\": ", s->status);
    if (s->result_text.ptr != NULL) {
        buf_add(out, slice_of(", \"result\": "));
        buf_add(out, s->result_text);
    } else {
        add_value(out, ", \"result\": ", s->result);
    }
    add_string(out, ", \"traceback\": ", s->traceback);
    if (s->children != NULL)
        add_value(out, ", \"children\": ", s->children);
    else
        buf_add(out, slice_of(", \"children\": []"));
    add_date(out, s);
    if (s->group_id.ptr != NULL)
        add_string(out, ", \"group_id\": ", s->group_id);
    if (s->parent_id.ptr != NULL)
        add_string(out, ", \"parent_id\": ", s->parent_id);
    if (s->name.ptr != NULL)
        add_extended(out, s);
    add_string(out, ", \"task_id\": ", s->id);
    buf_add(out, slice_of("}"));
}

enum status
state_read(struct json_object *d, struct task_state *out, struct error *err)
{
    struct slice done;

    *out = (struct task_state){
        .id = json_get_str(d, "task_id"),
        .status = json_get_str(d, "status"),
        .result = json_get(d, "result"),
        .traceback = json_get_str(d, "traceback"),
        .children = json_get(d, "children"),
        .group_id = json_get_str(d, "group_id"),
        .parent_id = json_get_str(d, "parent_id"),
        .name = json_get_str(d, "name"),
        .worker = json_get_str(d, "worker"),
        .queue = json_get_str(d, "queue"),
        .args = json_get(d, "args"),
        .kwargs = json_get(d, "kwargs"),
        .retries = json_get_int(d, "retries", 0),
    };
    if (out->status.ptr == NULL)
        return error_set(err, ST_PROTO, "no task state: no status");
    /* Python only parses it when it is asked for, so a bad one is no error. */
    done = json_get_str(d, "date_done");
    if (done.ptr == NULL || iso8601_parse(done, &out->done_us, NULL) != ST_OK)
        out->done_us = 0;
    return ST_OK;
}

enum status
state_unpack(struct slice bytes, enum content c, struct json_object **doc,
             struct task_state *out, struct error *err)
{
    struct json_object *d = NULL;
    enum status st = content_decode(c, bytes, &d, err);

    if (st == ST_OK)
        st = state_read(d, out, err);
    if (st == ST_OK)
        *doc = d;
    else
        json_object_put(d);
    return st;
}

enum status
state_read_any(struct slice bytes, const char *accept, struct json_object **doc,
               struct task_state *out, struct error *err)
{
    enum content c = content_guess(bytes);

    if (!content_accepted(c, accept))
        return error_set(err, ST_DENIED,
                         "content %s is not in result_accept_content",
                         content_mime(c));
    return state_unpack(bytes, c, doc, out, err);
}

enum status
state_decode(struct slice json, struct json_object **doc,
             struct task_state *out, struct error *err)
{
    return state_unpack(json, CONTENT_JSON, doc, out, err);
}

/* Other contents by way of JSON: what a task returned is JSON text anyway. */
enum status
state_pack(const struct task_state *s, enum content c, struct buf *out,
           struct error *err)
{
    struct json_object *doc = NULL;
    struct buf json;
    enum status st;

    if (c == CONTENT_JSON) {
        state_encode(s, out);
        return out->failed ? error_set(err, ST_TOOBIG, "a result is too large")
                           : ST_OK;
    }
    buf_init(&json, out->max);
    state_encode(s, &json);
    if (json.failed)
        st = error_set(err, ST_TOOBIG, "a result is too large");
    else
        st = json_parse((struct slice){json.data, json.len}, JSON_DEPTH, &doc,
                        err);
    if (st == ST_OK)
        st = content_encode(c, doc, out, err);
    json_object_put(doc);
    buf_fini(&json);
    return st;
}

struct json_object *
state_exception(const char *type, const char *module, struct json_object *args)
{
    struct json_object *exc = json_object_new_object();
    struct json_object *message =
        args != NULL ? json_copy(args) : json_object_new_array();

    if (exc == NULL)
        goto fail;
    if (json_set(exc, "exc_type", json_new_str(slice_of(type))) != ST_OK)
        goto fail;
    if (json_set(exc, "exc_message", message) != ST_OK) {
        message = NULL;
        goto fail;
    }
    message = NULL;
    if (json_set(exc, "exc_module", json_new_str(slice_of(module))) != ST_OK)
        goto fail;
    return exc;
fail:
    json_object_put(message);
    json_object_put(exc);
    return NULL;
}

void
state_exception_repr(struct json_object *exc, struct buf *out)
{
    struct slice type = json_get_str(exc, "exc_type");
    struct json_object *args = json_get(exc, "exc_message");
    const char *dot;
    size_t n = 1;

    /* A nested class goes by its last name. */
    dot = type.ptr != NULL ? memrchr(type.ptr, '.', type.len) : NULL;
    if (dot != NULL)
        type = (struct slice){dot + 1, type.len - (size_t)(dot + 1 - type.ptr)};
    buf_add(out, type.ptr != NULL ? type : slice_of("Exception"));
    buf_add(out, slice_of("("));
    if (!json_object_is_type(args, json_type_array)) {
        if (args != NULL)
            pyrepr_add(out, args);
        buf_add(out, slice_of(")"));
        return;
    }
    n = json_object_array_length(args);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add(out, slice_of(", "));
        pyrepr_add(out, json_object_array_get_idx(args, i));
    }
    buf_add(out, slice_of(")"));
}

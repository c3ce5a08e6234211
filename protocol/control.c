/* SPDX-License-Identifier: Apache-2.0 */
/* Remote control messages (pidbox): which are for this node, and the replies.
 */
#include "protocol/control.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/id.h"
#include "protocol/glob.h"

enum {
    BODY_MAX = 16 << 20,
    /* Enough for any name, and an end for patterns that never do. */
    PCRE_STEPS = 100000,
    PCRE_DEPTH = 1000,
    PCRE_HEAP_KIB = 1024
};

static bool
equals(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static bool
is_destination(struct json_object *list, struct slice nodename)
{
    if (!json_object_is_type(list, json_type_array))
        return equals(json_str(list), nodename);
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct slice name = json_str(json_object_array_get_idx(list, i));

        if (name.ptr != NULL && equals(name, nodename))
            return true;
    }
    return false;
}

/* Python's re.match: anchored at the start only. */
static bool
pcre_match(struct slice pattern, struct slice name)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
                      PCRE2_UTF | PCRE2_ANCHORED, &code, &at, NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    bool matched = false;

    if (re != NULL && data != NULL && limits != NULL) {
        pcre2_set_match_limit(limits, PCRE_STEPS);
        pcre2_set_depth_limit(limits, PCRE_DEPTH);
        pcre2_set_heap_limit(limits, PCRE_HEAP_KIB);
        matched = pcre2_match(re, (PCRE2_SPTR)name.ptr, name.len, 0, 0, data,
                              limits) >= 0;
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    return matched;
}

/* Whether the value counts as true in Python, as far as it matters here. */
static bool
is_set(struct json_object *v)
{
    if (json_object_is_type(v, json_type_array))
        return json_object_array_length(v) > 0;
    if (json_object_is_type(v, json_type_string))
        return json_str(v).len > 0;
    return v != NULL;
}

/* A matcher of another name breaks a Python worker; it is just not for us. */
static bool
is_for(struct json_object *doc, struct slice nodename)
{
    struct json_object *destination = json_get(doc, "destination");
    struct slice pattern = json_get_str(doc, "pattern");
    struct slice matcher = json_get_str(doc, "matcher");

    if (is_set(destination))
        return is_destination(destination, nodename);
    if (pattern.len == 0 || matcher.len == 0)
        return true;
    if (slice_is(matcher, "glob"))
        return glob_match(pattern, nodename);
    if (slice_is(matcher, "pcre"))
        return pcre_match(pattern, nodename);
    return false;
}

enum status
control_decode(const struct message *m, struct slice nodename,
               struct control_request *out, struct error *err)
{
    struct json_object *doc = NULL, *reply_to, *arguments;
    struct slice method;
    enum status st;

    if (m->content_type == NULL ||
        strcmp(m->content_type, "application/json") != 0)
        return error_set(err, ST_PROTO, "control: content type %.64s",
                         m->content_type != NULL ? m->content_type : "none");
    st =
        json_parse((struct slice){m->body, m->body_len}, JSON_DEPTH, &doc, err);
    if (st != ST_OK)
        return st;
    method = json_get_str(doc, "method");
    arguments = json_get(doc, "arguments");
    if (method.len == 0)
        st = error_set(err, ST_PROTO, "control: no method");
    else if (arguments != NULL &&
             !json_object_is_type(arguments, json_type_object))
        st = error_set(err, ST_PROTO, "control: arguments is no object");
    else if (!is_for(doc, nodename))
        st = error_set(err, ST_NOTFOUND, "control: for other nodes");
    if (st != ST_OK) {
        json_object_put(doc);
        return st;
    }
    reply_to = json_get(doc, "reply_to");
    *out = (struct control_request){
        .doc = doc,
        .method = method,
        .ticket = json_get_str(doc, "ticket"),
        .reply_exchange = json_get_str(reply_to, "exchange"),
        .reply_key = json_get_str(reply_to, "routing_key"),
        .arguments = arguments,
    };
    /* Without an address there is nowhere to reply to. */
    if (out->reply_exchange.ptr == NULL || out->reply_key.ptr == NULL)
        out->ticket = (struct slice){0};
    return ST_OK;
}

void
control_fini(struct control_request *r)
{
    json_object_put(r->doc);
    *r = (struct control_request){0};
}

/* Fills what both kinds of message have.  body is the bytes so far. */
static enum status
fill(struct message *m, struct buf *body, struct slice exchange,
     struct slice key)
{
    char tag[ID_LEN + 1];
    enum status st = buf_take(body, &m->body, &m->body_len);

    id_new(tag);
    if (st == ST_OK)
        st = message_set(&m->content_type, slice_of("application/json"));
    if (st == ST_OK)
        st = message_set(&m->content_encoding, slice_of("utf-8"));
    if (st == ST_OK)
        st = message_set(&m->exchange, exchange);
    if (st == ST_OK)
        st = message_set(&m->routing_key, key);
    if (st == ST_OK)
        st = message_set(&m->delivery_tag, (struct slice){tag, ID_LEN});
    return st;
}

/* Gives m away on success, frees it otherwise. */
static enum status
give(enum status st, struct message *m, struct message **out, struct error *err)
{
    if (st != ST_OK) {
        message_free(m);
        return error_set(err, st, "control: %s", status_text(st));
    }
    *out = m;
    return ST_OK;
}

enum status
control_reply(const struct control_request *r, struct slice nodename,
              struct json_object *reply, int64_t clock, struct message **out,
              struct error *err)
{
    struct message *m = message_new();
    struct buf body;
    enum status st;

    if (m == NULL)
        return error_set(err, ST_NOMEM, "control: out of memory");
    buf_init(&body, BODY_MAX);
    buf_add(&body, slice_of("{"));
    json_add_string(&body, nodename);
    buf_add(&body, slice_of(": "));
    json_add(&body, reply);
    buf_add(&body, slice_of("}"));
    m->delivery_mode = 1;
    m->headers = json_object_new_object();
    st = json_set(m->headers, "ticket", json_new_str(r->ticket));
    if (st == ST_OK)
        st = json_set(m->headers, "clock", json_object_new_int64(clock));
    if (st == ST_OK)
        st = fill(m, &body, r->reply_exchange, r->reply_key);
    buf_fini(&body);
    return give(st, m, out, err);
}

enum status
control_command(const char *method, struct json_object *arguments,
                struct message **out, struct error *err)
{
    struct message *m = message_new();
    struct buf body;
    enum status st;

    if (m == NULL)
        return error_set(err, ST_NOMEM, "control: out of memory");
    buf_init(&body, BODY_MAX);
    buf_add(&body, slice_of("{\"method\": "));
    json_add_string(&body, slice_of(method));
    buf_add(&body, slice_of(", \"arguments\": "));
    if (arguments != NULL)
        json_add(&body, arguments);
    else
        buf_add(&body, slice_of("{}"));
    buf_add(&body, slice_of(", \"destination\": null, \"pattern\": null, "
                            "\"matcher\": null}"));
    m->delivery_mode = 2;
    m->headers = json_object_new_object();
    st = json_set(m->headers, "clock", json_object_new_int64(0));
    if (st == ST_OK)
        st = json_set(m->headers, "expires", json_object_new_int64(0));
    if (st == ST_OK)
        st = fill(m, &body, slice_of("celery.pidbox"), slice_of(""));
    buf_fini(&body);
    return give(st, m, out, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kombu's envelope, read through json-c, and changed by splicing text: a parse
 * and print would damage what others put in (large integers, surrogates). */
#include "protocol/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base64.h"

static enum status
decode_body(struct json_object *doc, struct json_object *props,
            struct message *m, struct error *err)
{
    struct slice body = json_get_str(doc, "body");
    struct slice encoding = json_get_str(props, "body_encoding");
    struct buf b;
    enum status st;

    if (body.ptr == NULL)
        return error_set(err, ST_PROTO, "envelope: the body is no string");
    buf_init(&b, body.len);
    if (slice_is(encoding, "base64")) {
        st = base64_decode(body, &b, err);
        if (st != ST_OK) {
            buf_fini(&b);
            return st;
        }
    } else {
        buf_add(&b, body);
    }
    st = buf_take(&b, &m->body, &m->body_len);
    return st == ST_OK ? ST_OK : error_set(err, ST_NOMEM, "envelope: body");
}

static bool
copy(struct json_object *obj, const char *key, char **member)
{
    return message_set(member, json_get_str(obj, key)) == ST_OK;
}

static enum status
decode_properties(struct json_object *doc, struct json_object *props,
                  struct message *m)
{
    struct json_object *info = json_get(props, "delivery_info");
    int64_t priority = json_get_int(props, "priority", -1);
    int64_t mode = json_get_int(props, "delivery_mode", 0);

    m->priority = (int)(priority < -1 ? 0 : priority > 255 ? 255 : priority);
    m->delivery_mode = mode == 1 || mode == 2 ? (int)mode : 0;
    m->redelivered = json_get_bool(m->headers, "redelivered", false) ||
                     json_get_bool(info, "redelivered", false);
    if (copy(doc, "content-type", &m->content_type) &&
        copy(doc, "content-encoding", &m->content_encoding) &&
        copy(props, "correlation_id", &m->correlation_id) &&
        copy(props, "reply_to", &m->reply_to) &&
        copy(props, "expiration", &m->expiration) &&
        copy(props, "delivery_tag", &m->delivery_tag) &&
        copy(info, "exchange", &m->exchange) &&
        copy(info, "routing_key", &m->routing_key))
        return ST_OK;
    return ST_NOMEM;
}

enum status
envelope_decode(struct slice json, struct message **out, struct error *err)
{
    struct json_object *doc = NULL, *headers, *props;
    struct message *m = NULL;
    enum status st;

    st = json_parse(json, JSON_DEPTH, &doc, err);
    if (st != ST_OK)
        return st;
    if (!json_object_is_type(doc, json_type_object)) {
        st = error_set(err, ST_PROTO, "envelope: no JSON object");
        goto out;
    }
    m = message_new();
    if (m == NULL) {
        st = error_set(err, ST_NOMEM, "envelope: out of memory");
        goto out;
    }
    props = json_get(doc, "properties");
    headers = json_get(doc, "headers");
    if (json_object_is_type(headers, json_type_object))
        m->headers = json_object_get(headers);
    st = decode_body(doc, props, m, err);
    if (st != ST_OK)
        goto out;
    st = decode_properties(doc, props, m);
    if (st != ST_OK) {
        st = error_set(err, st, "envelope: out of memory");
        goto out;
    }
    *out = m;
    m = NULL;
out:
    message_free(m);
    json_object_put(doc);
    return st;
}

static void
add_string(struct buf *out, const char *name, const char *value)
{
    buf_add(out, slice_of(name));
    if (value != NULL)
        json_add_string(out, slice_of(value));
    else
        buf_add(out, slice_of("null"));
}

static void
encode_properties(const struct message *m, struct buf *out)
{
    buf_add(out, slice_of(", \"properties\": {"));
    if (m->correlation_id != NULL) {
        add_string(out, "\"correlation_id\": ", m->correlation_id);
        buf_add(out, slice_of(", "));
    }
    if (m->reply_to != NULL) {
        add_string(out, "\"reply_to\": ", m->reply_to);
        buf_add(out, slice_of(", "));
    }
    if (m->expiration != NULL) {
        add_string(out, "\"expiration\": ", m->expiration);
        buf_add(out, slice_of(", "));
    }
    buf_addf(out, "\"delivery_mode\": %d, ",
             m->delivery_mode != 0 ? m->delivery_mode : 2);
    add_string(out, "\"delivery_info\": {\"exchange\": ",
               m->exchange != NULL ? m->exchange : "");
    add_string(out, ", \"routing_key\": ",
               m->routing_key != NULL ? m->routing_key : "");
    if (m->redelivered)
        buf_add(out, slice_of(", \"redelivered\": true"));
    buf_addf(out, "}, \"priority\": %d", m->priority > 0 ? m->priority : 0);
    add_string(out, ", \"body_encoding\": \"base64\", \"delivery_tag\": ",
               m->delivery_tag);
    buf_add(out, slice_of("}"));
}

void
envelope_encode(const struct message *m, struct buf *out)
{
    buf_add(out, slice_of("{\"body\": \""));
    base64_add(out, (struct slice){m->body, m->body_len});
    add_string(out, "\", \"content-encoding\": ", m->content_encoding);
    add_string(out, ", \"content-type\": ", m->content_type);
    buf_add(out, slice_of(", \"headers\": "));
    if (m->headers != NULL)
        json_add(out, m->headers);
    else
        buf_add(out, slice_of("{}"));
    encode_properties(m, out);
    buf_add(out, slice_of("}"));
}

/* Two pieces of text at most are replaced, each an exact range of the input. */
struct edit {
    struct slice old;           /* in the input; may be empty: an insertion */
    const char *before, *after; /* around value */
    const char *value;
};

static bool
is_object(struct slice raw)
{
    return raw.len > 0 && raw.ptr[0] == '{';
}

/* The edit that makes obj[key] = value, where obj is the text of an object. */
static struct edit
edit_member(struct slice obj, const char *key, const char *name,
            const char *value)
{
    struct slice old = json_raw_member(obj, key);
    size_t i = 1;

    if (old.ptr != NULL)
        return (struct edit){old, "", "", value};
    while (i < obj.len && strchr(" \t\r\n", obj.ptr[i]) != NULL)
        i++;
    return (struct edit){{obj.ptr + 1, 0},
                         name,
                         i < obj.len && obj.ptr[i] == '}' ? "" : ", ",
                         value};
}

static struct edit
edit_headers(struct slice json)
{
    struct slice headers = json_raw_member(json, "headers");

    if (is_object(headers))
        return edit_member(headers, "redelivered", "\"redelivered\": ", "true");
    return edit_member(json, "headers",
                       "\"headers\": ", "{\"redelivered\": true}");
}

static struct edit
edit_delivery_info(struct slice json)
{
    struct slice props = json_raw_member(json, "properties");
    struct slice info = {0};

    if (!is_object(props))
        return edit_member(json, "properties", "\"properties\": ",
                           "{\"delivery_info\": {\"redelivered\": true}}");
    info = json_raw_member(props, "delivery_info");
    if (!is_object(info))
        return edit_member(props, "delivery_info",
                           "\"delivery_info\": ", "{\"redelivered\": true}");
    return edit_member(info, "redelivered", "\"redelivered\": ", "true");
}

static void
apply(struct buf *out, const char **at, const struct edit *e)
{
    buf_add(out, (struct slice){*at, (size_t)(e->old.ptr - *at)});
    buf_add(out, slice_of(e->before));
    buf_add(out, slice_of(e->value));
    buf_add(out, slice_of(e->after));
    *at = e->old.ptr + e->old.len;
}

static struct slice
trim(struct slice s)
{
    while (s.len > 0 && strchr(" \t\r\n", s.ptr[0]) != NULL) {
        s.ptr++;
        s.len--;
    }
    return s;
}

/* The raw functions want valid JSON, and a list element may be anything. */
static enum status
check(struct slice json, enum json_type type, struct error *err)
{
    struct json_object *doc = NULL;
    enum status st = json_parse(json, JSON_DEPTH, &doc, err);

    if (st == ST_OK && !json_object_is_type(doc, type))
        st = error_set(err, ST_PROTO, "envelope: not of the right JSON type");
    json_object_put(doc);
    return st;
}

enum status
envelope_mark_redelivered(struct slice json, struct buf *out, struct error *err)
{
    struct edit e[2];
    const char *at;
    bool swap;
    enum status st;

    json = trim(json);
    st = check(json, json_type_object, err);
    if (st != ST_OK)
        return st;
    at = json.ptr;
    e[0] = edit_headers(json);
    e[1] = edit_delivery_info(json);
    /* Two insertions at one place need a comma between them. */
    if (e[0].old.ptr == e[1].old.ptr)
        e[0].after = ", ";
    swap = e[1].old.ptr < e[0].old.ptr;
    apply(out, &at, &e[swap]);
    apply(out, &at, &e[!swap]);
    buf_add(out, (struct slice){at, (size_t)(json.ptr + json.len - at)});
    return ST_OK;
}

void
envelope_unacked_encode(struct slice json, struct slice exchange,
                        struct slice routing_key, struct buf *out)
{
    buf_add(out, slice_of("["));
    buf_add(out, json);
    buf_add(out, slice_of(", "));
    json_add_string(out, exchange);
    buf_add(out, slice_of(", "));
    json_add_string(out, routing_key);
    buf_add(out, slice_of("]"));
}

/* Element i of the array, a string, as the caller's own. */
static enum status
take_string(struct json_object *doc, size_t i, char **out)
{
    struct slice s = json_str(json_object_array_get_idx(doc, i));

    *out = NULL;
    return message_set(out, s.ptr != NULL ? s : slice_of(""));
}

enum status
envelope_unacked_decode(struct slice value, struct slice *json, char **exchange,
                        char **routing_key, struct error *err)
{
    struct json_object *doc = NULL;
    char *ex = NULL;
    enum status st = json_parse(value, JSON_DEPTH, &doc, err);

    if (st != ST_OK)
        return st;
    if (!json_object_is_type(doc, json_type_array) ||
        json_object_array_length(doc) != 3) {
        st = error_set(err, ST_PROTO, "unacked: not an array of 3");
        goto out;
    }
    st = take_string(doc, 1, &ex);
    if (st == ST_OK)
        st = take_string(doc, 2, routing_key);
    if (st != ST_OK) {
        st = error_set(err, st, "unacked: out of memory");
        goto out;
    }
    *json = json_raw_element(trim(value), 0);
    *exchange = ex;
    ex = NULL;
out:
    free(ex);
    json_object_put(doc);
    return st;
}

/* Messages and signatures when memory runs out: no leak, no half result. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/compress.h"
#include "protocol/control.h"
#include "protocol/envelope.h"
#include "protocol/msgpack.h"
#include "protocol/signature.h"
#include "protocol/state.h"
#include "protocol/typed_json.h"
#include "tests/oom/oom.h"

static const char envelope[] =
    "{\"body\": "
    "\"W1syLCAzXSwge30sIHsiY2FsbGJhY2tzIjogbnVsbCwgImVycmJhY2tzIjogeyJ0YXNrIjog"
    "ImUifSwgImNoYWluIjogW10sICJjaG9yZCI6IG51bGx9XQ==\", \"content-encoding\": "
    "\"utf-8\", \"content-type\": \"application/json\", \"headers\": "
    "{\"task\": "
    "\"t.add\", \"id\": 5, \"eta\": \"2030-01-02T03:04:05Z\", \"timelimit\": "
    "[1, 2], \"stamps\": {\"a\": 1}, \"stamped_headers\": [\"a\"]}, "
    "\"properties\": {\"correlation_id\": \"c\", \"reply_to\": \"r\", "
    "\"expiration\": \"5\", \"delivery_mode\": 2, \"delivery_info\": "
    "{\"exchange\": \"\", \"routing_key\": \"celery\"}, \"priority\": 0, "
    "\"body_encoding\": \"base64\", \"delivery_tag\": \"d\"}}";
static const char v1[] =
    "{\"body\": \"{\\\"task\\\": \\\"t\\\", \\\"id\\\": \\\"i\\\", "
    "\\\"args\\\": "
    "[1], \\\"taskset\\\": \\\"g\\\"}\", \"content-type\": "
    "\"application/json\"}";

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static void
send_on(const struct task_message *t, const char *compression)
{
    struct task_new n = TASK_NEW_INIT;
    struct message *m = NULL;
    struct error err;

    n.id = t->id;
    n.name = t->name;
    n.args = t->args;
    n.kwargs = t->kwargs;
    n.errbacks = t->errbacks;
    n.has_expires = true;
    n.now_us = 1;
    n.routing_key = text("q");
    n.compression = text(compression);
    if (task_encode(&n, &m, &err) == ST_OK)
        message_free(m);
    else
        assert(m == NULL);
}

static void
receive(const char *json)
{
    struct task_message t;
    struct message *m = NULL;
    enum task_fault fault;
    struct error err;
    struct buf b;
    enum status st = envelope_decode(text(json), &m, &err);

    if (st != ST_OK) {
        assert(st == ST_NOMEM && m == NULL);
        return;
    }
    buf_init(&b, 1 << 20);
    envelope_encode(m, &b);
    buf_fini(&b);
    st = task_decode(&m, "json", &t, &fault, NULL, &err);
    assert(m == NULL);
    if (st == ST_OK) {
        send_on(&t, "");
        send_on(&t, "zlib");
    } else {
        /* The message may be good: it must not be thrown away. */
        assert(st == ST_NOMEM && fault == TASK_FAULT_NONE);
    }
    task_fini(&t);
}

static void
receive_v2(void)
{
    receive(envelope);
}

static void
receive_v1(void)
{
    receive(v1);
}

static void
restore(void)
{
    struct buf b, c;
    struct slice json;
    char *exchange = NULL, *key = NULL;

    buf_init(&b, 1 << 20);
    buf_init(&c, 1 << 20);
    if (envelope_mark_redelivered(text(envelope), &b, NULL) == ST_OK &&
        !b.failed) {
        envelope_unacked_encode((struct slice){b.data, b.len}, text(""),
                                text("q"), &c);
        if (!c.failed &&
            envelope_unacked_decode((struct slice){c.data, c.len}, &json,
                                    &exchange, &key, NULL) == ST_OK) {
            free(exchange);
            free(key);
        }
    }
    buf_fini(&b);
    buf_fini(&c);
}

static void
canvas(void)
{
    static const char sig[] =
        "{\"task\": \"c\", \"subtask_type\": \"chain\", \"options\": "
        "{\"link\": "
        "{\"task\": \"l\"}, \"link_error\": [{\"task\": \"e\"}]}, \"kwargs\": "
        "{\"tasks\": [{\"task\": \"g\", \"subtask_type\": \"group\", "
        "\"kwargs\": {\"tasks\": [{\"task\": \"a\"}, {\"task\": \"b\", "
        "\"options\": {\"stamped_headers\": [\"s\"], \"s\": 1}}]}}, {\"task\": "
        "\"d\"}]}}";
    struct signature_context ctx = {.reply_to = {"r", 1}};
    struct signature_messages out;
    struct json_object *v = NULL;
    struct error err;
    enum status st;

    if (json_parse(text(sig), JSON_DEPTH, &v, NULL) != ST_OK)
        return;
    st = signature_apply(v, &ctx, &out, &err);
    assert(st == ST_OK || st == ST_NOMEM);
    signature_messages_fini(&out);
    json_object_put(v);
}

static void
state(void)
{
    static const char doc[] =
        "{\"status\": \"FAILURE\", \"result\": {\"exc_type\": \"E\", "
        "\"exc_message\": [\"x\", 1.5]}, \"task_id\": \"i\"}";
    struct json_object *d = NULL, *exc;
    struct task_state s;
    struct buf b;

    if (state_decode(text(doc), &d, &s, NULL) != ST_OK)
        return;
    buf_init(&b, 4096);
    state_encode(&s, &b);
    state_exception_repr(s.result, &b);
    buf_fini(&b);
    exc = state_exception("E", "m", json_get(s.result, "exc_message"));
    json_object_put(exc);
    json_object_put(d);
}

static void
control(void)
{
    struct control_request r;
    struct message *m = NULL, *reply = NULL;
    struct json_object *v = NULL;

    if (control_command("ping", NULL, &m, NULL) != ST_OK)
        return;
    if (control_decode(m, text("w@h"), &r, NULL) == ST_OK) {
        r.ticket = r.reply_exchange = r.reply_key = text("t");
        if (control_reply(&r, text("w@h"), NULL, 1, &reply, NULL) == ST_OK)
            message_free(reply);
        control_fini(&r);
    }
    message_free(m);
    if (typed_json_encode_bytes(TYPED_TAGGED, (struct slice){"\xff", 1}, &v,
                                NULL) == ST_OK)
        json_object_put(v);
}

static void
msgpack(void)
{
    static const char packed[] = "\x82\xa1k\x92\xc4\x01z\xcb?\xf8\0\0\0\0\0"
                                 "\0\xa1l\x81\xa1m\x93\xc0\xc3\xcc\x80";
    struct json_object *v = NULL;
    struct error err;
    enum status st;
    struct buf b;

    st = msgpack_decode((struct slice){packed, sizeof packed - 1}, &v, &err);
    assert(st == ST_OK || st == ST_NOMEM);
    if (st != ST_OK)
        return;
    buf_init(&b, 4096);
    st = msgpack_encode(v, &b, &err);
    assert(st == ST_OK || b.nomem);
    buf_fini(&b);
    json_object_put(v);
}

int
main(void)
{
    oom_torture(receive_v2);
    oom_torture(receive_v1);
    oom_torture(restore);
    oom_torture(canvas);
    oom_torture(state);
    oom_torture(control);
    oom_torture(msgpack);
    return 0;
}

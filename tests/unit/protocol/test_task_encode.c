#include "protocol/task.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/compress.h"
#include "protocol/envelope.h"
#include "tests/support/data.h"

/* What a decoded task says, to be sent again. */
static struct task_new
again(const struct task_message *t)
{
    struct json_object *custom =
        json_get(t->msg->headers, "x-trace") != NULL ? t->msg->headers : NULL;

    return (struct task_new){
        .id = t->id,
        .name = t->name,
        .args = t->args,
        .kwargs = t->kwargs,
        .callbacks = t->callbacks,
        .errbacks = t->errbacks,
        .chain = t->chain,
        .chord = t->chord,
        .root_id = t->root_id,
        .parent_id = t->parent_id,
        .group = t->group,
        .shadow = t->shadow,
        .reply_to = t->reply_to,
        .origin = t->origin,
        .group_index = t->group_index,
        .retries = t->retries,
        .soft_limit = t->soft_limit,
        .hard_limit = t->hard_limit,
        .has_eta = t->has_eta,
        .has_expires = t->has_expires,
        .eta_us = t->eta_us,
        .expires_us = t->expires_us,
        .ignore_result = t->ignore_result,
        .priority = t->msg->priority,
        .exchange = data_text(t->msg->exchange),
        .routing_key = data_text(t->msg->routing_key),
        .compression = json_get_str(t->msg->headers, "compression"),
        .headers = custom,
    };
}

/* The plain body of a message. */
static struct json_object *
body_of(const struct message *m)
{
    struct slice name = json_get_str(m->headers, "compression");
    struct buf b;
    struct json_object *v = NULL;

    buf_init(&b, 1 << 20);
    if (name.len > 0)
        cr_assert_eq(compress_unpack(name, (struct slice){m->body, m->body_len},
                                     &b, NULL),
                     ST_OK);
    else
        buf_add(&b, (struct slice){m->body, m->body_len});
    cr_assert_eq(
        json_parse((struct slice){b.data, b.len}, JSON_DEPTH, &v, NULL), ST_OK);
    buf_fini(&b);
    return v;
}

static bool
same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* 5.2 does not know the three last headers; times are printed our way. */
static void
expect_same_headers(struct json_object *want, struct json_object *got,
                    const char *name)
{
    struct json_object_iter it;
    size_t extra = 0;

    json_object_object_foreachC(got, it)
    {
        struct json_object *w = json_get(want, it.key);

        if (strcmp(it.key, "eta") == 0 || strcmp(it.key, "expires") == 0) {
            cr_expect_eq(w == NULL, it.val == NULL, "%s", name);
            continue;
        }
        if (!json_object_object_get_ex(want, it.key, NULL)) {
            extra++;
            continue;
        }
        cr_expect(json_object_equal(w, it.val), "%s: %s", name, it.key);
    }
    cr_expect_eq(extra, 3, "%s", name);
    cr_expect_eq(json_object_object_length(got),
                 json_object_object_length(want) + 3, "%s", name);
}

static void
check(struct slice raw, const char *name)
{
    struct message *sent = NULL, *m = NULL, *ours = NULL;
    struct json_object *want, *got;
    struct task_message t;
    struct task_new n;
    enum task_fault fault;
    struct error err = {0};

    cr_assert_eq(envelope_decode(raw, &sent, &err), ST_OK);
    cr_assert_eq(envelope_decode(raw, &m, &err), ST_OK);
    cr_assert_eq(task_decode(&m, "json", &t, &fault, NULL, &err), ST_OK);
    n = again(&t);
    cr_assert_eq(task_encode(&n, &ours, &err), ST_OK, "%s: %s", name, err.text);
    expect_same_headers(sent->headers, ours->headers, name);
    want = body_of(sent);
    got = body_of(ours);
    if (t.chain == NULL) /* [] and null are the same */
        json_object_object_del(json_object_array_get_idx(want, 2), "chain");
    if (t.chain == NULL)
        json_object_object_del(json_object_array_get_idx(got, 2), "chain");
    cr_expect(json_object_equal(want, got), "%s", name);
    cr_expect(same(sent->content_type, ours->content_type));
    cr_expect(same(sent->content_encoding, ours->content_encoding));
    cr_expect(same(sent->correlation_id, ours->correlation_id));
    cr_expect(same(sent->reply_to, ours->reply_to));
    cr_expect(same(sent->exchange, ours->exchange));
    cr_expect(same(sent->routing_key, ours->routing_key));
    cr_expect_eq(sent->priority, ours->priority);
    cr_expect_eq(sent->delivery_mode, ours->delivery_mode);
    cr_expect_eq(strlen(ours->delivery_tag), 36);
    cr_expect_not(same(sent->delivery_tag, ours->delivery_tag));
    json_object_put(want);
    json_object_put(got);
    task_fini(&t);
    message_free(ours);
    message_free(sent);
}

Test(task_encode, says_what_celery_says_member_for_member)
{
    struct json_object *cases = data_load("messages.json");
    size_t n = json_object_array_length(cases), done = 0;

    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(cases, i);
        const char *name = json_get_str(c, "name").ptr;

        /* Of dates only Python's argsrepr still knows what they were. */
        if (strncmp(name, "v1", 2) == 0 || strcmp(name, "dates") == 0)
            continue;
        done++;
        check(json_get_str(c, "envelope"), name);
    }
    cr_expect_geq(done, 35);
    json_object_put(cases);
}

static struct message *
encode(const struct task_new *t)
{
    struct message *m = NULL;
    struct error err = {0};

    cr_assert_eq(task_encode(t, &m, &err), ST_OK, "%s", err.text);
    return m;
}

Test(task_encode, the_least_task_has_every_header)
{
    struct task_new t = TASK_NEW_INIT;
    struct message *m;
    char *text;

    t.id = data_text("i");
    t.name = data_text("t.add");
    t.routing_key = data_text("celery");
    m = encode(&t);
    text = json_text(m->headers);
    cr_expect_str_eq(
        text,
        "{\"lang\": \"py\", \"task\": \"t.add\", \"id\": \"i\", \"shadow\": "
        "null, \"eta\": null, \"expires\": null, \"group\": null, "
        "\"group_index\": null, \"retries\": 0, \"timelimit\": [null, null], "
        "\"root_id\": \"i\", \"parent_id\": null, \"argsrepr\": \"()\", "
        "\"kwargsrepr\": \"{}\", \"origin\": null, \"ignore_result\": false, "
        "\"replaced_task_nesting\": 0, \"stamped_headers\": null, \"stamps\": "
        "{}}");
    cr_expect_str_eq(m->body, "[[], {}, {\"callbacks\": null, \"errbacks\": "
                              "null, \"chain\": null, \"chord\": null}]");
    cr_expect_null(m->expiration);
    free(text);
    message_free(m);
}

Test(task_encode, expiration_is_what_is_left)
{
    struct task_new t = TASK_NEW_INIT;
    struct message *m;

    t.id = t.name = data_text("i");
    t.has_expires = true;
    t.expires_us = 1893553445678901;
    t.now_us = t.expires_us - 60000000;
    m = encode(&t);
    cr_expect_str_eq(m->expiration, "60000");
    cr_expect_str_eq(json_get_str(m->headers, "expires").ptr,
                     "2030-01-02T03:04:05.678901+00:00");
    message_free(m);
    t.now_us = t.expires_us + 1;
    m = encode(&t);
    cr_expect_str_eq(m->expiration, "0");
    message_free(m);
}

Test(task_encode, custom_headers_are_flat_and_win)
{
    struct json_object *custom =
        data_json("{\"x\": [1, null], \"lang\": \"c\", \"shadow\": null}");
    struct task_new t = TASK_NEW_INIT;
    struct message *m;

    t.id = t.name = t.shadow = data_text("i");
    t.headers = custom;
    m = encode(&t);
    cr_expect_str_eq(json_get_str(m->headers, "lang").ptr, "c");
    cr_expect_null(json_get(m->headers, "shadow"));
    cr_expect_eq(json_object_array_length(json_get(m->headers, "x")), 2);
    message_free(m);
    json_object_put(custom);
}

Test(task_encode, a_serialised_body_is_passed_on_as_it_is)
{
    struct task_new t = TASK_NEW_INIT;
    struct message *m;

    t.id = t.name = data_text("i");
    t.body = data_text("[[1e400], {}, {}]");
    t.argsrepr = data_text("(inf,)");
    m = encode(&t);
    cr_expect_str_eq(m->body, "[[1e400], {}, {}]");
    cr_expect_str_eq(json_get_str(m->headers, "argsrepr").ptr, "(inf,)");
    cr_expect_null(json_get(m->headers, "kwargsrepr"));
    message_free(m);
}

Test(task_encode, stamps_travel_in_their_headers)
{
    struct json_object *stamps = data_json("{\"k\": \"v\"}");
    struct json_object *names = data_json("[\"k\"]");
    struct task_new t = TASK_NEW_INIT;
    struct task_message back;
    enum task_fault fault;
    struct message *m;

    t.id = t.name = data_text("i");
    t.stamps = stamps;
    t.stamped_headers = names;
    t.replaced_task_nesting = 2;
    m = encode(&t);
    cr_assert_eq(task_decode(&m, "json", &back, &fault, NULL, NULL), ST_OK);
    cr_expect(json_object_equal(back.stamps, stamps));
    cr_expect(json_object_equal(back.stamped_headers, names));
    cr_expect_eq(back.replaced_task_nesting, 2);
    task_fini(&back);
    json_object_put(stamps);
    json_object_put(names);
}

Test(task_encode, what_cannot_be_sent_is_refused)
{
    char longest[300];
    struct task_new t = TASK_NEW_INIT;
    struct message *m = NULL;

    memset(longest, 'x', sizeof(longest));
    t.id = data_text("i");
    cr_expect_eq(task_encode(&t, &m, NULL), ST_INVALID);
    t.name = (struct slice){longest, 256};
    cr_expect_eq(task_encode(&t, &m, NULL), ST_INVALID);
    t.name = (struct slice){longest, 255};
    t.id = (struct slice){longest, 156};
    cr_expect_eq(task_encode(&t, &m, NULL), ST_INVALID);
    t.id = (struct slice){longest, 155};
    t.compression = data_text("brotli");
    cr_expect_eq(task_encode(&t, &m, NULL), ST_INVALID);
    cr_expect_null(m);
}

#include "protocol/control.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/envelope.h"
#include "tests/support/data.h"

static struct message *
request(const char *body)
{
    struct message *m = message_new();

    cr_assert_not_null(m);
    data_set(&m->content_type, "application/json");
    data_set(&m->body, body);
    m->body_len = strlen(body);
    return m;
}

static enum status
decode(const char *body, const char *node, struct error *err)
{
    struct message *m = request(body);
    struct control_request r;
    enum status st = control_decode(m, data_text(node), &r, err);

    if (st == ST_OK)
        control_fini(&r);
    message_free(m);
    return st;
}

static struct message *
captured(const char *file, size_t i, const char **name)
{
    struct json_object *cases = data_load(file);
    struct json_object *c = json_object_array_get_idx(cases, i);
    struct message *m = NULL;
    static char kept[64];

    snprintf(kept, sizeof(kept), "%s", json_get_str(c, "name").ptr);
    *name = kept;
    cr_assert_eq(envelope_decode(json_get_str(c, "envelope"), &m, NULL), ST_OK);
    json_object_put(cases);
    return m;
}

Test(control, celerys_requests_reach_those_that_they_are_for)
{
    /* By case of control_requests.json: for w1@lab, w3@lab, other@lab. */
    static const bool to[][3] = {
        {true, true, true},   {true, true, true},   {true, true, true},
        {true, false, false}, {true, false, false}, {true, true, false},
        {true, true, true},
    };
    static const char *const nodes[] = {"w1@lab", "w3@lab", "other@lab"};

    for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        const char *name;
        struct message *m = captured("control_requests.json", i, &name);

        for (size_t n = 0; n < 3; n++) {
            struct control_request r;
            enum status st = control_decode(m, data_text(nodes[n]), &r, NULL);

            cr_expect_eq(st, to[i][n] ? ST_OK : ST_NOTFOUND, "%s for %s", name,
                         nodes[n]);
            if (st == ST_OK)
                control_fini(&r);
        }
        message_free(m);
    }
}

Test(control, arguments_and_the_way_back_are_read)
{
    const char *name;
    struct message *m = captured("control_requests.json", 6, &name);
    struct control_request r;

    cr_assert_eq(control_decode(m, data_text("w@h"), &r, NULL), ST_OK);
    cr_expect_eq(memcmp(r.method.ptr, "rate_limit", r.method.len), 0);
    cr_expect_str_eq(json_get_str(r.arguments, "task_name").ptr, "t.add");
    cr_expect_eq(r.ticket.len, 36);
    cr_expect_str_eq(r.reply_exchange.ptr, "reply.celery.pidbox");
    cr_expect_eq(r.reply_key.len, 36);
    control_fini(&r);
    cr_expect_null(r.doc);
    message_free(m);
    m = captured("control_requests.json", 0, &name);
    cr_assert_eq(control_decode(m, data_text("w@h"), &r, NULL), ST_OK);
    cr_expect_null(r.ticket.ptr);
    control_fini(&r);
    message_free(m);
}

Test(control, selection_follows_python)
{
    static const struct {
        const char *body;
        enum status st;
    } cases[] = {
        {"{\"method\": \"m\"}", ST_OK},
        {"{\"method\": \"m\", \"destination\": []}", ST_OK},
        {"{\"method\": \"m\", \"destination\": \"\"}", ST_OK},
        {"{\"method\": \"m\", \"destination\": \"w@h\"}", ST_OK},
        {"{\"method\": \"m\", \"destination\": [1, null, \"w@h\"]}", ST_OK},
        {"{\"method\": \"m\", \"destination\": [\"w@h2\"]}", ST_NOTFOUND},
        {"{\"method\": \"m\", \"destination\": [\"\"]}", ST_NOTFOUND},
        {"{\"method\": \"m\", \"destination\": 5}", ST_NOTFOUND},
        /* a destination makes the pattern void */
        {"{\"method\": \"m\", \"destination\": [\"w@h\"], \"pattern\": \"x\", "
         "\"matcher\": \"glob\"}",
         ST_OK},
        /* both are needed */
        {"{\"method\": \"m\", \"pattern\": \"x\"}", ST_OK},
        {"{\"method\": \"m\", \"matcher\": \"glob\"}", ST_OK},
        {"{\"method\": \"m\", \"pattern\": \"w@*\", \"matcher\": \"glob\"}",
         ST_OK},
        {"{\"method\": \"m\", \"pattern\": \"w\", \"matcher\": \"glob\"}",
         ST_NOTFOUND},
        /* anchored at the start only */
        {"{\"method\": \"m\", \"pattern\": \"w\", \"matcher\": \"pcre\"}",
         ST_OK},
        {"{\"method\": \"m\", \"pattern\": \"h\", \"matcher\": \"pcre\"}",
         ST_NOTFOUND},
        {"{\"method\": \"m\", \"pattern\": \"w$\", \"matcher\": \"pcre\"}",
         ST_NOTFOUND},
        {"{\"method\": \"m\", \"pattern\": \"(?P<n>\\\\w)@(?!x)\", "
         "\"matcher\": \"pcre\"}",
         ST_OK},
        {"{\"method\": \"m\", \"pattern\": \"(\", \"matcher\": \"pcre\"}",
         ST_NOTFOUND},
        {"{\"method\": \"m\", \"pattern\": \"w\", \"matcher\": \"regex\"}",
         ST_NOTFOUND},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(decode(cases[i].body, "w@h", NULL), cases[i].st, "%s",
                     cases[i].body);
}

Test(control, a_pattern_without_end_gives_up, .timeout = 5)
{
    cr_expect_eq(decode("{\"method\": \"m\", \"pattern\": \"(w+)+$\", "
                        "\"matcher\": \"pcre\"}",
                        "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww@",
                        NULL),
                 ST_NOTFOUND);
}

Test(control, what_is_no_request_is_told)
{
    static const char *const cases[] = {
        "",
        "x",
        "[]",
        "null",
        "{}",
        "{\"method\": null}",
        "{\"method\": \"\"}",
        "{\"method\": \"m\", \"arguments\": []}"};
    struct message *m;
    struct control_request r;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = {0};

        cr_expect_eq(decode(cases[i], "w@h", &err), ST_PROTO, "%s", cases[i]);
        cr_expect_gt(strlen(err.text), 0);
    }
    m = request("{\"method\": \"m\"}");
    data_set(&m->content_type, "application/x-python-serialize");
    cr_expect_eq(control_decode(m, data_text("w@h"), &r, NULL), ST_PROTO);
    data_set(&m->content_type, NULL);
    cr_expect_eq(control_decode(m, data_text("w@h"), &r, NULL), ST_PROTO);
    message_free(m);
}

Test(control, a_ticket_without_address_is_none)
{
    struct message *m = request("{\"method\": \"m\", \"ticket\": \"t\", "
                                "\"reply_to\": {\"exchange\": \"e\"}}");
    struct control_request r;

    cr_assert_eq(control_decode(m, data_text("w@h"), &r, NULL), ST_OK);
    cr_expect_null(r.ticket.ptr);
    control_fini(&r);
    message_free(m);
}

Test(control, a_reply_is_a_real_workers)
{
    const char *name;
    struct message *want = captured("control_replies.json", 0, &name), *got;
    struct control_request r = {.ticket = data_text("the-ticket"),
                                .reply_exchange =
                                    data_text("reply.celery.pidbox"),
                                .reply_key = data_text("rk")};
    struct json_object *pong = data_json("{\"ok\": \"pong\"}");

    cr_assert_eq(control_reply(&r, data_text("cap@lab"), pong,
                               json_get_int(want->headers, "clock", 0), &got,
                               NULL),
                 ST_OK);
    cr_expect_str_eq(got->body, want->body);
    cr_expect(json_object_equal(got->headers, want->headers));
    cr_expect_str_eq(got->exchange, want->exchange);
    cr_expect_str_eq(got->routing_key, want->routing_key);
    cr_expect_str_eq(got->content_type, want->content_type);
    cr_expect_str_eq(got->content_encoding, want->content_encoding);
    cr_expect_eq(got->delivery_mode, want->delivery_mode);
    json_object_put(pong);
    message_free(got);
    message_free(want);
}

Test(control, a_command_is_a_real_clients)
{
    const char *name;
    struct message *want = captured("control_requests.json", 0, &name), *got;
    struct json_object *args =
        data_json("{\"task_id\": \"an-id\", \"terminate\": true, \"signal\": "
                  "\"SIGTERM\"}");

    cr_assert_eq(control_command("revoke", args, &got, NULL), ST_OK);
    cr_expect_str_eq(got->body, want->body);
    cr_expect_str_eq(got->exchange, want->exchange);
    cr_expect_str_eq(got->routing_key, want->routing_key);
    cr_expect_eq(got->delivery_mode, want->delivery_mode);
    cr_expect_eq(json_object_object_length(got->headers), 2);
    json_object_put(args);
    message_free(got);
    cr_assert_eq(control_command("shutdown", NULL, &got, NULL), ST_OK);
    cr_expect_not_null(strstr(got->body, "\"arguments\": {}"));
    message_free(got);
    message_free(want);
}

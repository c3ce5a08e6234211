#include "protocol/envelope.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/data.h"

static struct message *
decode(const char *json)
{
    struct message *m = NULL;
    struct error err = {0};

    cr_assert_eq(envelope_decode(data_text(json), &m, &err), ST_OK, "%s: %s",
                 json, err.text);
    return m;
}

static char *
mark(const char *json)
{
    struct buf b;
    char *out;
    struct error err = {0};

    buf_init(&b, 1 << 20);
    cr_assert_eq(envelope_mark_redelivered(data_text(json), &b, &err), ST_OK,
                 "%s: %s", json, err.text);
    cr_assert_eq(buf_take(&b, &out, NULL), ST_OK);
    return out;
}

Test(envelope, celerys_own_come_back_with_the_same_members)
{
    struct json_object *cases = data_load("messages.json");
    size_t n = json_object_array_length(cases);

    cr_assert_geq(n, 40);
    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(cases, i);
        struct slice raw = json_get_str(c, "envelope");
        struct json_object *want = data_json(raw.ptr), *got;
        struct message *m = decode(raw.ptr);
        struct buf b;
        char *text;

        buf_init(&b, 1 << 20);
        envelope_encode(m, &b);
        cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
        got = data_json(text);
        /* What an apply_async option leaks here is of no use to anyone. */
        cr_expect(json_object_equal(want, got), "%s\n%s",
                  json_get_str(c, "name").ptr, text);
        free(text);
        json_object_put(got);
        json_object_put(want);
        message_free(m);
    }
    json_object_put(cases);
}

Test(envelope, every_part_but_the_body_may_be_missing)
{
    struct message *m = decode("{\"body\": \"[1]\"}");

    cr_expect_str_eq(m->body, "[1]");
    cr_expect_eq(m->body_len, 3);
    cr_expect_null(m->headers);
    cr_expect_null(m->content_type);
    cr_expect_null(m->delivery_tag);
    cr_expect_null(m->exchange);
    cr_expect_null(m->routing_key);
    cr_expect_eq(m->priority, -1);
    cr_expect_eq(m->delivery_mode, 0);
    cr_expect_not(m->redelivered);
    message_free(m);
}

Test(envelope, members_of_a_wrong_type_count_as_absent)
{
    struct message *m = decode(
        "{\"body\": \"\", \"headers\": [1], \"content-type\": null, "
        "\"content-encoding\": 5, \"properties\": {\"priority\": \"high\", "
        "\"delivery_mode\": 7, \"body_encoding\": null, "
        "\"delivery_info\": \"x\", \"delivery_tag\": 3, \"reply_to\": []}}");

    cr_expect_eq(m->body_len, 0);
    cr_expect_null(m->headers);
    cr_expect_null(m->content_type);
    cr_expect_eq(m->priority, -1);
    cr_expect_eq(m->delivery_mode, 0);
    cr_expect_null(m->delivery_tag);
    message_free(m);
    m = decode("{\"body\": \"\", \"properties\": \"none\"}");
    message_free(m);
}

Test(envelope, a_body_is_raw_unless_it_says_base64)
{
    struct message *m =
        decode("{\"body\": \"W10=\", \"properties\": {\"body_encoding\": "
               "\"utf-8\"}}");

    cr_expect_str_eq(m->body, "W10=");
    message_free(m);
    m = decode("{\"body\": \"W10=\", \"properties\": {\"body_encoding\": "
               "\"base64\"}}");
    cr_expect_str_eq(m->body, "[]");
    message_free(m);
}

Test(envelope, redelivered_may_stand_in_two_places)
{
    struct message *m =
        decode("{\"body\": \"\", \"headers\": {\"redelivered\": true}}");

    cr_expect(m->redelivered);
    message_free(m);
    m = decode("{\"body\": \"\", \"properties\": {\"delivery_info\": "
               "{\"redelivered\": true}}}");
    cr_expect(m->redelivered);
    message_free(m);
}

Test(envelope, what_is_none_is_told)
{
    static const char *const cases[] = {
        "",
        "no json",
        "null",
        "[]",
        "\"x\"",
        "{}",
        "{\"body\": null}",
        "{\"body\": {}}",
        "{\"body\": [1]}",
        "{\"body\": \"\"} x",
        "{\"body\": \"W1\", \"properties\": {\"body_encoding\": \"base64\"}}",
        "{\"body\": \"W!0=\", \"properties\": {\"body_encoding\": "
        "\"base64\"}}",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message *m = NULL;
        struct error err = {0};

        cr_expect_eq(envelope_decode(data_text(cases[i]), &m, &err), ST_PROTO,
                     "%s", cases[i]);
        cr_expect_null(m);
        cr_expect_gt(strlen(err.text), 0);
    }
}

Test(envelope, marking_changes_no_other_byte)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{\"body\": \"x\", \"headers\": {\"n\": "
         "123456789012345678901234567890, "
         "\"s\": \"\\ud800 \\/\"}, \"properties\": {\"delivery_info\": "
         "{\"exchange\": \"\"}, \"priority\": 1.50}}",
         "{\"body\": \"x\", \"headers\": {\"redelivered\": true, \"n\": "
         "123456789012345678901234567890, "
         "\"s\": \"\\ud800 \\/\"}, \"properties\": {\"delivery_info\": "
         "{\"redelivered\": true, \"exchange\": \"\"}, \"priority\": 1.50}}"},
        /* the other order */
        {"{\"properties\":{\"delivery_info\":{}},\"headers\":{}}",
         "{\"properties\":{\"delivery_info\":{\"redelivered\": true}},"
         "\"headers\":{\"redelivered\": true}}"},
        /* marked before */
        {"{\"headers\": {\"redelivered\": true}, \"properties\": "
         "{\"delivery_info\": {\"redelivered\": null}}}",
         "{\"headers\": {\"redelivered\": true}, \"properties\": "
         "{\"delivery_info\": {\"redelivered\": true}}}"},
        /* missing parts */
        {"{\"body\": \"\"}",
         "{\"headers\": {\"redelivered\": true}, \"properties\": "
         "{\"delivery_info\": {\"redelivered\": true}}, \"body\": \"\"}"},
        {"{}", "{\"headers\": {\"redelivered\": true}, \"properties\": "
               "{\"delivery_info\": {\"redelivered\": true}}}"},
        {" { \"headers\" : null , \"properties\" : { \"x\" : 1 } } ",
         "{ \"headers\" : {\"redelivered\": true} , \"properties\" : "
         "{\"delivery_info\": {\"redelivered\": true},  \"x\" : 1 } } "},
        {"{\"headers\": { }, \"properties\": {\"delivery_info\": null}}",
         "{\"headers\": {\"redelivered\": true }, \"properties\": "
         "{\"delivery_info\": {\"redelivered\": true}}}"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *got = mark(cases[i].in);

        cr_expect_str_eq(got, cases[i].out);
        json_object_put(data_json(got));
        free(got);
    }
}

Test(envelope, marking_takes_no_other_json)
{
    static const char *const cases[] = {"", "x", "[]", "{\"a\": }", "null"};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b;

        buf_init(&b, 1000);
        cr_expect_eq(envelope_mark_redelivered(data_text(cases[i]), &b, NULL),
                     ST_PROTO, "%s", cases[i]);
        buf_fini(&b);
    }
}

Test(envelope, an_unacked_entry_comes_apart_as_it_was_put_together)
{
    const char *json = "{\"body\": \"\", \"n\": 1e400}";
    struct buf b;
    char *value, *exchange = NULL, *key = NULL;
    struct slice inner = {0};

    buf_init(&b, 1000);
    envelope_unacked_encode(data_text(json), data_text("ex\"\xc3\xa9"),
                            data_text("key"), &b);
    cr_assert_eq(buf_take(&b, &value, NULL), ST_OK);
    cr_expect_str_eq(value, "[{\"body\": \"\", \"n\": 1e400}, "
                            "\"ex\\\"\\u00e9\", \"key\"]");
    cr_assert_eq(envelope_unacked_decode(data_text(value), &inner, &exchange,
                                         &key, NULL),
                 ST_OK);
    cr_expect_eq(inner.len, strlen(json));
    cr_expect_eq(memcmp(inner.ptr, json, inner.len), 0);
    cr_expect_str_eq(exchange, "ex\"\xc3\xa9");
    cr_expect_str_eq(key, "key");
    free(exchange);
    free(key);
    free(value);
}

Test(envelope, what_is_no_unacked_entry_is_told)
{
    static const char *const cases[] = {
        "",         "{}", "[]", "[{}, \"\"]", "null", "[{}, \"\", \"\", \"\"]",
        "[{}, \"\""};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice inner;
        char *exchange = NULL, *key = NULL;

        cr_expect_eq(envelope_unacked_decode(data_text(cases[i]), &inner,
                                             &exchange, &key, NULL),
                     ST_PROTO, "%s", cases[i]);
        cr_expect_null(exchange);
        cr_expect_null(key);
    }
}

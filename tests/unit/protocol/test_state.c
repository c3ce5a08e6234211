#include "protocol/state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/iso8601.h"
#include "protocol/pyrepr.h"
#include "tests/support/data.h"

static char *
encode(const struct task_state *s)
{
    struct buf b;
    char *out;

    buf_init(&b, 1 << 20);
    state_encode(s, &b);
    cr_assert_eq(buf_take(&b, &out, NULL), ST_OK);
    return out;
}

static char *
text_of(const char *doc, struct json_object **keep)
{
    struct task_state s;
    struct error err = {0};

    cr_assert_eq(state_decode(data_text(doc), keep, &s, &err), ST_OK, "%s: %s",
                 doc, err.text);
    return encode(&s);
}

Test(state, celerys_own_documents_come_back_byte_for_byte)
{
    struct json_object *cases = data_load("states.json");
    size_t n = json_object_array_length(cases);

    cr_assert_geq(n, 8);
    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(cases, i);
        struct json_object *doc = NULL;
        struct buf want;
        struct slice date;
        char *got, *expected, *z;

        buf_init(&want, 1 << 20);
        buf_add(&want, json_get_str(c, "doc"));
        cr_assert_eq(buf_take(&want, &expected, NULL), ST_OK);
        got = text_of(expected, &doc);
        /* 5.2 writes the date without its offset, which is ours to add. */
        date = json_get_str(doc, "date_done");
        z = date.ptr != NULL ? strstr(got, "+00:00") : NULL;
        cr_assert_eq(z != NULL, date.ptr != NULL);
        if (z != NULL)
            memmove(z, z + 6, strlen(z + 6) + 1);
        cr_expect_str_eq(got, expected);
        json_object_put(doc);
        free(got);
        free(expected);
    }
    json_object_put(cases);
}

Test(state, only_ready_states_carry_a_date)
{
    struct task_state s = {.id = data_text("i"), .done_us = 1};
    static const struct {
        const char *status;
        bool ready;
    } cases[] = {
        {"SUCCESS", true},   {"FAILURE", true},  {"REVOKED", true},
        {"RETRY", false},    {"STARTED", false}, {"PENDING", false},
        {"SUCCESS2", false}, {"", false},        {"PROGRESS", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *out;

        s.status = data_text(cases[i].status);
        cr_expect_eq(state_is_ready(s.status), cases[i].ready);
        out = encode(&s);
        cr_expect_eq(strstr(out, "\"date_done\": null") == NULL,
                     cases[i].ready);
        free(out);
    }
}

Test(state, a_result_may_be_given_as_text)
{
    struct task_state s = {.id = data_text("i"),
                           .status = data_text("SUCCESS"),
                           .result_text =
                               data_text("[1e5, 18446744073709551616]"),
                           .done_us = 1893553445678901};
    char *out = encode(&s);

    cr_expect_str_eq(
        out, "{\"status\": \"SUCCESS\", \"result\": [1e5, "
             "18446744073709551616], \"traceback\": null, \"children\": [], "
             "\"date_done\": \"2030-01-02T03:04:05.678901+00:00\", "
             "\"task_id\": \"i\"}");
    free(out);
}

Test(state, reads_the_least_that_python_accepts)
{
    struct task_state s;
    struct json_object *doc = NULL;

    cr_assert_eq(
        state_decode(data_text("{\"status\": \"SUCCESS\", \"result\": 1}"),
                     &doc, &s, NULL),
        ST_OK);
    cr_expect_eq(json_object_get_int(s.result), 1);
    cr_expect_eq(s.done_us, 0);
    cr_expect_null(s.id.ptr);
    cr_expect_null(s.traceback.ptr);
    cr_expect_null(s.children);
    json_object_put(doc);
}

Test(state, a_date_of_any_celery_version_is_read)
{
    static const char *const dates[] = {"2030-01-02T03:04:05.678901",
                                        "2030-01-02T03:04:05.678901+00:00",
                                        "2030-01-02T04:04:05.678901+01:00"};

    for (size_t i = 0; i < 3; i++) {
        struct task_state s;
        struct json_object *doc = NULL;
        char text[128];

        snprintf(text, sizeof(text),
                 "{\"status\": \"SUCCESS\", \"date_done\": \"%s\"}", dates[i]);
        cr_assert_eq(state_decode(data_text(text), &doc, &s, NULL), ST_OK);
        cr_expect_eq(s.done_us, 1893553445678901);
        json_object_put(doc);
    }
}

Test(state, no_document_is_told)
{
    static const char *const cases[] = {"",
                                        "null",
                                        "[]",
                                        "{}",
                                        "\"SUCCESS\"",
                                        "{\"status\": 1}",
                                        "{\"status\": \"SUCCESS\"",
                                        "{\"result\": 1}"};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct task_state s;
        struct json_object *doc = NULL;
        struct error err = {0};

        cr_expect_eq(state_decode(data_text(cases[i]), &doc, &s, &err),
                     ST_PROTO, "%s", cases[i]);
        cr_expect_null(doc);
        cr_expect_gt(strlen(err.text), 0);
    }
}

static char *
repr(struct json_object *exc)
{
    struct buf b;
    char *out;

    buf_init(&b, 1 << 20);
    state_exception_repr(exc, &b);
    cr_assert_eq(buf_take(&b, &out, NULL), ST_OK);
    return out;
}

Test(state, an_exception_prints_as_python_prints_it)
{
    struct json_object *cases = data_load("exceptions.json");
    size_t n = json_object_array_length(cases);

    cr_assert_geq(n, 12);
    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(cases, i);
        struct json_object *exc =
            data_json(json_object_get_string(json_get(c, "json")));
        struct json_object *want = json_get(c, "repr");
        char *got = repr(exc);

        cr_expect_eq(strlen(got), json_get_str(c, "repr").len);
        cr_expect_str_eq(got, json_object_get_string(want));
        free(got);
        json_object_put(exc);
    }
    json_object_put(cases);
}

Test(state, an_exception_of_any_shape_prints)
{
    static const struct {
        const char *json, *repr;
    } cases[] = {
        {"{\"exc_type\": \"Outer.Inner\", \"exc_message\": [1]}", "Inner(1)"},
        {"{\"exc_type\": \"E\", \"exc_message\": \"m\"}", "E('m')"},
        {"{\"exc_type\": \"E\"}", "E()"},
        {"{\"exc_type\": \"E\", \"exc_message\": null}", "E()"},
        {"{}", "Exception()"},
        {"[]", "Exception()"},
        {"\"text\"", "Exception()"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *exc = data_json(cases[i].json);
        char *got = repr(exc);

        cr_expect_str_eq(got, cases[i].repr);
        free(got);
        json_object_put(exc);
    }
}

/* Whatever lies behind the digit: the buffer's memory is not new. */
Test(state, a_lone_digit_prints_whatever_the_memory_behind_it_held)
{
    struct json_object *v = data_json("5");
    char memory[16];
    struct buf b;

    memset(memory, 'I', sizeof(memory));
    buf_init_fixed(&b, memory, sizeof(memory));
    pyrepr_add(&b, v);
    cr_expect_eq(b.len, 1);
    cr_expect_eq(b.data[0], '5');
    json_object_put(v);
}

Test(state, an_exception_is_made_with_copied_arguments)
{
    struct json_object *args = data_json("[\"boom\", 42]");
    struct json_object *exc = state_exception("ValueError", "builtins", args);
    struct json_object *none = state_exception("E", "m", NULL);
    char *text;

    json_object_array_del_idx(args, 0, 2);
    text = json_text(exc);
    cr_expect_str_eq(text, "{\"exc_type\": \"ValueError\", \"exc_message\": "
                           "[\"boom\", 42], \"exc_module\": \"builtins\"}");
    free(text);
    text = json_text(none);
    cr_expect_str_eq(text, "{\"exc_type\": \"E\", \"exc_message\": [], "
                           "\"exc_module\": \"m\"}");
    free(text);
    json_object_put(args);
    json_object_put(exc);
    json_object_put(none);
}

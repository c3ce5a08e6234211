/* SPDX-License-Identifier: Apache-2.0 */
/* The way of an outcome from an executor to its node. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/data.h"
#include "worker/outcome.h"

static void
travel(struct outcome *o)
{
    struct json_object *head = json_object_new_object();
    struct error err;
    struct slice body;
    struct buf b;

    buf_init(&b, 4096);
    cr_assert_eq(outcome_encode(o, head, &b), ST_OK);
    outcome_fini(o);
    body.ptr = b.data ? b.data : "";
    body.len = b.len;
    cr_assert_eq(outcome_decode(head, body, o, &err), ST_OK);
    json_object_put(head);
    buf_fini(&b);
}

Test(outcome, a_result_arrives_as_its_text_and_as_a_value)
{
    struct json_object *v;
    struct outcome o;

    outcome_init(&o);
    o.kind = OUTCOME_RETURN;
    o.result = data_json("{\"a\": [1, 2.5, null]}");
    travel(&o);
    cr_assert_eq(o.kind, OUTCOME_RETURN);
    cr_assert_str_eq(o.text, "{\"a\": [1, 2.5, null]}");
    cr_assert_eq(outcome_value(&o, &v, NULL), ST_OK);
    cr_assert_eq(json_object_array_length(json_get(v, "a")), 3);
    outcome_fini(&o);
}

Test(outcome, nothing_is_null)
{
    struct json_object *v = NULL;
    struct outcome o;

    outcome_init(&o);
    o.kind = OUTCOME_RETURN;
    travel(&o);
    cr_assert_str_eq(o.text, "null");
    cr_assert_eq(outcome_value(&o, &v, NULL), ST_OK);
    cr_assert_null(v);
    outcome_fini(&o);
}

Test(outcome, that_returned_needs_no_head)
{
    struct slice body = {"[1]", 3};
    struct outcome o;
    struct buf b;

    outcome_init(&o);
    o.kind = OUTCOME_RETURN;
    o.result = data_json("[1]");
    buf_init(&b, 4096);
    cr_assert_eq(outcome_encode(&o, NULL, &b), ST_OK);
    cr_assert_eq(b.len, 3);
    outcome_fini(&o);
    cr_assert_eq(outcome_decode(NULL, body, &o, NULL), ST_OK);
    cr_assert_eq(o.kind, OUTCOME_RETURN);
    cr_assert_str_eq(o.text, "[1]");
    outcome_fini(&o);
    buf_fini(&b);
}

Test(outcome, an_exception_arrives_with_its_traceback)
{
    struct outcome o;

    outcome_init(&o);
    outcome_raise(&o, "ValueError", "builtins", "boom");
    o.traceback = strdup("here\n");
    travel(&o);
    cr_assert_eq(o.kind, OUTCOME_RAISE);
    cr_assert_str_eq(json_get_str(o.exc, "exc_type").ptr, "ValueError");
    cr_assert_str_eq(o.traceback, "here\n");
    outcome_fini(&o);
}

Test(outcome, the_other_ends_keep_what_belongs_to_them)
{
    struct outcome o;

    outcome_init(&o);
    o.kind = OUTCOME_RETRY;
    o.countdown = 1.5;
    travel(&o);
    cr_assert_eq(o.kind, OUTCOME_RETRY);
    cr_assert_eq(o.countdown, 1.5);
    outcome_fini(&o);
    o.kind = OUTCOME_REJECT;
    o.requeue = true;
    travel(&o);
    cr_assert(o.requeue);
    outcome_fini(&o);
    o.kind = OUTCOME_REPLACE;
    o.sig = data_json("{\"task\": \"t\"}");
    travel(&o);
    cr_assert_str_eq(json_get_str(o.sig, "task").ptr, "t");
    outcome_fini(&o);
}

Test(outcome, one_without_a_kind_is_refused)
{
    struct json_object *head = data_json("{\"end\": \"none\"}");
    struct slice body = {"1", 1};
    struct outcome o;
    struct error err;

    cr_assert_eq(outcome_decode(head, body, &o, &err), ST_PROTO);
    json_object_put(head);
}

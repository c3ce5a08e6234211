/* SPDX-License-Identifier: Apache-2.0 */
/* The task API as a plugin sees it. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/data.h"
#include "tests/support/task_rig.h"

static struct task_rig rig;
static struct lovage_task_def def = {.name = "proj.t", .params = -1};

static lovage_task *
task(const char *args, const char *kwargs)
{
    task_rig_init(&rig, &def, args, kwargs);
    return &rig.task;
}

static void
has_text(lovage_value *v, const char *want)
{
    char *text = lovage_text(v);

    cr_expect_str_eq(text, want);
    free(text);
    lovage_free(v);
}

Test(value, prints_as_python_does)
{
    lovage_value *o = lovage_object(), *a = lovage_array();

    cr_assert_eq(lovage_push(a, lovage_int(-3)), LOVAGE_OK);
    cr_assert_eq(lovage_push(a, lovage_double(1)), LOVAGE_OK);
    cr_assert_eq(lovage_push(a, lovage_null()), LOVAGE_OK);
    cr_assert_eq(lovage_push(a, lovage_bool(true)), LOVAGE_OK);
    cr_assert_eq(lovage_put(o, "a", a), LOVAGE_OK);
    cr_assert_eq(lovage_put(o, "s", lovage_string("\xc3\xbc")), LOVAGE_OK);
    has_text(o, "{\"a\": [-3, 1.0, null, true], \"s\": \"\\u00fc\"}");
    has_text(lovage_null(), "null");
}

Test(value, null_is_a_value_and_absent_is_not)
{
    lovage_value *v = lovage_parse("{\"n\": null, \"l\": [null]}");

    cr_assert_eq(lovage_typeof(lovage_member(v, "n")), LOVAGE_NULL);
    cr_assert_not_null(lovage_member(v, "n"));
    cr_assert_null(lovage_member(v, "m"));
    cr_assert_not_null(lovage_at(lovage_member(v, "l"), 0));
    cr_assert_null(lovage_at(lovage_member(v, "l"), 1));
    cr_assert_str_eq(lovage_key(v, 1), "l");
    cr_assert_null(lovage_key(v, 2));
    cr_assert_null(lovage_parse("{"));
    lovage_free(v);
}

Test(value, consumers_turn_no_memory_into_a_failure)
{
    lovage_value *a = lovage_array();

    cr_expect_eq(lovage_push(a, NULL), LOVAGE_FAILED);
    cr_expect_eq(lovage_push(NULL, lovage_int(1)), LOVAGE_FAILED);
    cr_expect_eq(lovage_put(a, "k", lovage_int(1)), LOVAGE_FAILED);
    cr_expect_eq(lovage_return(task("[]", "{}"), NULL), LOVAGE_FAILED);
    cr_expect_str_eq(task_rig_error(&rig), "MemoryError()");
    lovage_free(a);
    task_rig_fini(&rig);
}

Test(task_api, arguments_come_by_place_or_by_name)
{
    lovage_task *t = task("[1, 2.5]", "{\"s\": \"x\", \"b\": true}");
    const char *s;
    double d;
    int64_t i;

    cr_assert_eq(lovage_arg_int(t, 0, "i", &i), LOVAGE_OK);
    cr_assert_eq(i, 1);
    cr_assert_eq(lovage_arg_double(t, 1, "d", &d), LOVAGE_OK);
    cr_assert_eq(d, 2.5);
    cr_assert_eq(lovage_arg_double(t, 0, "i", &d), LOVAGE_OK);
    cr_assert_eq(lovage_arg_string(t, 2, "s", &s), LOVAGE_OK);
    cr_assert_str_eq(s, "x");
    cr_assert_eq(lovage_arg_int(t, 9, "b", &i), LOVAGE_OK);
    cr_assert_eq(lovage_arg_int_or(t, 9, "none", 7, &i), LOVAGE_OK);
    cr_assert_eq(i, 7);
    cr_assert_null(lovage_arg(t, 9, NULL));
    task_rig_fini(&rig);
}

Test(task_api, a_wrong_argument_is_a_type_error)
{
    lovage_task *t = task("[\"a\"]", "{}");
    int64_t i;

    cr_assert_eq(lovage_arg_int(t, 0, "x", &i), LOVAGE_FAILED);
    cr_assert_str_eq(task_rig_error(&rig),
                     "TypeError(\"t() argument 'x' must be int, not str\")");
    cr_assert_eq(lovage_arg_int(t, 1, "y", &i), LOVAGE_FAILED);
    cr_assert_str_eq(
        task_rig_error(&rig),
        "TypeError(\"t() missing 1 required positional argument: 'y'\")");
    task_rig_fini(&rig);
}

Test(task_api, request_fields_that_are_null_are_absent)
{
    lovage_task *t = task("[]", "{}");

    rig.fields = data_json("{\"id\": \"1\", \"eta\": null}");
    cr_assert_str_eq(lovage_as_string(lovage_request(t, "id"), NULL), "1");
    cr_assert_null(lovage_request(t, "eta"));
    cr_assert_null(lovage_request(t, "nothing"));
    task_rig_fini(&rig);
}

Test(task_api, sending_gives_the_id_at_once)
{
    lovage_task *t = task("[]", "{}");
    lovage_signature *steps[2];
    const char *id = NULL;

    cr_assert_eq(lovage_send(t, lovage_sig("a.b", NULL, NULL), &id), LOVAGE_OK);
    cr_assert_eq(strlen(id), 36);
    struct json_object *sig = json_object_array_get_idx(rig.sent, 0);
    cr_assert_str_eq(json_get_str(json_get(sig, "options"), "task_id").ptr, id);
    steps[0] = lovage_sig("a.b", NULL, NULL);
    steps[1] = lovage_sig("c.d", NULL, NULL);
    cr_assert_eq(
        lovage_send(t, lovage_chord(steps, 2, lovage_sig("e.f", NULL, NULL)),
                    &id),
        LOVAGE_OK);
    sig = json_object_array_get_idx(rig.sent, 1);
    cr_assert_str_eq(
        json_get_str(
            json_get(json_get(json_get(sig, "kwargs"), "body"), "options"),
            "task_id")
            .ptr,
        id);
    cr_assert_eq(lovage_send(t, NULL, &id), LOVAGE_FAILED);
    task_rig_fini(&rig);
}

Test(task_api, a_signature_takes_options_and_links)
{
    lovage_signature *s = lovage_sig("a.b", NULL, NULL);

    cr_assert_eq(lovage_sig_set(s, "queue", lovage_string("q")), LOVAGE_OK);
    cr_assert_eq(lovage_sig_set(s, "immutable", lovage_bool(true)), LOVAGE_OK);
    cr_assert_eq(lovage_sig_link(s, lovage_sig("c", NULL, NULL)), LOVAGE_OK);
    cr_assert_eq(lovage_sig_link(s, lovage_sig("d", NULL, NULL)), LOVAGE_OK);
    cr_assert_eq(lovage_sig_link_error(s, NULL), LOVAGE_FAILED);
    lovage_task *t = task("[]", "{}");
    cr_assert_eq(lovage_replace(t, s), LOVAGE_ENDED);
    struct json_object *o = json_get(t->out.sig, "options");
    cr_assert_eq(json_object_array_length(json_get(o, "link")), 2);
    cr_assert_str_eq(json_get_str(o, "queue").ptr, "q");
    cr_assert(json_get_bool(t->out.sig, "immutable", false));
    task_rig_fini(&rig);
}

Test(task_api, a_task_that_breaks_its_contract_fails)
{
    lovage_task *t = task("[]", "{}");

    task_ended(t, LOVAGE_FAILED);
    cr_assert_eq(t->out.kind, OUTCOME_RAISE);
    outcome_fini(&t->out);
    task_ended(t, LOVAGE_ENDED);
    cr_assert_eq(t->out.kind, OUTCOME_RAISE);
    outcome_fini(&t->out);
    task_ended(t, LOVAGE_PENDING);
    cr_assert_eq(t->out.kind, OUTCOME_RAISE);
    outcome_fini(&t->out);
    lovage_reject(t, true);
    task_ended(t, LOVAGE_OK);
    cr_assert_eq(t->out.kind, OUTCOME_RAISE);
    outcome_fini(&t->out);
    task_ended(t, LOVAGE_OK);
    cr_assert_eq(t->out.kind, OUTCOME_RETURN);
    task_rig_fini(&rig);
}

static lovage_status
finish_at_once(lovage_task *t)
{
    lovage_finish(t, lovage_return(t, lovage_int(5)));
    return LOVAGE_PENDING;
}

Test(task_api, an_async_task_may_finish_before_it_has_returned)
{
    const struct lovage_task_def at_once = {
        .name = "t", .params = -1, .kind = LOVAGE_ASYNC, .run = finish_at_once};

    task_rig_init(&rig, &at_once, "[]", "{}");
    cr_assert(task_run(&rig.task));
    cr_assert_eq(rig.task.out.kind, OUTCOME_RETURN);
    task_rig_fini(&rig);
}

Test(task_api, states_and_the_soft_limit_reach_the_host)
{
    lovage_task *t = task("[]", "{}");

    cr_assert_eq(lovage_update_state(t, "PROGRESS", lovage_int(3)), LOVAGE_OK);
    cr_assert_str_eq(rig.state, "PROGRESS");
    cr_assert(lovage_sleep(t, 0));
    rig.soft = true;
    cr_assert_not(lovage_sleep(t, 10));
    cr_assert_eq(lovage_raise_soft_limit(t), LOVAGE_FAILED);
    cr_assert_str_eq(task_rig_error(&rig), "SoftTimeLimitExceeded()");
    cr_assert_eq(lovage_timer(t, 1, NULL, NULL), LOVAGE_FAILED);
    task_rig_fini(&rig);
}

Test(task_api, what_is_returned_is_all_that_is_left)
{
    lovage_task *t = task("[]", "{}");

    lovage_raisef(t, "ValueError", "handled");
    lovage_traceback(t, "here");
    cr_expect_eq(lovage_return(t, lovage_int(1)), LOVAGE_OK);
    cr_expect_null(rig.task.out.exc);
    cr_expect_null(rig.task.out.traceback);
    task_rig_fini(&rig);
}

Test(task_api, why_a_task_was_not_sent_is_said_as_it_is)
{
    lovage_task *t = task("[]", "{}");

    rig.send_st = ST_INVALID;
    cr_expect_eq(lovage_send(t, lovage_sig("x", NULL, NULL), NULL),
                 LOVAGE_FAILED);
    cr_expect_str_eq(task_rig_error(&rig),
                     "ValueError('cannot send: invalid argument')");
    task_rig_fini(&rig);
}

Test(task_api, a_sleep_of_ages_is_not_none, .signal = SIGALRM)
{
    lovage_task *t = task("[]", "{}");

    rig.soft = true; /* ends it at once, and it says so */
    cr_expect_not(lovage_sleep(t, 1e300));
    rig.soft = false;
    alarm(1);
    lovage_sleep(t, 1e300);
    cr_assert_fail("it is over");
}

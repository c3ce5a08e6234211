/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from an outcome: messages, states, chords. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "protocol/iso8601.h"
#include "tests/support/data.h"
#include "tests/support/node_rig.h"

static struct node_rig rig;

static lovage_status
do_return(lovage_task *t)
{
    return lovage_return(t, lovage_int(1));
}

static lovage_status
do_raise(lovage_task *t)
{
    return lovage_raisef(t, "ValueError", "boom");
}

/* retry(countdown) */
static lovage_status
do_retry(lovage_task *t)
{
    lovage_retry_opts again = {.size = sizeof(again), .exc_type = "OSError"};

    if (lovage_arg_double(t, 0, "s", &again.countdown) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_retry(t, &again);
}

static lovage_status
replace_by_chain(lovage_task *t)
{
    lovage_signature *steps[] = {lovage_sig("x.first", NULL, NULL),
                                 lovage_sig("x.last", NULL, NULL)};

    return lovage_replace(t, lovage_chain(steps, 2));
}

/* An errback of the new style. */
static lovage_status
three(lovage_task *t)
{
    return lovage_return(t, lovage_null());
}

static void
set_up(void)
{
    static bool registered;

    if (!registered) {
        node_rig_task("rig.return", LOVAGE_INLINE, do_return, true);
        node_rig_task("rig.raise", LOVAGE_INLINE, do_raise, true);
        node_rig_task("rig.retry", LOVAGE_INLINE, do_retry, true);
        node_rig_task("rig.replace", LOVAGE_INLINE, replace_by_chain, true);
        node_rig_task("rig.errback", LOVAGE_INLINE, three, true);
    }
    registered = true;
}

static void
tear_down(void)
{
    node_rig_fini(&rig);
}

#define HEADERS(task, more) "{\"task\": \"" task "\", \"id\": \"a\"" more "}"
#define BODY                "[[], {}, {}]"

static void
start(void)
{
    node_rig_init(&rig);
}

static struct json_object *
header(size_t i, const char *name)
{
    struct json_object *m = json_object_array_get_idx(rig.sent, i);

    return json_get(json_get(m, "headers"), name);
}

static void
text_is(struct json_object *v, const char *want)
{
    struct slice s = json_str(v);

    cr_expect(slice_is(s, want), "%.*s, not %s", (int)s.len, s.ptr ? s.ptr : "",
              want);
}

static void
state_is(const char *id, const char *status, const char *exc)
{
    struct json_object *o = node_rig_stored(&rig, id);

    cr_assert_not_null(o, "nothing is stored for %s", id);
    text_is(json_get(o, "status"), status);
    if (exc)
        text_is(json_get(json_get(o, "result"), "exc_type"), exc);
}

TestSuite(settle, .init = set_up, .fini = tear_down);

Test(settle, a_result_is_stored_and_then_acknowledged)
{
    uint64_t tag;

    start();
    tag = node_rig_deliver(&rig, HEADERS("rig.return", ""), BODY);
    state_is("a", "SUCCESS", NULL);
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_ACK);
}

Test(settle, of_ignored_results_errors_of_all_kinds_are_stored_if_wanted)
{
    node_rig_set(&rig, "task_ignore_result", "true");
    node_rig_set(&rig, "task_store_errors_even_if_ignored", "true");
    start();
    node_rig_deliver(&rig, HEADERS("rig.return", ""), BODY);
    cr_expect_null(node_rig_stored(&rig, "a"));
    node_rig_deliver(&rig, HEADERS("rig.retry", ""), "[[1], {}, {}]");
    state_is("a", "RETRY", "OSError");
    node_rig_deliver(&rig, HEADERS("rig.raise", ""), BODY);
    state_is("a", "FAILURE", "ValueError");
    node_rig_deliver(
        &rig, HEADERS("rig.return", ", \"expires\": \"2001-01-01T00:00:00Z\""),
        BODY);
    state_is("a", "REVOKED", "TaskRevokedError");
}

Test(settle, a_retry_in_the_far_future_is_one_in_the_future)
{
    int64_t us = 0;
    struct slice eta;

    start();
    node_rig_deliver(&rig, HEADERS("rig.retry", ""), "[[1e300], {}, {}]");
    eta = json_str(header(0, "eta"));
    cr_assert_not_null(eta.ptr);
    cr_assert_eq(iso8601_parse(eta, &us, NULL), ST_OK, "%s", eta.ptr);
    cr_expect_gt(us, clock_unix_us());
}

Test(settle, a_retry_tells_the_broker_when_it_expires)
{
    char expires[ISO8601_MAX], headers[256];
    struct slice left;

    start();
    snprintf(headers, sizeof(headers),
             HEADERS("rig.retry", ", \"expires\": \"%s\""),
             iso8601_format(clock_unix_us() + 60 * INT64_C(1000000), expires));
    node_rig_deliver(&rig, headers, "[[1], {}, {}]");
    left = json_get_str(json_object_array_get_idx(rig.sent, 0), "expiration");
    cr_assert_not_null(left.ptr);
    cr_expect_eq(left.len, 5, "%s", left.ptr); /* 59.9 s in ms */
}

Test(settle, a_task_whose_callback_cannot_be_sent_has_failed)
{
    uint64_t tag;

    start();
    rig.publish_st = ST_TOOBIG;
    tag = node_rig_deliver(&rig, HEADERS("rig.return", ""),
                           "[[], {}, {\"callbacks\": [{\"task\": \"x\"}]}]");
    node_rig_turn(&rig, 50);
    rig.publish_st = ST_OK;
    state_is("a", "FAILURE", NULL);
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_ACK);
    cr_expect_eq(json_object_array_length(rig.sent), 0);
}

#define MEMBER ", \"group\": \"g\", \"group_index\": 0"

Test(settle, a_chord_whose_body_cannot_be_sent_fails)
{
    start();
    rig.ready = data_json("[[1, \"a\", \"SUCCESS\", 1]]");
    node_rig_deliver(
        &rig, HEADERS("rig.return", MEMBER),
        "[[], {}, {\"chord\": {\"task\": \"celery.chain\", \"subtask_type\": "
        "\"chain\", \"options\": {\"task_id\": \"body\"}}}]");
    state_is("body", "FAILURE", "ChordError");
}

#define OUTER                                                        \
    "\"chord\": {\"task\": \"x.outer\", \"options\": {\"task_id\": " \
    "\"outer\"}}, \"group_id\": \"outer-g\", \"group_index\": 3"

Test(settle, a_chord_that_fails_is_a_failed_member_of_the_chord_around_it)
{
    struct json_object *part;

    start();
    rig.ready = data_json(
        "[[1, \"a\", \"FAILURE\", {\"exc_type\": \"ValueError\", "
        "\"exc_message\": [\"boom\"], \"exc_module\": \"builtins\"}]]");
    node_rig_deliver(&rig, HEADERS("rig.raise", MEMBER),
                     "[[], {}, {\"chord\": {\"task\": \"x.body\", \"options\": "
                     "{\"task_id\": \"body\", " OUTER "}}}]");
    state_is("body", "FAILURE", "ChordError");
    part = json_object_array_get_idx(rig.parts, 1);
    cr_assert_not_null(part);
    text_is(json_get(part, "group"), "outer-g");
    text_is(json_get(part, "id"), "body");
    text_is(json_get(part, "status"), "FAILURE");
    cr_expect_eq(json_get_int(part, "index", -1), 3);
}

Test(settle, errbacks_of_a_chord_are_called_for_its_body)
{
    struct json_object *args;

    start();
    rig.ready = data_json(
        "[[1, \"a\", \"FAILURE\", {\"exc_type\": \"ValueError\", "
        "\"exc_message\": [\"boom\"], \"exc_module\": \"builtins\"}]]");
    node_rig_deliver(
        &rig, HEADERS("rig.raise", MEMBER),
        "[[], {}, {\"chord\": {\"task\": \"x.body\", \"options\": "
        "{\"task_id\": \"body\", \"link_error\": [{\"task\": \"x.old\"}, "
        "{\"task\": \"rig.errback\"}]}}}]");
    cr_assert_eq(json_object_array_length(rig.sent), 2);
    text_is(header(0, "task"), "x.old");
    text_is(header(0, "parent_id"), "body");
    text_is(header(0, "root_id"), "body");
    text_is(header(1, "task"), "rig.errback");
    args = json_object_array_get_idx(
        json_get(json_object_array_get_idx(rig.sent, 1), "body"), 0);
    text_is(json_get(json_object_array_get_idx(args, 0), "id"), "body");
    text_is(json_get(json_object_array_get_idx(args, 0), "task"), "x.body");
}

/* As Celery's: the first step has none of the old task's callbacks, the last
 * has its id, and all have its errbacks. */
Test(settle, a_chain_that_replaces_a_task_ends_in_its_place)
{
    struct json_object *embed, *last;

    start();
    node_rig_deliver(
        &rig, HEADERS("rig.replace", MEMBER),
        "[[], {}, {\"callbacks\": [{\"task\": \"x.link\"}], \"errbacks\": "
        "[{\"task\": \"x.err\"}], \"chord\": {\"task\": "
        "\"x.body\", \"options\": {\"task_id\": \"body\"}}}]");
    cr_assert_eq(json_object_array_length(rig.sent), 1);
    text_is(header(0, "task"), "x.first");
    text_is(header(0, "root_id"), "a");
    embed = json_object_array_get_idx(
        json_get(json_object_array_get_idx(rig.sent, 0), "body"), 2);
    cr_expect_null(json_get(embed, "callbacks"));
    cr_expect_not_null(json_get(embed, "errbacks"));
    cr_assert_eq(json_object_array_length(json_get(embed, "chain")), 1);
    last = json_object_array_get_idx(json_get(embed, "chain"), 0);
    text_is(json_get(last, "task"), "x.last");
    cr_expect_null(node_rig_stored(&rig, "a"));
}

Test(settle, a_late_failure_is_acknowledged_or_rejected_as_is_set)
{
    uint64_t tag;

    node_rig_set(&rig, "task_acks_on_failure_or_timeout", "false");
    start();
    tag = node_rig_deliver(&rig, HEADERS("rig.raise", ""), BODY);
    state_is("a", "FAILURE", "ValueError");
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_REJECT);
    tag = node_rig_deliver(&rig, HEADERS("rig.retry", ""), "[[1], {}, {}]");
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_ACK);
}

Test(settle, a_retry_takes_along_stamps_and_headers_and_limits)
{
    struct json_object *limits;

    start();
    node_rig_deliver(
        &rig,
        HEADERS("rig.retry",
                ", \"stamps\": {\"k\": \"v\"}, \"stamped_headers\": [\"k\"], "
                "\"mine\": \"own\", \"timelimit\": [9, 8], \"retries\": 1, "
                "\"root_id\": \"r\", \"parent_id\": \"p\", \"x-death\": 1"),
        "[[1], {}, {}]");
    text_is(json_get(header(0, "stamps"), "k"), "v");
    text_is(json_object_array_get_idx(header(0, "stamped_headers"), 0), "k");
    text_is(header(0, "mine"), "own");
    text_is(header(0, "root_id"), "r");
    text_is(header(0, "parent_id"), "p");
    cr_expect_null(header(0, "x-death"));
    cr_expect_eq(json_object_get_int(header(0, "retries")), 2);
    limits = header(0, "timelimit");
    cr_expect_eq(json_object_get_int(json_object_array_get_idx(limits, 0)), 9);
    cr_expect_eq(json_object_get_int(json_object_array_get_idx(limits, 1)), 8);
}

Test(settle, a_retry_of_protocol_1_is_one_of_protocol_2)
{
    struct json_object *body;

    start();
    node_rig_deliver(&rig, "{}",
                     "{\"task\": \"rig.retry\", \"id\": \"a\", \"args\": [1], "
                     "\"kwargs\": {\"k\": 2}, \"retries\": 0, \"callbacks\": "
                     "[{\"task\": \"x.next\"}], \"taskset\": \"g\"}");
    text_is(header(0, "task"), "rig.retry");
    text_is(header(0, "id"), "a");
    text_is(header(0, "group"), "g");
    cr_expect_eq(json_object_get_int(header(0, "retries")), 1);
    body = json_get(json_object_array_get_idx(rig.sent, 0), "body");
    cr_expect_str_eq(
        json_object_to_json_string_ext(json_object_array_get_idx(body, 1), 0),
        "{\"k\":2}");
    cr_expect_not_null(
        json_get(json_object_array_get_idx(body, 2), "callbacks"));
    state_is("a", "RETRY", "OSError");
}

#define CHORD                                                                 \
    "[[], {}, {\"callbacks\": [{\"task\": \"celery.chord\", "                 \
    "\"subtask_type\": "                                                      \
    "\"chord\", \"kwargs\": {\"header\": [{\"task\": \"x.one\"}, {\"task\": " \
    "\"x.last\"}], \"body\": {\"task\": \"x.body\"}}}]}]"

Test(settle, a_chord_whose_last_member_is_refused_is_a_failure_to_send)
{
    start();
    rig.publish_st = ST_TOOBIG;
    rig.refused_task = "x.last";
    node_rig_deliver(&rig, HEADERS("rig.return", ""), CHORD);
    node_rig_turn(&rig, 50);
    state_is("a", "FAILURE", "ValueError");
}

Test(settle, a_chord_whose_size_is_refused_is_a_failure_to_send)
{
    start();
    rig.chord_st = ST_INVALID;
    node_rig_deliver(&rig, HEADERS("rig.return", ""), CHORD);
    node_rig_turn(&rig, 50);
    rig.chord_st = ST_OK;
    cr_expect_eq(json_object_array_length(rig.sent), 1);
    state_is("a", "FAILURE", "ValueError");
}

Test(settle, a_chord_whose_size_cannot_be_set_now_is_sent_later)
{
    start();
    rig.chord_st = ST_LOST;
    node_rig_deliver(&rig, HEADERS("rig.return", ""), CHORD);
    cr_expect_null(node_rig_stored(&rig, "a"));
    rig.chord_st = ST_OK;
    node_rig_turn(&rig, 300);
    cr_expect_eq(json_object_array_length(rig.sent), 2);
    state_is("a", "SUCCESS", NULL);
}

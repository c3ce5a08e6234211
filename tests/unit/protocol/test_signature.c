#include "protocol/signature.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/data.h"

/* t.other has a queue of its own. */
static const struct topology *
other_queue(void)
{
    static struct topology *t;
    static struct config c;
    struct error err = {0};

    if (t != NULL)
        return t;
    cr_assert_eq(config_init(&c, &err), ST_OK);
    cr_assert_eq(
        config_set(&c, "task_routes", "{\"t.other\": \"other\"}", &err), ST_OK);
    cr_assert_eq(topology_new(&t, &c, &err), ST_OK, "%s", err.text);
    return t;
}

/* As a worker whose task "me" goes on. */
static struct signature_context
worker(struct json_object *partial, struct json_object *chain)
{
    return (struct signature_context){
        .partial = partial,
        .chain = chain,
        .root_id = data_text("root"),
        .parent_id = data_text("me"),
        .reply_to = data_text("oid"),
        .origin = data_text("gen1@h"),
        .topology = other_queue(),
        .now_us = 1893553445000000,
    };
}

static struct signature_messages
apply_with(const char *sig, const struct signature_context *ctx)
{
    struct json_object *v = data_json(sig);
    struct signature_messages m;
    struct error err = {0};

    cr_assert_eq(signature_apply(v, ctx, &m, &err), ST_OK, "%s: %s", sig,
                 err.text);
    json_object_put(v);
    return m;
}

static struct signature_messages
apply(const char *sig, const char *partial, const char *chain)
{
    struct json_object *p = partial != NULL ? data_json(partial) : NULL;
    struct json_object *c = chain != NULL ? data_json(chain) : NULL;
    struct signature_context ctx = worker(p, c);
    struct signature_messages m = apply_with(sig, &ctx);

    json_object_put(p);
    json_object_put(c);
    return m;
}

/* The text of a member of message i's body: "args", "kwargs" or a key of the
 * embed; the caller frees it. */
static char *
part(const struct signature_messages *m, size_t i, const char *name)
{
    struct json_object *body = data_json(m->items[i].msg->body), *v;
    char *text;

    if (strcmp(name, "args") == 0)
        v = json_object_array_get_idx(body, 0);
    else if (strcmp(name, "kwargs") == 0)
        v = json_object_array_get_idx(body, 1);
    else
        v = json_get(json_object_array_get_idx(body, 2), name);
    text = v != NULL ? json_text(v) : strdup("null");
    json_object_put(body);
    return text;
}

static void
expect_part(const struct signature_messages *m, size_t i, const char *name,
            const char *want)
{
    char *got = part(m, i, name);

    cr_expect_str_eq(got, want, "%s of %zu: %s", name, i, got);
    free(got);
}

static const char *
header(const struct signature_messages *m, size_t i, const char *name)
{
    struct json_object *v = json_get(m->items[i].msg->headers, name);

    return v != NULL ? json_object_get_string(v) : "null";
}

#define SIG(name, args, options)                                    \
    "{\"task\": \"" name "\", \"args\": " args ", \"kwargs\": {}, " \
    "\"options\": " options ", \"subtask_type\": null, \"immutable\": false}"
#define CANVAS(type, kwargs, options)                                   \
    "{\"task\": \"celery." type "\", \"args\": [], \"kwargs\": " kwargs \
    ", \"options\": " options ", \"subtask_type\": \"" type             \
    "\", \"immutable\": false}"

Test(signature, what_is_none_is_told)
{
    static const char *const cases[] = {
        "null",
        "[]",
        "\"t.add\"",
        "{}",
        "{\"task\": null}",
        "{\"task\": \"\"}",
        "{\"task\": \"t\", \"args\": {}}",
        "{\"task\": \"t\", \"kwargs\": []}",
        "{\"task\": \"t\", \"options\": 1}",
        "{\"task\": \"t\", \"subtask_type\": \"nosuch\"}",
        "{\"task\": \"t\", \"subtask_type\": \"chain\"}",
        "{\"task\": \"t\", \"subtask_type\": \"group\", \"kwargs\": "
        "{\"tasks\": "
        "{}}}",
        "{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": "
        "{\"header\": []}}",
        "{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": "
        "{\"body\": {}, \"header\": 1}}",
        "{\"task\": \"t\", \"subtask_type\": \"xmap\", \"kwargs\": {\"it\": "
        "[]}}",
        "{\"task\": \"t\", \"subtask_type\": \"xstarmap\", \"kwargs\": "
        "{\"task\": {}, \"it\": 5}}",
        "{\"task\": \"t\", \"subtask_type\": \"chunks\", \"kwargs\": "
        "{\"task\": {}, \"it\": [], \"n\": 0}}",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *v = data_json(cases[i]);
        struct error err = {0};

        cr_expect_eq(signature_check(v, &err), ST_PROTO, "%s", cases[i]);
        cr_expect_gt(strlen(err.text), 0);
        json_object_put(v);
    }
}

Test(signature, absent_members_have_defaults)
{
    struct json_object *v = data_json("{\"task\": \"t\", \"junk\": 1}");

    cr_expect_eq(signature_check(v, NULL), ST_OK);
    cr_expect_eq(signature_type(v), SIG_TASK);
    cr_expect_not(signature_immutable(v));
    cr_expect_null(signature_option(v, "priority"));
    json_object_put(v);
}

Test(signature, a_new_one_has_all_members)
{
    struct json_object *args = data_json("[1]");
    struct json_object *sig = signature_new(data_text("t"), args, NULL, true);
    char *text = json_text(sig);

    cr_expect_str_eq(text, "{\"task\": \"t\", \"args\": [1], \"kwargs\": {}, "
                           "\"options\": {}, \"subtask_type\": null, "
                           "\"immutable\": true}");
    free(text);
    json_object_put(args);
    json_object_put(sig);
}

Test(signature, a_callback_gets_the_result_first)
{
    struct signature_messages m =
        apply("{\"task\": \"t\", \"args\": [2], \"kwargs\": {\"k\": 3}}", "[1]",
              NULL);

    cr_assert_eq(m.count, 1);
    expect_part(&m, 0, "args", "[1, 2]");
    expect_part(&m, 0, "kwargs", "{\"k\": 3}");
    cr_expect_str_eq(header(&m, 0, "root_id"), "root");
    cr_expect_str_eq(header(&m, 0, "parent_id"), "me");
    cr_expect_str_eq(header(&m, 0, "origin"), "gen1@h");
    cr_expect_str_eq(header(&m, 0, "argsrepr"), "(1, 2)");
    cr_expect_str_eq(m.items[0].msg->reply_to, "oid");
    cr_expect_str_eq(m.items[0].msg->routing_key, "celery");
    cr_expect_str_eq(m.items[0].id, m.result_id);
    cr_expect_eq(m.chord_count, 0);
    signature_messages_fini(&m);
    cr_expect_null(m.items);
}

Test(signature, an_immutable_one_does_not)
{
    struct signature_messages m = apply(
        "{\"task\": \"t\", \"args\": [2], \"immutable\": true}", "[1]", NULL);

    expect_part(&m, 0, "args", "[2]");
    signature_messages_fini(&m);
}

Test(signature, options_become_fields)
{
    struct signature_messages m = apply(
        SIG("t.other", "[]",
            "{\"task_id\": \"my-id\", \"countdown\": 10.5, \"expires\": 60, "
            "\"priority\": 300, \"time_limit\": 9, \"soft_time_limit\": 5, "
            "\"shadow\": \"s\", \"ignore_result\": true, \"retries\": 2, "
            "\"headers\": {\"h\": 1}, \"link\": {\"task\": \"cb\"}, "
            "\"link_error\": [{\"task\": \"eb\"}], \"reply_to\": \"theirs\", "
            "\"stamped_headers\": [\"st\"], \"st\": [\"v\"], "
            "\"replaced_task_nesting\": 1, \"group_id\": \"g\", "
            "\"group_index\": 4, \"queue\": null, \"add_to_parent\": false}"),
        NULL, NULL);

    cr_expect_str_eq(m.items[0].id, "my-id");
    cr_expect_str_eq(header(&m, 0, "eta"), "2030-01-02T03:04:15.500000+00:00");
    cr_expect_str_eq(header(&m, 0, "expires"),
                     "2030-01-02T03:05:05.000000+00:00");
    cr_expect_str_eq(m.items[0].msg->expiration, "60000");
    cr_expect_eq(m.items[0].msg->priority, 255);
    cr_expect_str_eq(header(&m, 0, "timelimit"), "[ 9, 5 ]");
    cr_expect_str_eq(header(&m, 0, "shadow"), "s");
    cr_expect_str_eq(header(&m, 0, "ignore_result"), "true");
    cr_expect_str_eq(header(&m, 0, "retries"), "2");
    cr_expect_str_eq(header(&m, 0, "h"), "1");
    cr_expect_str_eq(header(&m, 0, "stamps"), "{ \"st\": [ \"v\" ] }");
    cr_expect_str_eq(header(&m, 0, "stamped_headers"), "[ \"st\" ]");
    cr_expect_str_eq(header(&m, 0, "replaced_task_nesting"), "1");
    cr_expect_str_eq(header(&m, 0, "group"), "g");
    cr_expect_str_eq(header(&m, 0, "group_index"), "4");
    cr_expect_str_eq(m.items[0].msg->reply_to, "theirs");
    cr_expect_str_eq(m.items[0].msg->routing_key, "other");
    expect_part(&m, 0, "callbacks", "[{\"task\": \"cb\"}]");
    expect_part(&m, 0, "errbacks", "[{\"task\": \"eb\"}]");
    signature_messages_fini(&m);
}

Test(signature, a_queue_or_an_exchange_goes_before_the_router)
{
    struct signature_messages m =
        apply(SIG("t.other", "[]", "{\"queue\": \"q\"}"), NULL, NULL);

    cr_expect_str_eq(m.items[0].msg->exchange, "");
    cr_expect_str_eq(m.items[0].msg->routing_key, "q");
    signature_messages_fini(&m);
    m = apply(SIG("t", "[]", "{\"exchange\": \"e\", \"routing_key\": \"k\"}"),
              NULL, NULL);
    cr_expect_str_eq(m.items[0].msg->exchange, "e");
    cr_expect_str_eq(m.items[0].msg->routing_key, "k");
    signature_messages_fini(&m);
    m = apply("{\"task\": \"celery.map\", \"subtask_type\": \"xmap\", "
              "\"kwargs\": {\"task\": {\"task\": \"t.other\"}, \"it\": [1]}}",
              NULL, NULL);
    cr_expect_str_eq(m.items[0].msg->routing_key, "other");
    signature_messages_fini(&m);
}

Test(signature, times_that_make_no_sense_are_told)
{
    static const char *const cases[] = {
        SIG("t", "[]", "{\"eta\": \"soon\"}"),
        SIG("t", "[]", "{\"eta\": 5}"),
        SIG("t", "[]", "{\"eta\": []}"),
        SIG("t", "[]", "{\"expires\": \"soon\"}"),
        SIG("t", "[]", "{\"countdown\": 1e300}"),
        SIG("t", "[]", "{\"expires\": NaN}"),
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *v = data_json(cases[i]);
        struct signature_context ctx = worker(NULL, NULL);
        struct signature_messages m;

        cr_expect_eq(signature_apply(v, &ctx, &m, NULL), ST_PROTO, "%s",
                     cases[i]);
        cr_expect_eq(m.count, 0);
        json_object_put(v);
    }
}

Test(signature, the_next_of_a_chain_takes_the_rest_along)
{
    struct signature_messages m =
        apply(SIG("t", "[3]", "{\"task_id\": \"next\"}"), "[1]",
              "[{\"task\": \"last\"}]");

    expect_part(&m, 0, "args", "[1, 3]");
    expect_part(&m, 0, "chain", "[{\"task\": \"last\"}]");
    signature_messages_fini(&m);
}

Test(signature, a_chain_within_a_chain_runs_before_the_rest)
{
    struct signature_messages m =
        apply(CANVAS("chain",
                     "{\"tasks\": [{\"task\": \"a\"}, {\"task\": "
                     "\"b\", \"options\": {\"task_id\": \"b\"}}]}",
                     "{}"),
              "[1]", "[{\"task\": \"outer\"}]");
    char *chain = part(&m, 0, "chain");
    struct json_object *v = data_json(chain);

    cr_assert_eq(m.count, 1);
    cr_expect_eq(json_object_array_length(v), 2);
    cr_expect_str_eq(json_get_str(json_object_array_get_idx(v, 0), "task").ptr,
                     "outer");
    cr_expect_str_eq(json_get_str(json_object_array_get_idx(v, 1), "task").ptr,
                     "b");
    cr_expect_str_eq(m.result_id, "b");
    json_object_put(v);
    free(chain);
    signature_messages_fini(&m);
}

Test(signature, every_member_of_a_group_gets_the_rest_of_the_chain)
{
    struct signature_messages m =
        apply(CANVAS("group",
                     "{\"tasks\": [{\"task\": \"a\"}, {\"task\": "
                     "\"b\", \"immutable\": true}]}",
                     "{\"task_id\": \"gid\"}"),
              "[1]", "[{\"task\": \"last\"}]");

    cr_assert_eq(m.count, 2);
    for (size_t i = 0; i < 2; i++) {
        expect_part(&m, i, "chain", "[{\"task\": \"last\"}]");
        expect_part(&m, i, "args", i == 0 ? "[1]" : "[]");
        cr_expect_str_eq(header(&m, i, "group"), "gid");
        cr_expect_str_eq(header(&m, i, "group_index"), i == 0 ? "0" : "1");
        cr_expect_str_eq(header(&m, i, "parent_id"), "me");
        cr_expect_str_eq(header(&m, i, "root_id"), "root");
    }
    cr_expect_str_eq(m.result_id, "gid");
    cr_expect_eq(
        json_object_array_length(json_object_array_get_idx(m.children, 1)), 2);
    signature_messages_fini(&m);
}

Test(signature, of_a_chord_only_the_body_gets_the_rest_of_the_chain)
{
    struct signature_messages m = apply(
        CANVAS("chord",
               "{\"header\": [{\"task\": \"a\"}, {\"task\": \"b\"}], \"body\": "
               "{\"task\": \"c\", \"options\": {\"task_id\": \"body\"}}}",
               "{\"task_id\": \"unused\"}"),
        "[1]", "[{\"task\": \"last\"}]");
    struct json_object *chord;
    char *text;

    cr_assert_eq(m.count, 2);
    for (size_t i = 0; i < 2; i++) {
        expect_part(&m, i, "args", "[1]");
        expect_part(&m, i, "chain", "null");
        text = part(&m, i, "chord");
        chord = data_json(text);
        cr_expect_eq(json_object_array_length(signature_option(chord, "chain")),
                     1);
        json_object_put(chord);
        free(text);
        cr_expect_str_eq(header(&m, i, "group"), m.chords[0].group);
    }
    cr_assert_eq(m.chord_count, 1);
    cr_expect_eq(m.chords[0].size, 2);
    cr_expect_eq(m.chords[0].last, 1);
    cr_expect_str_eq(m.result_id, "body");
    signature_messages_fini(&m);
}

Test(signature, a_chord_without_members_is_its_body)
{
    struct signature_messages m = apply(
        CANVAS("chord", "{\"header\": [], \"body\": {\"task\": \"c\"}}", "{}"),
        NULL, NULL);

    cr_assert_eq(m.count, 1);
    expect_part(&m, 0, "args", "[[]]");
    cr_expect_eq(m.chord_count, 0);
    signature_messages_fini(&m);
    m = apply(CANVAS("chord",
                     "{\"header\": [" CANVAS("chain", "{\"tasks\": []}",
                                             "{}") "], \"body\": {\"task\": "
                                                   "\"c\"}}",
                     "{}"),
              NULL, NULL);
    cr_expect_eq(m.count, 1);
    signature_messages_fini(&m);
}

/* What counts for the outer chord is the body of the inner one. */
Test(signature, a_chord_among_the_members_has_its_own_size)
{
    const char *inner = CANVAS("chord",
                               "{\"header\": [{\"task\": \"i1\"}, {\"task\": "
                               "\"i2\"}, {\"task\": \"i3\"}], \"body\": "
                               "{\"task\": \"ib\"}}",
                               "{}");
    struct json_object *sig =
        data_json(CANVAS("chord",
                         "{\"header\": [{\"task\": \"o1\"}], \"body\": "
                         "{\"task\": \"ob\"}}",
                         "{}"));
    struct json_object *chord, *ib;
    struct signature_context ctx = worker(NULL, NULL);
    struct signature_messages m;
    char *text;

    cr_assert_eq(json_append(json_get(json_get(sig, "kwargs"), "header"),
                             data_json(inner)),
                 ST_OK);
    cr_assert_eq(signature_apply(sig, &ctx, &m, NULL), ST_OK);
    cr_assert_eq(m.count, 4);
    cr_assert_eq(m.chord_count, 2);
    cr_expect_eq(m.chords[0].size, 2); /* before i1, the last member's first */
    cr_expect_eq(m.chords[0].last, 1);
    cr_expect_eq(m.chords[1].size, 3);
    cr_expect_eq(m.chords[1].last, 3);
    text = part(&m, 1, "chord");
    ib = data_json(text);
    free(text);
    cr_expect_str_eq(signature_task(ib).ptr, "ib");
    chord = signature_option(ib, "chord");
    cr_expect_str_eq(signature_task(chord).ptr, "ob");
    cr_expect_str_eq(json_str(signature_option(ib, "group_id")).ptr,
                     m.chords[0].group);
    json_object_put(ib);
    json_object_put(sig);
    signature_messages_fini(&m);
}

Test(signature, links_of_a_canvas_go_where_they_can_fire)
{
    struct signature_messages m =
        apply(CANVAS("group",
                     "{\"tasks\": [{\"task\": \"a\"}, {\"task\": "
                     "\"b\"}]}",
                     "{\"link\": [{\"task\": \"cb\"}], \"link_error\": "
                     "{\"task\": \"eb\"}}"),
              NULL, NULL);

    expect_part(&m, 0, "callbacks",
                "[{\"task\": \"cb\", \"immutable\": true}]");
    expect_part(&m, 1, "callbacks", "null");
    expect_part(&m, 0, "errbacks", "[{\"task\": \"eb\"}]");
    expect_part(&m, 1, "errbacks", "[{\"task\": \"eb\"}]");
    signature_messages_fini(&m);
}

Test(signature, bad_parts_deep_inside_are_told)
{
    static const char *const cases[] = {
        CANVAS("chain", "{\"tasks\": [5]}", "{}"),
        CANVAS("chain", "{\"tasks\": [{\"task\": \"a\"}, null]}", "{}"),
        CANVAS("group", "{\"tasks\": [{\"task\": \"a\"}, {}]}", "{}"),
        CANVAS("chord", "{\"header\": [{}], \"body\": {\"task\": \"b\"}}",
               "{}"),
        CANVAS("chord", "{\"header\": {}, \"body\": {\"task\": \"b\"}}", "{}"),
        CANVAS("chord", "{\"header\": [], \"body\": {}}", "{}"),
        CANVAS("chord", "{\"header\": [], \"body\": [1]}", "{}"),
        CANVAS("chain",
               "{\"tasks\": [{\"task\": \"g\", \"subtask_type\": \"group\", "
               "\"kwargs\": {\"tasks\": [[]]}}]}",
               "{}"),
        CANVAS("group", "{\"tasks\": [{\"task\": \"a\"}]}",
               "{\"link_error\": [7]}"),
        CANVAS("chain",
               "{\"tasks\": [" CANVAS("chain", "{\"tasks\": [1]}", "{}") "]}",
               "{}"),
        CANVAS(
            "chain",
            "{\"tasks\": [" CANVAS("chain", "{\"tasks\": [null]}", "{}") "]}",
            "{}"),
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *v = data_json(cases[i]);
        struct signature_context ctx = worker(NULL, NULL);
        struct signature_messages m;
        struct error err = {0};

        cr_expect_eq(signature_apply(v, &ctx, &m, &err), ST_PROTO, "%s: %s",
                     cases[i], err.text);
        cr_expect_null(m.items);
        json_object_put(v);
    }
}

/* Sets the option task_id to 156 characters. */
static void
set_long_id(struct json_object *sig)
{
    struct json_object *options = json_object_new_object();
    char id[156];

    memset(id, 'x', sizeof(id));
    cr_assert_eq(json_set(options, "task_id",
                          json_new_str((struct slice){id, sizeof(id)})),
                 ST_OK);
    cr_assert_eq(json_set(sig, "options", options), ST_OK);
}

Test(signature, an_id_that_is_too_long_is_refused)
{
    static const char *const cases[] = {
        "{\"task\": \"t\"}",
        CANVAS("group", "{\"tasks\": []}", "{}"),
        CANVAS("chain",
               "{\"tasks\": [{\"task\": \"a\"}, {\"task\": "
               "\"b\"}]}",
               "{}"),
        CANVAS("chord",
               "{\"header\": [{\"task\": \"a\"}], \"body\": "
               "{\"task\": \"b\"}}",
               "{}"),
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct signature_context ctx = worker(NULL, NULL);
        struct signature_messages m;
        struct json_object *v = data_json(cases[i]);

        set_long_id(v);
        cr_expect_eq(signature_apply(v, &ctx, &m, NULL), ST_INVALID, "%s",
                     cases[i]);
        json_object_put(v);
    }
}

Test(signature, an_empty_canvas_sends_nothing)
{
    struct signature_messages m =
        apply(CANVAS("chain", "{\"tasks\": []}", "{}"), NULL, NULL);

    cr_expect_eq(m.count, 0);
    cr_expect_null(m.children);
    cr_expect_str_eq(m.result_id, "");
    signature_messages_fini(&m);
    m = apply(CANVAS("group", "{\"tasks\": []}", "{\"task_id\": \"g\"}"), NULL,
              NULL);
    cr_expect_eq(m.count, 0);
    cr_expect_str_eq(m.result_id, "g");
    signature_messages_fini(&m);
}

Test(signature, what_is_applied_is_not_changed)
{
    const char *text = CANVAS(
        "chain",
        "{\"tasks\": [{\"task\": \"a\"}, {\"task\": \"g\", \"subtask_type\": "
        "\"group\", \"kwargs\": {\"tasks\": [{\"task\": \"b\"}, {\"task\": "
        "\"c\"}]}}, {\"task\": \"d\"}]}",
        "{\"link_error\": [{\"task\": \"e\"}]}");
    struct json_object *sig = data_json(text);
    struct signature_context ctx = worker(NULL, NULL);
    struct signature_messages m;
    char *after;

    cr_assert_eq(signature_apply(sig, &ctx, &m, NULL), ST_OK);
    after = json_text(sig);
    cr_expect_str_eq(after, text);
    free(after);
    signature_messages_fini(&m);
    json_object_put(sig);
}

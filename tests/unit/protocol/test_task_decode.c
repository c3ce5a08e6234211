#include "protocol/task.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/envelope.h"
#include "tests/support/data.h"

static bool
is(struct slice s, const char *text)
{
    return s.ptr != NULL && s.len == strlen(text) &&
           memcmp(s.ptr, text, s.len) == 0;
}

/* A message of the given parts; the type may be NULL. */
static struct message *
message(const char *headers, const char *type, const char *body)
{
    struct message *m = message_new();

    cr_assert_not_null(m);
    if (headers != NULL)
        m->headers = data_json(headers);
    if (type != NULL)
        data_set(&m->content_type, type);
    data_set(&m->body, body);
    m->body_len = strlen(body);
    return m;
}

static enum task_fault
fault_of(struct message *m, char *id, struct error *err)
{
    struct task_message t;
    enum task_fault fault = TASK_FAULT_NONE;
    enum status st = task_decode(&m, "json", &t, &fault, id, err);

    cr_expect_null(m);
    cr_expect_eq(st == ST_OK, fault == TASK_FAULT_NONE);
    cr_expect_null(st == ST_OK ? NULL : t.msg);
    if (st == ST_OK)
        task_fini(&t);
    return fault;
}

static struct task_message
decode(const char *headers, const char *body)
{
    struct message *m = message(headers, "application/json", body);
    struct task_message t;
    enum task_fault fault;
    struct error err = {0};

    cr_assert_eq(task_decode(&m, "json", &t, &fault, NULL, &err), ST_OK,
                 "%s: %s", headers, err.text);
    return t;
}

static struct task_message
captured(struct json_object *cases, const char *name)
{
    size_t n = json_object_array_length(cases);
    struct task_message t = {0};

    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(cases, i);
        struct message *m = NULL;
        enum task_fault fault;
        struct error err = {0};

        if (!is(json_get_str(c, "name"), name))
            continue;
        cr_assert_eq(envelope_decode(json_get_str(c, "envelope"), &m, &err),
                     ST_OK);
        cr_assert_eq(task_decode(&m, "json", &t, &fault, NULL, &err), ST_OK,
                     "%s: %s", name, err.text);
        return t;
    }
    cr_assert_fail("no case %s", name);
    return t;
}

#define HEAD "{\"lang\": \"py\", \"task\": \"t.add\", \"id\": \"i\""
#define BODY "[[1], {\"y\": 2}, {}]"

Test(task_decode, everything_that_celery_sends_is_read)
{
    struct json_object *cases = data_load("messages.json");
    size_t n = json_object_array_length(cases);

    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(cases, i);
        struct message *m = NULL;
        struct task_message t;
        enum task_fault fault;
        struct error err = {0};

        cr_assert_eq(envelope_decode(json_get_str(c, "envelope"), &m, &err),
                     ST_OK);
        cr_assert_eq(task_decode(&m, "json", &t, &fault, NULL, &err), ST_OK,
                     "%s: %s", json_get_str(c, "name").ptr, err.text);
        cr_expect_eq(t.protocol,
                     strncmp(json_get_str(c, "name").ptr, "v1", 2) ? 2 : 1);
        cr_expect(is(t.name, "t.add") || is(t.name, "t.echo"));
        cr_expect_gt(t.id.len, 0);
        cr_expect(json_object_is_type(t.args, json_type_array));
        cr_expect(json_object_is_type(t.kwargs, json_type_object));
        task_fini(&t);
    }
    json_object_put(cases);
}

Test(task_decode, each_field_of_version_2)
{
    struct json_object *cases = data_load("messages.json");
    struct task_message t = captured(cases, "own_id");

    cr_expect(is(t.id, "my-id"));
    cr_expect(is(t.root_id, "root"));
    cr_expect(is(t.parent_id, "parent"));
    cr_expect(is(t.correlation_id, "my-id"));
    cr_expect_eq(t.reply_to.len, 36);
    cr_expect(is(t.argsrepr, "(1, 1)"));
    cr_expect(is(t.kwargsrepr, "{}"));
    cr_expect_eq(strncmp(t.origin.ptr, "gen", 3), 0);
    cr_expect_null(t.shadow.ptr);
    cr_expect_null(t.group.ptr);
    cr_expect_eq(t.group_index, -1);
    cr_expect_eq(t.ignore_result, 0);
    cr_expect_not(t.has_eta);
    cr_expect_not(t.has_expires);
    cr_expect_null(t.callbacks);
    cr_expect_null(t.chain);
    cr_expect_null(t.chord);
    task_fini(&t);
    json_object_put(cases);
}

Test(task_decode, times_and_limits)
{
    struct json_object *cases = data_load("messages.json");
    struct task_message t = captured(cases, "eta");

    cr_expect(t.has_eta);
    cr_expect_eq(t.eta_us, 1893553445678901);
    cr_expect(is(t.eta, "2030-01-02T03:04:05.678901+00:00"));
    task_fini(&t);
    t = captured(cases, "eta_zone");
    cr_expect_eq(t.eta_us, 1893553445678901);
    task_fini(&t);
    t = captured(cases, "expires_at");
    cr_expect(t.has_expires);
    cr_expect_eq(t.expires_us, 1893553445678901);
    task_fini(&t);
    t = captured(cases, "limits");
    cr_expect_eq(t.hard_limit, 30);
    cr_expect_eq(t.soft_limit, 12.5);
    task_fini(&t);
    t = captured(cases, "retries");
    cr_expect_eq(t.retries, 2);
    task_fini(&t);
    t = captured(cases, "shadow");
    cr_expect(is(t.shadow, "shown"));
    task_fini(&t);
    t = captured(cases, "ignore_result");
    cr_expect_eq(t.ignore_result, 1);
    task_fini(&t);
    json_object_put(cases);
}

/* What others compute with them must not overflow. */
Test(task_decode, wild_counts_and_limits_are_clamped)
{
    struct task_message t =
        decode("{\"task\": \"t\", \"id\": \"i\", "
               "\"retries\": 9223372036854775807, "
               "\"replaced_task_nesting\": 18446744073709551615, "
               "\"group_index\": 9223372036854775807, "
               "\"timelimit\": [1e300, 1e20]}",
               "[[], {}, {}]");

    cr_expect_eq(t.retries, INT32_MAX);
    cr_expect_eq(t.replaced_task_nesting, INT32_MAX);
    cr_expect_eq(t.group_index, INT32_MAX);
    cr_expect_eq(t.hard_limit, 1e9);
    cr_expect_eq(t.soft_limit, 1e9);
    task_fini(&t);
}

Test(task_decode, canvas_and_custom_headers)
{
    struct json_object *cases = data_load("messages.json");
    struct task_message t = captured(cases, "chain");

    cr_expect_eq(json_object_array_length(t.chain), 2);
    task_fini(&t);
    t = captured(cases, "chord");
    cr_expect_not_null(t.chord);
    cr_expect_eq(t.group.len, 36);
    cr_expect_eq(t.group_index, 0);
    task_fini(&t);
    t = captured(cases, "links");
    cr_expect_eq(json_object_array_length(t.callbacks), 2);
    task_fini(&t);
    t = captured(cases, "link_error");
    cr_expect_eq(json_object_array_length(t.errbacks), 1);
    task_fini(&t);
    t = captured(cases, "headers");
    cr_expect(is(json_get_str(t.msg->headers, "x-trace"), "abc"));
    task_fini(&t);
    json_object_put(cases);
}

Test(task_decode, version_1_is_read_as_version_2_would_have_said_it)
{
    struct json_object *cases = data_load("messages.json");
    struct task_message t = captured(cases, "v1_group");

    cr_expect_eq(t.protocol, 1);
    cr_expect_eq(t.group.len, 36);
    cr_expect_eq(json_object_array_length(t.args), 2);
    cr_expect_null(t.argsrepr.ptr);
    task_fini(&t);
    t = captured(cases, "v1_chain");
    cr_expect_eq(json_object_array_length(t.callbacks), 1);
    task_fini(&t);
    t = captured(cases, "v1_eta");
    cr_expect_eq(t.eta_us, 1893553445678901);
    cr_expect_eq(t.expires_us, 1893553445678901);
    task_fini(&t);
    json_object_put(cases);

    t = decode(NULL, "{\"task\": \"t\", \"id\": \"i\", \"taskset\": \"g\", "
                     "\"group\": \"other\"}");
    cr_expect(is(t.group, "g"));
    cr_expect_eq(json_object_array_length(t.args), 0);
    cr_expect_eq(json_object_object_length(t.kwargs), 0);
    task_fini(&t);
}

Test(task_decode, in_the_hybrid_headers_win)
{
    struct task_message t = decode(
        "{\"task\": \"h\", \"retries\": 2, \"shadow\": null}",
        "{\"task\": \"b\", \"id\": \"i\", \"args\": [1], \"retries\": 1, "
        "\"shadow\": \"s\", \"group\": \"g\", \"taskset\": \"no\", "
        "\"kwargs\": {\"a\": 1}, \"errbacks\": [{\"task\": \"e\"}]}");

    cr_expect_eq(t.protocol, 2);
    cr_expect(is(t.name, "h"));
    cr_expect(is(t.id, "i"));
    cr_expect_eq(t.retries, 2);
    cr_expect_null(t.shadow.ptr);
    cr_expect(is(t.group, "g"));
    cr_expect_eq(json_object_array_length(t.errbacks), 1);
    task_fini(&t);
}

/* celery-wire.md 1.9, the rows that run or kill a Python worker. */
Test(task_decode, what_is_odd_but_clear_is_accepted)
{
    static const struct {
        const char *headers, *body;
    } cases[] = {
        {HEAD "}", BODY},
        {HEAD "}", "[[], {}, null]"},
        {HEAD "}", "[null, null, null]"},
        {HEAD ", \"timelimit\": null, \"retries\": \"3\"}", BODY},
        {HEAD ", \"timelimit\": [1]}", BODY},
        {HEAD ", \"timelimit\": [1, 2, 3]}", BODY},
        {HEAD ", \"timelimit\": 5}", BODY},
        {HEAD ", \"timelimit\": [\"a\", {}]}", BODY},
        {HEAD ", \"timelimit\": [NaN, Infinity]}", BODY},
        {HEAD ", \"eta\": \"\", \"expires\": \"\"}", BODY},
        {HEAD ", \"eta\": null, \"expires\": null}", BODY},
        {HEAD "}", "[[NaN, Infinity, -Infinity, 1e400, "
                   "123456789012345678901234567890], {}, {}]"},
        {HEAD ", \"group\": 5, \"root_id\": [], \"stamps\": 3, "
              "\"stamped_headers\": {}, \"ignore_result\": null}",
         BODY},
        {HEAD "}", "[[], {}, {\"callbacks\": {\"task\": \"one\"}, \"chain\": "
                   "[], \"unknown\": 1}]"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct task_message t = decode(cases[i].headers, cases[i].body);

        cr_expect(is(t.id, "i"));
        cr_expect_not(t.has_eta);
        cr_expect_not(t.has_expires);
        cr_expect_eq(t.hard_limit, 0);
        cr_expect_eq(t.soft_limit, 0);
        cr_expect_null(t.chain);
        task_fini(&t);
    }
}

Test(task_decode, a_number_as_id_becomes_its_text)
{
    struct task_message t =
        decode("{\"task\": \"t\", \"id\": 18446744073709551617}", BODY);

    cr_expect(is(t.id, "18446744073709551617"));
    task_fini(&t);
    t = decode("{\"task\": \"t\", \"id\": 7}", BODY);
    cr_expect(is(t.id, "7"));
    cr_expect(is(json_get_str(t.msg->headers, "id"), "7"));
    task_fini(&t);
}

Test(task_decode, typed_and_large_values_stay_as_they_came)
{
    struct task_message t = decode(
        HEAD "}", "[[{\"__type__\": \"datetime\", \"__value__\": \"x\"}, "
                  "123456789012345678901234567890, 1.50], {}, {}]");
    char *text = json_text(t.args);

    cr_expect_str_eq(text, "[{\"__type__\": \"datetime\", \"__value__\": "
                           "\"x\"}, 123456789012345678901234567890, 1.50]");
    free(text);
    task_fini(&t);
}

/* celery-wire.md 1.9, the rows that a worker rejects or acknowledges. */
static const struct {
    const char *headers, *type, *body;
    enum task_fault fault;
} faults[] = {
    /* no protocol */
    {NULL, "application/json", "{}", TASK_FAULT_UNKNOWN},
    {NULL, "application/json", "[]", TASK_FAULT_UNKNOWN},
    {NULL, "application/json", "null", TASK_FAULT_UNKNOWN},
    {NULL, "application/json", "5", TASK_FAULT_UNKNOWN},
    {NULL, "application/json", "", TASK_FAULT_UNKNOWN},
    {"{\"id\": \"i\"}", "application/json", BODY, TASK_FAULT_UNKNOWN},
    /* version 1 that does not decode */
    {NULL, "application/json", "{", TASK_FAULT_UNDECODED},
    {NULL, "text/plain", "{\"task\": \"t\"}", TASK_FAULT_UNDECODED},
    {NULL, NULL, "{\"task\": \"t\"}", TASK_FAULT_UNDECODED},
    {NULL, "application/json", "{\"task\": \"t\"}", TASK_FAULT_INVALID},
    {NULL, "application/json",
     "{\"task\": \"t\", \"id\": \"i\", \"kwargs\": []}", TASK_FAULT_INVALID},
    /* bytes */
    {HEAD "}", "application/json", "no json", TASK_FAULT_UNDECODED},
    {HEAD "}", "application/json", "[[], {}, {}", TASK_FAULT_UNDECODED},
    {HEAD "}", "application/json", "\xef\xbb\xbf[[], {}, {}]",
     TASK_FAULT_UNDECODED},
    {HEAD "}", "application/json", "[[\"\xff\"], {}, {}]",
     TASK_FAULT_UNDECODED},
    {HEAD ", \"compression\": \"application/x-gzip\"}", "application/json",
     BODY, TASK_FAULT_UNDECODED},
    {HEAD ", \"compression\": \"nosuch\"}", "application/json", BODY,
     TASK_FAULT_UNDECODED},
    /* types */
    {HEAD "}", "text/plain", BODY, TASK_FAULT_INVALID},
    {HEAD "}", "json", BODY, TASK_FAULT_INVALID},
    {HEAD "}", "application/x-python-serialize", "\x80\x04\x95",
     TASK_FAULT_INVALID},
    {HEAD "}", "application/data", BODY, TASK_FAULT_INVALID},
    {HEAD "}", NULL, BODY, TASK_FAULT_INVALID},
    /* shape */
    {HEAD "}", "application/json", "", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], {}]", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], {}, {}, 1]", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "{\"a\": 1}", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "null", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[{\"x\": 1}, {}, {}]", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], [], {}]", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], {}, []]", TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], {}, {\"callbacks\": \"x\"}]",
     TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], {}, {\"errbacks\": 1}]",
     TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], {}, {\"chain\": true}]",
     TASK_FAULT_INVALID},
    {HEAD "}", "application/json", "[[], {}, {\"chord\": [1]}]",
     TASK_FAULT_INVALID},
    /* fields */
    {HEAD ", \"eta\": \"yesterday\"}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {HEAD ", \"eta\": 5}", "application/json", BODY, TASK_FAULT_INVALID},
    {HEAD ", \"expires\": \"soon\"}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {HEAD ", \"expires\": {}}", "application/json", BODY, TASK_FAULT_INVALID},
    {"{\"task\": \"t\"}", "application/json", BODY, TASK_FAULT_INVALID},
    {"{\"task\": \"t\", \"id\": null}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {"{\"task\": \"t\", \"id\": \"\"}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {"{\"task\": \"t\", \"id\": [1]}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {"{\"task\": \"t\", \"id\": \"a\\u0000b\"}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {"{\"task\": 5, \"id\": \"i\"}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {"{\"task\": \"\", \"id\": \"i\"}", "application/json", BODY,
     TASK_FAULT_INVALID},
    {"{\"task\": \"a\\u0000\", \"id\": \"i\"}", "application/json", BODY,
     TASK_FAULT_INVALID},
};

Test(task_decode, each_fault_has_its_kind)
{

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct error err = {0};

        cr_expect_eq(
            fault_of(message(faults[i].headers, faults[i].type, faults[i].body),
                     NULL, &err),
            faults[i].fault, "%zu: %s, %s: %s", i,
            faults[i].headers ? faults[i].headers : "no headers",
            faults[i].body, err.text);
        cr_expect_gt(strlen(err.text), 0);
    }
}

Test(task_decode, the_id_is_told_even_when_the_rest_is_bad)
{
    char id[TASK_ID_MAX + 1];

    fault_of(message(HEAD "}", "text/plain", ""), id, NULL);
    cr_expect_str_eq(id, "i");
    fault_of(message(NULL, "application/json", "{}"), id, NULL);
    cr_expect_str_eq(id, "");
    fault_of(message(NULL, "application/json",
                     "{\"task\": \"t\", \"id\": \"one\", \"args\": 5}"),
             id, NULL);
    cr_expect_str_eq(id, "one");
}

Test(task_decode, lengths_have_their_limits)
{
    char headers[1000], longest[300];
    struct message *m;

    memset(longest, 'x', sizeof(longest));
    snprintf(headers, sizeof(headers), "{\"task\": \"t\", \"id\": \"%.155s\"}",
             longest);
    m = message(headers, "application/json", BODY);
    cr_expect_eq(fault_of(m, NULL, NULL), TASK_FAULT_NONE);
    snprintf(headers, sizeof(headers), "{\"task\": \"t\", \"id\": \"%.156s\"}",
             longest);
    m = message(headers, "application/json", BODY);
    cr_expect_eq(fault_of(m, NULL, NULL), TASK_FAULT_INVALID);
    snprintf(headers, sizeof(headers), "{\"task\": \"%.256s\", \"id\": \"i\"}",
             longest);
    m = message(headers, "application/json", BODY);
    cr_expect_eq(fault_of(m, NULL, NULL), TASK_FAULT_INVALID);
}

Test(task_decode, the_setting_decides_whether_json_is_let_in)
{
    static const struct {
        const char *accept;
        bool in;
    } cases[] = {
        {"json", true},       {"application/json", true},
        {"yaml, json", true}, {"yaml,application/json", true},
        {"", false},          {"yaml", false},
        {"jsonx", false},     {"pickle, msgpack", false},
        {" json ", true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message *m = message(HEAD "}", "application/json", BODY);
        struct task_message t;
        enum task_fault fault;

        cr_expect_eq(task_decode(&m, cases[i].accept, &t, &fault, NULL, NULL) ==
                         ST_OK,
                     cases[i].in, "%s", cases[i].accept);
        task_fini(&t);
    }
}

/* [[1, "x"], {"k": null}, {}] */
#define PACKED "\x93\x92\x01\xa1x\x81\xa1k\xc0\x80"

Test(task_decode, msgpack_is_let_in_and_is_json_from_then_on)
{
    struct message *m = message(HEAD "}", "application/x-msgpack", PACKED);
    struct task_message t;
    enum task_fault fault;

    cr_assert_eq(task_decode(&m, "json,msgpack", &t, &fault, NULL, NULL),
                 ST_OK);
    cr_expect_str_eq(t.msg->body, "[[1, \"x\"], {\"k\": null}, {}]");
    cr_expect_eq(t.msg->body_len, strlen(t.msg->body));
    cr_expect_str_eq(t.msg->content_type, "application/json");
    cr_expect_str_eq(t.msg->content_encoding, "utf-8");
    cr_expect_eq(json_object_array_length(t.args), 2);
    task_fini(&t);

    m = message(HEAD "}", "application/x-msgpack", PACKED);
    cr_expect_eq(task_decode(&m, "json", &t, &fault, NULL, NULL), ST_PROTO);
    cr_expect_eq(fault, TASK_FAULT_INVALID);
    m = message(HEAD "}", "application/x-msgpack", PACKED "\x80");
    cr_expect_eq(task_decode(&m, "msgpack", &t, &fault, NULL, NULL), ST_PROTO);
    cr_expect_eq(fault, TASK_FAULT_UNDECODED);
}

Test(task_decode, pickle_is_refused_whatever_the_setting)
{
    struct message *m =
        message(HEAD "}", "application/x-python-serialize", "\x80\x04\x95");
    struct task_message t;
    enum task_fault fault;
    struct error err;

    cr_assert_eq(task_decode(&m, "json,pickle,application/x-python-serialize",
                             &t, &fault, NULL, &err),
                 ST_PROTO);
    cr_expect_eq(fault, TASK_FAULT_INVALID);
    cr_expect_not_null(strstr(err.text, "python-serialize"));
}

/* Arrays n deep as the one argument; the body adds two more. */
static char *
nested(size_t n)
{
    char *s = malloc(2 * n + 32);
    char *p = s;

    cr_assert_not_null(s);
    p = stpcpy(p, "[[");
    memset(p, '[', n);
    memset(p + n, ']', n);
    stpcpy(p + 2 * n, "], {}, {}]");
    return s;
}

Test(task_decode, arguments_may_nest_as_deep_as_in_python)
{
    char *deep = nested(998), *deeper = nested(100000);

    cr_expect_eq(
        fault_of(message(HEAD "}", "application/json", deep), NULL, NULL),
        TASK_FAULT_NONE);
    cr_expect_eq(
        fault_of(message(HEAD "}", "application/json", deeper), NULL, NULL),
        TASK_FAULT_UNDECODED);
    free(deep);
    free(deeper);
}

Test(task_decode, redelivered_is_read_from_header_and_carrier)
{
    struct task_message t = decode(HEAD ", \"redelivered\": true}", BODY);
    struct message *m = message(HEAD "}", "application/json", BODY);
    enum task_fault fault;

    cr_expect(t.redelivered);
    task_fini(&t);
    m->redelivered = true;
    cr_assert_eq(task_decode(&m, "json", &t, &fault, NULL, NULL), ST_OK);
    cr_expect(t.redelivered);
    task_fini(&t);
}

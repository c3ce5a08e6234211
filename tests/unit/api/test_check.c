/* SPDX-License-Identifier: Apache-2.0 */
#include "api/check.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct loc where = {"body", "x", -1, NULL};

static struct json_object *
parse(const char *text)
{
    struct json_object *v = NULL;

    cr_assert_eq(
        json_parse((struct slice){text, strlen(text)}, JSON_DEPTH, &v, NULL),
        ST_OK, "%s", text);
    return v;
}

/* The 422 answer for what is in p, as text; the caller frees. */
static char *
told(struct problems *p)
{
    struct response rs;
    char *text = NULL;

    response_init(&rs);
    if (problems_answer(p, &rs)) {
        cr_assert_eq(rs.status, 422);
        cr_assert_eq(buf_take(&rs.body, &text, NULL), ST_OK);
    }
    response_fini(&rs);
    return text;
}

/* The "type" of the only problem; "": none. */
static void
type_of(struct problems *p, char *out, size_t size)
{
    struct json_object *entry =
        p->list == NULL ? NULL : json_object_array_get_idx(p->list, 0);

    snprintf(out, size, "%s",
             entry == NULL ? "" : json_get_str(entry, "type").ptr);
    json_object_put(p->list);
    *p = (struct problems){NULL, 0};
}

struct row {
    char kind; /* i, n, s, b, t, l, d */
    char json[64];
    char type[40];
};

ParameterizedTestParameters(check, one_value)
{
    static struct row rows[] = {
        {'i', "5", ""},
        {'i', "\"5\"", ""},
        {'i', "5.0", ""},
        {'i', "-0", ""},
        {'i', "5.5", "int_from_float"},
        {'i', "true", "int_type"},
        {'i', "null", "int_type"},
        {'i', "[]", "int_type"},
        {'i', "-1", "greater_than_equal"},
        {'i', "10", "less_than_equal"},
        {'i', "9223372036854775808", "less_than_equal"},
        {'i', "1e300", "less_than_equal"},
        {'i', "1e999", "finite_number"},
        {'i', "\"+5\"", "int_parsing"},
        {'i', "\" 5 \"", "int_parsing"},
        {'i', "\"5_0\"", "int_parsing"},
        {'i', "\"1e3\"", "int_parsing"},
        {'i', "\"\"", "int_parsing"},
        {'i', "\"99999999999999999999\"", "int_parsing_size"},
        {'n', "0.5", ""},
        {'n', "\"0.5\"", ""},
        {'n', "true", "float_type"},
        {'n', "1e999", "finite_number"},
        {'n', "\"nan\"", "float_parsing"},
        {'n', "\"0x1\"", "float_parsing"},
        {'n', "-0.1", "greater_than_equal"},
        {'n', "2.5", "less_than_equal"},
        {'s', "\"a\"", ""},
        {'s', "\"\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\"", ""},
        {'s', "\"\"", "string_too_short"},
        {'s', "\"abcd\"", "string_too_long"},
        {'s', "5", "string_type"},
        {'b', "true", ""},
        {'b', "1", "bool_type"},
        {'t', "\"2026-11-24T10:00:00Z\"", ""},
        {'t', "1764000000", ""},
        {'t', "\"tomorrow\"", "datetime_from_date_parsing"},
        {'t', "\"2026-02-30T00:00:00Z\"", "datetime_from_date_parsing"},
        {'t', "\"10000-01-01T00:00:00Z\"", "datetime_from_date_parsing"},
        {'t', "\"2026-01-01T00:00:00+99:99\"", "datetime_from_date_parsing"},
        {'t', "1e18", "less_than_equal"},
        {'t', "true", "float_type"},
        {'l', "[1]", ""},
        {'l', "[]", "too_short"},
        {'l', "[1,2,3]", "too_long"},
        {'l', "{}", "list_type"},
        {'d', "{}", ""},
        {'d', "[]", "dict_type"},
    };

    return cr_make_param_array(struct row, rows,
                               sizeof(rows) / sizeof(rows[0]));
}

static bool
check(struct problems *p, char kind, struct json_object *v)
{
    struct slice s;
    int64_t n;
    double d;
    bool b;

    switch (kind) {
    case 'i':
        return check_int(p, where, v, 0, 9, &n);
    case 'n':
        return check_number(p, where, v, 0, 2, &d);
    case 's':
        return check_string(p, where, v, 1, 3, &s);
    case 'b':
        return check_bool(p, where, v, &b);
    case 't':
        return check_time(p, where, v, &n);
    case 'l':
        return check_list(p, where, v, 1, 2);
    default:
        return check_dict(p, where, v);
    }
}

ParameterizedTest(struct row *r, check, one_value)
{
    struct problems p = {NULL, 0};
    struct json_object *v = parse(r->json);
    char type[60];
    bool good = check(&p, r->kind, v);

    type_of(&p, type, sizeof(type));
    cr_assert_str_eq(type, r->type, "%s, not %s: %s", type, r->type, r->json);
    cr_assert_eq(good, r->type[0] == '\0', "%s", r->json);
    json_object_put(v);
}

Test(check, a_problem_is_told_in_fastapis_shape)
{
    struct problems p = {NULL, 0};
    struct json_object *v = parse("\"\"");
    struct slice s;
    char *text;

    check_string(&p, where, v, 1, 3, &s);
    text = told(&p);
    cr_assert_str_eq(
        text, "{\"detail\":[{\"type\":\"string_too_short\",\"loc\":[\"body\","
              "\"x\"],\"msg\":\"String should have at least 1 character\","
              "\"input\":\"\",\"ctx\":{\"min_length\":1}}]}");
    free(text);
    json_object_put(v);
}

Test(check, all_problems_are_told_at_once)
{
    struct problems p = {NULL, 0};
    struct json_object *body = parse("{\"a\":1}"), *v;

    check_member(&p, body, "b", true, &v);
    check_member(&p, body, "c", true, &v);
    check_member(&p, body, "d", false, &v);
    cr_assert_eq(p.count, 2);
    json_object_put(p.list);
    json_object_put(body);
}

Test(check, what_is_told_back_is_bounded)
{
    struct problems p = {NULL, 0};
    static char big[100000];
    struct json_object *v;
    char *text;

    memset(big, 'a', sizeof(big) - 1);
    v = json_object_new_string(big);
    for (int i = 0; i < 500; i++)
        problem_value(&p, where, "no", v);
    text = told(&p);
    cr_assert_lt(strlen(text), 60000);
    free(text);
    json_object_put(v);
}

Test(check, a_word_is_one_of_a_few)
{
    static const char *const words[] = {"a", "b", "c", NULL};
    struct problems p = {NULL, 0};
    struct json_object *v = parse("\"d\"");
    struct slice s;
    char *text;

    cr_assert_not(check_word(&p, where, v, words, &s));
    text = told(&p);
    cr_assert_not_null(strstr(text, "Input should be 'a', 'b' or 'c'"));
    free(text);
    json_object_put(v);
}

Test(check, a_name_has_no_control_characters)
{
    struct problems p = {NULL, 0};
    struct json_object *v = parse("\"a\\nb\"");
    struct slice s;

    cr_assert_not(check_name(&p, where, v, 10, &s));
    json_object_put(p.list);
    json_object_put(v);
}

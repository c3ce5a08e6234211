/* SPDX-License-Identifier: Apache-2.0 */
#include "api/body_scan.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

static enum body_fault
scan(const char *p, size_t n, struct body_error *err)
{
    /* An exact copy on the heap: a read beyond its end is seen. */
    char *copy = malloc(n ? n : 1);
    enum body_fault fault;

    memcpy(copy, p, n);
    fault = body_scan((struct slice){copy, n}, err);
    free(copy);
    return fault;
}

struct row {
    char text[80];
    int fault;
    size_t at;
    char why[64];
};

ParameterizedTestParameters(body_scan, takes_json_and_says_where_it_is_none)
{
    static struct row rows[] = {
        {"{}", BODY_GOOD, 0, ""},
        {" {\"a\" : [1, -0, 2.5e-3, true, false, null, \"x\"] } ", BODY_GOOD, 0,
         ""},
        {"[[], {}, [{}]]", BODY_GOOD, 0, ""},
        {"{\"a\":{\"a\":1},\"b\":{\"a\":1}}", BODY_GOOD, 0, ""},
        {"\"\\ud83d\\ude00\"", BODY_GOOD, 0, ""},
        {"", BODY_EMPTY, 0, ""},
        {" \r\n", BODY_EMPTY, 0, ""},
        {"null", BODY_EMPTY, 0, ""},
        {"nul", BODY_INVALID, 0, "Expecting value"},
        {"{", BODY_INVALID, 1,
         "Expecting property name enclosed in double quotes"},
        {"{\"a\"", BODY_INVALID, 4, "Expecting ':' delimiter"},
        {"{\"a\":", BODY_INVALID, 5, "Expecting value"},
        {"{\"a\":1", BODY_INVALID, 6, "Expecting ',' delimiter"},
        {"{\"a\":1,}", BODY_INVALID, 7,
         "Expecting property name enclosed in double quotes"},
        {"[1,]", BODY_INVALID, 3, "Expecting value"},
        {"[1 2]", BODY_INVALID, 3, "Expecting ',' delimiter"},
        {"{} x", BODY_INVALID, 3, "Extra data"},
        {"{}{}", BODY_INVALID, 2, "Extra data"},
        {"{'a':1}", BODY_INVALID, 1,
         "Expecting property name enclosed in double quotes"},
        {"// c", BODY_INVALID, 0, "Expecting value"},
        {"NaN", BODY_INVALID, 0, "Expecting value"},
        {"-Infinity", BODY_INVALID, 0, "Expecting value"},
        {"05", BODY_INVALID, 1, "Extra data"},
        {"1.", BODY_INVALID, 1, "Extra data"},
        {"+1", BODY_INVALID, 0, "Expecting value"},
        {"\"a", BODY_INVALID, 0, "Unterminated string"},
        {"\"a\nb\"", BODY_INVALID, 2, "Invalid control character"},
        {"\"\\x\"", BODY_INVALID, 1, "Invalid \\escape"},
        {"\"\\u12\"", BODY_INVALID, 1, "Invalid \\uXXXX escape"},
        {"\"\\u0000\"", BODY_INVALID, 1, "U+0000 is not allowed"},
        {"\"\\ud800\"", BODY_INVALID, 1, "Lone surrogate"},
        {"\"\\udc00\"", BODY_INVALID, 1, "Lone surrogate"},
        {"\"\\ud800\\u0041\"", BODY_INVALID, 1, "Lone surrogate"},
        {"{\"\xc3\xa4\":1 \"b\":2}", BODY_INVALID, 7,
         "Expecting ',' delimiter"},
        {"{\"a\":1,\"a\":2}", BODY_INVALID, 0, "Duplicate key"},
        {"{\"a\":1,\"\\u0061\":2}", BODY_INVALID, 0, "Duplicate key"},
        {"\xef\xbb\xbf{}", BODY_INVALID, 0,
         "Only UTF-8 without a byte order mark is taken"},
        {"\"\xff\"", BODY_UNREADABLE, 0, ""},
        {"\"\xc0\xaf\"", BODY_UNREADABLE, 0, ""},
        {"\"\xed\xa0\x80\"", BODY_UNREADABLE, 0, ""},
        {"{x} \xff", BODY_UNREADABLE, 0, ""},
    };

    return cr_make_param_array(struct row, rows,
                               sizeof(rows) / sizeof(rows[0]));
}

ParameterizedTest(struct row *r, body_scan,
                  takes_json_and_says_where_it_is_none)
{
    struct body_error err = {0, ""};
    int fault = (int)scan(r->text, strlen(r->text), &err);

    cr_assert_eq(fault, r->fault, "%d: %s", fault, r->text);
    if (fault == BODY_INVALID) {
        cr_assert_str_eq(err.why, r->why, "%s: %s", r->text, err.why);
        cr_assert_eq(err.at, r->at, "%s: %zu", r->text, err.at);
    }
}

Test(body_scan, a_raw_nul_is_no_json)
{
    struct body_error err;

    cr_assert_eq(scan("\"a\0b\"", 5, &err), BODY_INVALID);
    cr_assert_eq(scan("{\0}\0", 4, &err), BODY_INVALID);
}

static enum body_fault
nested(size_t depth)
{
    struct body_error err;
    char *text = malloc(depth * 2);
    enum body_fault fault;

    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    fault = scan(text, depth * 2, &err);
    free(text);
    return fault;
}

Test(body_scan, depth_is_bounded_whatever_it_is)
{
    cr_assert_eq(nested(BODY_DEPTH), BODY_GOOD);
    cr_assert_eq(nested(BODY_DEPTH + 1), BODY_UNREADABLE);
    cr_assert_eq(nested(100000), BODY_UNREADABLE);
}

Test(body_scan, members_are_bounded)
{
    struct body_error err;
    struct buf b;

    buf_init(&b, 1 << 20);
    buf_addf(&b, "{\"x\":0");
    for (int i = 1; i < BODY_MEMBERS; i++)
        buf_addf(&b, ",\"%d\":0", i);
    buf_addf(&b, "}");
    cr_assert_eq(scan(b.data, b.len, &err), BODY_GOOD);
    b.len--;
    buf_addf(&b, ",\"y\":0}");
    cr_assert_eq(scan(b.data, b.len, &err), BODY_INVALID);
    buf_fini(&b);
}

Test(body_scan, a_number_of_any_size_up_to_the_digits_allowed)
{
    char digits[BODY_DIGITS + 1];
    struct body_error err;

    memset(digits, '9', sizeof(digits));
    cr_assert_eq(scan(digits, BODY_DIGITS, &err), BODY_GOOD);
    cr_assert_eq(scan(digits, BODY_DIGITS + 1, &err), BODY_INVALID);
}

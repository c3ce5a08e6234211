/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the raw text of a part of a JSON text. */
#include "base/json.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct slice
slice(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static bool
is(struct slice s, const char *text)
{
    if (text == NULL)
        return s.ptr == NULL;
    return s.ptr != NULL && s.len == strlen(text) &&
           memcmp(s.ptr, text, s.len) == 0;
}

Test(json_raw, a_members_bytes_are_given_as_they_are)
{
    static const struct {
        const char *text, *key, *value;
    } rows[] = {
        {"{\"a\":1}", "a", "1"},
        {" { \"a\" : 1.50 , \"b\":2 } ", "a", "1.50"},
        {"{\"a\":\"x\\\"}]\"}", "a", "\"x\\\"}]\""},
        {"{\"a\":\"q\\\\\",\"b\":1}", "b", "1"},
        {"{\"x\":[\"]\",{\"a\":3}],\"a\":{\"a\":[ ]} }", "a", "{\"a\":[ ]}"},
        {"{\"a\":1,\"a\": 2}", "a", "2"},
        {"{\"\\u0061\\n\":1}", "a\n", "1"},
        {"{\"\\ud83d\\ude00\":1}", "\xf0\x9f\x98\x80", "1"},
        {"{\"a\\u0000\":1}", "a", NULL},
        {"{\"ab\":1}", "a", NULL},
        {"{\"a\":1}", "ab", NULL},
        {"{\"\\u0061b\":1}", "a", NULL},
        {"{}", "a", NULL},
        {"[1]", "a", NULL},
        {"{\"a\":-Infinity}", "a", "-Infinity"},
        {"{\"a\":null}", "a", "null"},
        {"{\"a\" : true\n}", "a", "true"},
        {"{\"\":0}", "", "0"},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        cr_expect(is(json_raw_member(slice(rows[i].text), rows[i].key),
                     rows[i].value),
                  "%s", rows[i].text);
}

Test(json_raw, an_elements_bytes_are_given_as_they_are)
{
    static const char text[] = " [ 1, [2,[3]] ,\"a,]\", {\"b\":[4]},null ] ";

    cr_expect(is(json_raw_element(slice(text), 0), "1"));
    cr_expect(is(json_raw_element(slice(text), 1), "[2,[3]]"));
    cr_expect(is(json_raw_element(slice(text), 2), "\"a,]\""));
    cr_expect(is(json_raw_element(slice(text), 3), "{\"b\":[4]}"));
    cr_expect(is(json_raw_element(slice(text), 4), "null"));
    cr_expect(is(json_raw_element(slice(text), 5), NULL));
    cr_expect(is(json_raw_element(slice("[]"), 0), NULL));
    cr_expect(is(json_raw_element(slice("{}"), 0), NULL));
    cr_expect(is(json_raw_element(slice(""), 0), NULL));
}

Test(json_raw, cut_text_gives_nothing_and_is_never_overrun)
{
    static const char text[] = "{\"a\\u0062\":{\"c\":[1,\"x\\\"\"]},\"ab\":2}";

    for (size_t n = 0; n < sizeof(text) - 2; n++) {
        char *copy = malloc(n + 1); /* for the sanitizer to see an overrun */
        struct slice s;

        memcpy(copy, text, n);
        s = json_raw_member((struct slice){copy, n}, "zz");
        cr_expect_null(s.ptr);
        s = json_raw_member((struct slice){copy, n}, "ab");
        cr_expect(s.ptr == NULL ||
                  (s.ptr >= copy && s.ptr + s.len <= copy + n));
        free(copy);
    }
}

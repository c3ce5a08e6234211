/* SPDX-License-Identifier: Apache-2.0 */
#include "api/query.h"

#include <criterion/criterion.h>
#include <string.h>

static bool
parse(struct query *q, const char *text)
{
    return query_parse(q, (struct slice){text, strlen(text)});
}

static size_t
problems_of(const char *text, int64_t *out)
{
    struct problems p = {NULL, 0};
    struct query q;

    cr_assert(parse(&q, text), "%s", text);
    *out = query_int(&q, "limit", 1, 100, 20, &p);
    json_object_put(p.list);
    return p.count;
}

Test(query, pairs_are_decoded)
{
    struct problems p = {NULL, 0};
    struct query q;

    cr_assert(parse(&q, "a=1&b=x%20y+z&c&=d&&e=%C3%A4"));
    cr_assert_eq(q.count, 5);
    cr_assert_str_eq(query_get(&q, "b", &p).ptr, "x y z");
    cr_assert_eq(query_get(&q, "c", &p).len, 0);
    cr_assert_str_eq(query_get(&q, "e", &p).ptr, "\xc3\xa4");
    cr_assert_null(query_get(&q, "f", &p).ptr);
    cr_assert_eq(p.count, 0);
}

Test(query, bytes_that_are_no_text_are_refused)
{
    static const char *const bad[] = {"a=%ff", "a=%zz", "a=%4",
                                      "a=%00", "a=%0a", "%ed%a0%80"};
    struct query q;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(parse(&q, bad[i]), "%s", bad[i]);
}

Test(query, an_integer_is_digits)
{
    static const char *const bad[] = {"limit=0",
                                      "limit=101",
                                      "limit=abc",
                                      "limit=",
                                      "limit=1e3",
                                      "limit=+5",
                                      "limit=%2B5",
                                      "limit=%205%20",
                                      "limit=5_0",
                                      "limit=5.0",
                                      "limit=5&limit=6",
                                      "limit=%EF%BC%95",
                                      "limit=1000000000000000000000000000000"};
    int64_t n;

    cr_assert_eq(problems_of("limit=7", &n), 0);
    cr_assert_eq(n, 7);
    cr_assert_eq(problems_of("x=1", &n), 0);
    cr_assert_eq(n, 20);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(problems_of(bad[i], &n), 1, "%s", bad[i]);
}

Test(query, too_much_of_anything_is_refused)
{
    static char text[QUERY_TEXT_MAX * 2];
    struct query q;

    memset(text, '&', 100);
    cr_assert(parse(&q, text));
    for (size_t i = 0; i < 2 * (QUERY_PAIRS_MAX + 1); i += 2)
        memcpy(text + i, "a&", 2);
    cr_assert_not(parse(&q, text));
    memset(text, 'a', sizeof(text) - 1);
    cr_assert_not(parse(&q, text));
}

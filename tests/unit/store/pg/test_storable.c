/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pg/storable.h"

#include <criterion/criterion.h>
#include <string.h>

/* For the tables; in calls as (struct slice)S("..."). */
#define S(literal)                   \
    {                                \
        literal, sizeof(literal) - 1 \
    }

struct row {
    struct slice in, out;
};

Test(storable, text_that_cannot_be_stored_is_replaced)
{
    static const struct row rows[] = {
        {S("plain"), S("plain")},
        {S(""), S("")},
        {S("a\0b"), S("a\xEF\xBF\xBD"
                      "b")},
        {S("\xff"), S("\xEF\xBF\xBD")},
        {S("h\xC3\xA9"), S("h\xC3\xA9")},
        {S("cut \xC3"), S("cut \xEF\xBF\xBD")},
        {S("\xED\xA0\x80"), S("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")},
    };
    char out[64];

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t n = storable_text(rows[i].in, 64, NULL);

        cr_assert_eq(n, rows[i].out.len, "row %zu: %zu", i, n);
        cr_assert_eq(storable_text(rows[i].in, 64, out), n);
        cr_assert_eq(memcmp(out, rows[i].out.ptr, n), 0, "row %zu", i);
        cr_assert(storable(rows[i].out));
    }
}

Test(storable, long_text_is_cut_between_characters)
{
    char out[8];

    cr_assert_eq(storable_text((struct slice)S("abc\xC3\xA9"), 4, out), 3);
    cr_assert_eq(storable_text((struct slice)S("abc\xC3\xA9"), 5, out), 5);
    cr_assert_eq(storable_text((struct slice)S("ab\xff"), 4, out), 2);
}

Test(storable, numbers_that_are_no_json_become_strings)
{
    static const struct row rows[] = {
        {S("[1, 2]"), S("[1, 2]")},
        {S("NaN"), S("\"NaN\"")},
        {S("[NaN,-Infinity, Infinity]"),
         S("[\"NaN\",\"-Infinity\", \"Infinity\"]")},
        {S("{\"NaN\": \"Infinity \\\" NaN\"}"),
         S("{\"NaN\": \"Infinity \\\" NaN\"}")},
        {S("[\"\\\\\", NaN]"), S("[\"\\\\\", \"NaN\"]")},
        {S("\"open NaN"), S("\"open NaN")},
        {S("\"\\"), S("\"\\")},
        {S("-1"), S("-1")},
        {S("null"), S("null")},
        {S(""), S("")},
    };
    char out[64];

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t n = storable_json(rows[i].in, NULL);

        cr_assert_eq(n, rows[i].out.len, "row %zu: %zu", i, n);
        cr_assert_eq(storable_json(rows[i].in, out), n);
        cr_assert_eq(memcmp(out, rows[i].out.ptr, n), 0, "row %zu", i);
    }
}

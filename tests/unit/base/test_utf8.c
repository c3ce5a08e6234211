/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

Test(utf8, every_code_point_survives_put_and_get)
{
    char bytes[4];

    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        int n;

        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        n = utf8_put(code, bytes);
        if (utf8_len(bytes, bytes + n) != n || utf8_get(bytes, n) != code)
            cr_assert_fail("U+%04X", code);
    }
}

Test(utf8, malformed_sequences_are_refused)
{
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xc3(",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xe2(\xa1",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x90\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xf8\x88\x80\x80\x80"};

    for (size_t i = 0; i < COUNT(bad); i++)
        cr_expect_eq(utf8_len(bad[i], bad[i] + strlen(bad[i])), 0, "row %zu",
                     i);
}

Test(utf8, a_text_is_valid_if_all_of_it_is)
{
    cr_expect(utf8_valid((struct slice){"", 0}));
    cr_expect(utf8_valid((struct slice){"a\xc3\xa9\0z", 5}));
    cr_expect_not(utf8_valid((struct slice){"a\xc3\xa9\xc3", 4}));
}

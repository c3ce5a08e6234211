/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/recent.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct slice
tag(int n)
{
    static char text[32];

    return (struct slice){text,
                          (size_t)snprintf(text, sizeof text, "tag-%d", n)};
}

Test(recent, it_knows_what_was_added_and_when)
{
    struct recent r = {0};

    cr_assert_eq(recent_find(&r, tag(1)), 0);
    recent_add(&r, tag(1), 10);
    recent_add(&r, tag(2), 20);
    recent_add(&r, tag(1), 30);
    cr_assert_eq(recent_find(&r, tag(1)), 30);
    cr_assert_eq(recent_find(&r, tag(2)), 20);
    cr_assert_eq(recent_find(&r, tag(3)), 0);
    recent_fini(&r);
}

Test(recent, it_keeps_the_last_65536_and_forgets_the_rest)
{
    enum { KEPT = 65536, ALL = 300000 };
    struct recent r = {0};

    for (int i = 0; i < ALL; i++)
        recent_add(&r, tag(i), (uint64_t)i + 1);
    for (int i = 0; i < ALL; i++)
        cr_assert_eq(recent_find(&r, tag(i)),
                     i < ALL - KEPT ? 0 : (uint64_t)i + 1, "%d", i);
    recent_fini(&r);
}

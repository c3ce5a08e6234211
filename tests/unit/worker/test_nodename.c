/* SPDX-License-Identifier: Apache-2.0 */
/* Node names. */
#include <criterion/criterion.h>

#include "worker/nodename.h"

Test(nodename, follows_celerys_patterns)
{
    static const struct {
        const char *pattern;
        uint32_t index;
        const char *want;
    } rows[] = {
        {"", 1, "celery@h1.lab.org"},
        {"", 2, "celery-2@h1.lab.org"},
        {"w1@lab", 1, "w1@lab"},
        {"w1@lab", 3, "w1-3@lab"},
        {"w%i@%n", 3, "w3@h1"},
        {"w@%d", 1, "w@lab.org"},
        {"w", 1, "w@h1.lab.org"},
        {"w", 2, "w-2@h1.lab.org"},
        {"100%%@%h", 1, "100%@h1.lab.org"},
        {"%x@h", 1, "%x@h"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[64];
        struct error err;

        cr_assert_eq(nodename_format(rows[i].pattern, "h1.lab.org",
                                     rows[i].index, name, sizeof(name), &err),
                     ST_OK);
        cr_expect_str_eq(name, rows[i].want);
    }
}

Test(nodename, that_is_too_long_is_refused)
{
    char name[10];
    struct error err;

    cr_assert_eq(
        nodename_format("a-long-name@host", "h", 1, name, sizeof(name), &err),
        ST_TOOBIG);
}

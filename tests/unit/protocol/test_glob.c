#include "protocol/glob.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/data.h"

/* The answers are those of Python's fnmatch.fnmatchcase. */
Test(glob, matches_as_fnmatch)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "a", true},
        {"a", "A", false},
        {"a", "ab", false},
        {"*", "", true},
        {"*", "a/b.c", true},
        {"**", "a", true},
        {"a*", "abc", true},
        {"*c", "abc", true},
        {"a*c", "abc", true},
        {"a*c", "ab", false},
        {"a*b*c", "aXbYbZc", true},
        {"*a*a*", "a", false},
        {"?", "a", true},
        {"?", "", false},
        {"?", "\xe2\x82\xac", true},
        {"??", "\xe2\x82\xac", false},
        {"\xe2\x82\xac*",
         "\xe2\x82\xac"
         "1",
         true},
        {"[abc]", "b", true},
        {"[abc]", "d", false},
        {"[a-c]", "b", true},
        {"[a-c]", "d", false},
        {"[!a-c]", "d", true},
        {"[!a-c]", "b", false},
        {"[]]", "]", true},
        {"[!]]", "]", false},
        {"[!]]", "a", true},
        {"[a-]", "-", true},
        {"[-a]", "-", true},
        {"[a", "[a", true},
        {"[a", "a", false},
        {"[", "[", true},
        {"[!", "[!", true},
        {"[\xc3\xa4-\xc3\xb6]", "\xc3\xa5", true},
        {"\\*", "*", false},
        {"\\*", "\\x", true},
        {"w[12]@*", "w1@lab", true},
        {"w[12]@*", "w3@lab", false},
        {"proj.*.add", "proj.tasks.add", true},
        {"proj.*", "other.add", false},
        {"*[0-9]", "node7", true},
        {"*[0-9]x", "node7", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(
            glob_match(data_text(cases[i].pattern), data_text(cases[i].text)),
            cases[i].match, "%s on %s", cases[i].pattern, cases[i].text);
}

Test(glob, many_stars_cost_no_more_than_one, .timeout = 5)
{
    char pattern[2001], text[5000];

    for (size_t i = 0; i < 2000; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[2000] = 'b';
    memset(text, 'a', sizeof(text));
    cr_expect_not(glob_match((struct slice){pattern, 2001},
                             (struct slice){text, sizeof(text)}));
}

Test(glob, bytes_that_are_no_utf8_match_themselves)
{
    cr_expect(glob_match(data_text("\xff?"), data_text("\xff\xfe")));
    cr_expect_not(glob_match(data_text("\xff"), data_text("\xfe")));
}

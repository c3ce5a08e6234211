/* SPDX-License-Identifier: Apache-2.0 */
/* Shell patterns.  Only the last star is ever gone back to: an earlier one has
 * nothing to gain from taking more. */
#include "protocol/glob.h"

#include "base/utf8.h"

struct cursor {
    const char *p, *end;
};

/* The next character; a byte that is no UTF-8 counts as itself. */
static uint32_t
next(struct cursor *c)
{
    int n = utf8_len(c->p, c->end);
    uint32_t code = n > 0 ? utf8_get(c->p, n) : (unsigned char)*c->p;

    c->p += n > 0 ? n : 1;
    return code;
}

/* The ']' that ends the class at p (after its '['); NULL: there is none.  A ']'
 * that comes first is a member. */
static const char *
class_end(const char *p, const char *end)
{
    if (p < end && *p == '!')
        p++;
    if (p < end && *p == ']')
        p++;
    while (p < end && *p != ']')
        p++;
    return p < end ? p : NULL;
}

static bool
in_class(const char *p, const char *end, uint32_t code)
{
    struct cursor c = {p, end};
    bool negated = p < end && *p == '!', in = false;

    c.p += negated;
    while (c.p < c.end) {
        uint32_t lo = next(&c), hi = lo;

        if (c.end - c.p >= 2 && *c.p == '-') {
            c.p++;
            hi = next(&c);
        }
        in = in || (code >= lo && code <= hi);
    }
    return in != negated;
}

/* Matches one pattern element, which is no star, against one character. */
static bool
match_one(struct cursor *pattern, struct cursor *text)
{
    const char *close;
    uint32_t want = next(pattern), code = next(text);

    if (want == '?')
        return true;
    if (want != '[')
        return want == code;
    close = class_end(pattern->p, pattern->end);
    if (close == NULL)
        return code == '[';
    if (!in_class(pattern->p, close, code))
        return false;
    pattern->p = close + 1;
    return true;
}

bool
glob_match(struct slice pattern, struct slice text)
{
    struct cursor p = {pattern.ptr, pattern.ptr + pattern.len};
    struct cursor t = {text.ptr, text.ptr + text.len};
    const char *star = NULL; /* the pattern behind the last star ... */
    const char *from = NULL; /* ... and the text that it does not take yet */

    while (t.p < t.end) {
        if (p.p < p.end && *p.p == '*') {
            star = ++p.p;
            from = t.p;
            continue;
        }
        if (p.p < p.end && match_one(&p, &t))
            continue;
        if (star == NULL)
            return false;
        p.p = star;
        t.p = from;
        next(&t);
        from = t.p;
    }
    while (p.p < p.end && *p.p == '*')
        p.p++;
    return p.p == p.end;
}

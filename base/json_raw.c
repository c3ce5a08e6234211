/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the raw text of a part of a JSON text without building anything.
 * Does not recurse and never leaves the text, whatever that holds. */
#include "base/json.h"

#include <string.h>

#include "base/json_scan.h"

/* Past the string at p (its quote), or NULL. */
static const char *
skip_string(const char *p, const char *end)
{
    p++;
    while (p < end && *p != '"') {
        p += *p == '\\' && end - p > 1 ? 2 : 1;
        p += json_scan_plain(p, end);
    }
    return p < end ? p + 1 : NULL;
}

/* Past the value at p, or NULL.  A word or a number ends where a comma, a
 * bracket or a blank does. */
static const char *
skip_value(const char *p, const char *end)
{
    const char *from = p;
    size_t depth = 0;

    while (p < end) {
        switch (*p) {
        case '"':
            p = skip_string(p, end);
            if (p == NULL || depth == 0)
                return p;
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (depth == 0)
                return p > from ? p : NULL;
            if (--depth == 0)
                return p + 1;
            break;
        case ',':
        case ' ':
        case '\n':
        case '\r':
        case '\t':
            if (depth == 0)
                return p > from ? p : NULL;
            break;
        default:
            break;
        }
        p++;
    }
    return depth == 0 && p > from ? p : NULL;
}

/* Does the raw text of a key (without its quotes) mean key? */
static bool
key_is(struct slice raw, const char *key)
{
    const char *p = raw.ptr, *end = p + raw.len;
    size_t len = strlen(key), used;
    char bytes[4];
    int n;

    if (memchr(p, '\\', raw.len) == NULL)
        return raw.len == len && memcmp(p, key, len) == 0;
    while (p < end) {
        n = 1;
        used = 1;
        bytes[0] = *p;
        if (*p == '\\')
            n = json_scan_escape(p, end, bytes, &used);
        if (n == 0 || (size_t)n > len || memcmp(bytes, key, (size_t)n) != 0)
            return false;
        p += used;
        key += n;
        len -= (size_t)n;
    }
    return len == 0;
}

/* Past the blanks, the separator c and more blanks; NULL if it is not there. */
static const char *
separator(const char *p, const char *end, char c)
{
    p = json_scan_blank(p, end);
    if (p == end || *p != c)
        return NULL;
    return json_scan_blank(p + 1, end);
}

struct slice
json_raw_member(struct slice text, const char *key)
{
    const char *p = text.ptr, *end = p + text.len, *from;
    struct slice found = {NULL, 0}, name;

    p = separator(p, end, '{');
    while (p != NULL && p < end && *p == '"') {
        from = p + 1;
        p = skip_string(p, end);
        if (p == NULL)
            break;
        name = (struct slice){from, (size_t)(p - 1 - from)};
        from = separator(p, end, ':');
        p = from != NULL ? skip_value(from, end) : NULL;
        if (p == NULL)
            break;
        if (key_is(name, key)) /* the last one wins, as in json_parse */
            found = (struct slice){from, (size_t)(p - from)};
        p = separator(p, end, ',');
    }
    return found;
}

struct slice
json_raw_element(struct slice text, size_t i)
{
    const char *p = text.ptr, *end = p + text.len, *from;

    p = separator(p, end, '[');
    while (p != NULL && p < end) {
        from = p;
        p = skip_value(from, end);
        if (p == NULL)
            break;
        if (i-- == 0)
            return (struct slice){from, (size_t)(p - from)};
        p = separator(p, end, ',');
    }
    return (struct slice){NULL, 0};
}

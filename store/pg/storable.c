/* SPDX-License-Identifier: Apache-2.0 */
/* Text and JSON as PostgreSQL accepts them. */
#include "store/pg/storable.h"

#include <string.h>

#include "base/utf8.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

bool
storable(struct slice s)
{
    return memchr(s.ptr, '\0', s.len) == NULL && utf8_valid(s);
}

static void
put(char *out, size_t at, const char *p, size_t n)
{
    if (out != NULL)
        memcpy(out + at, p, n);
}

size_t
storable_text(struct slice s, size_t max, char *out)
{
    const char *p = s.ptr, *end = p + s.len;
    size_t len = 0;

    if (s.len <= max && storable(s)) {
        put(out, 0, s.ptr, s.len);
        return s.len;
    }
    while (p < end) {
        size_t n = *p == '\0' ? 0 : (size_t)utf8_len(p, end);
        const char *from = n > 0 ? p : replacement;
        size_t add = n > 0 ? n : sizeof(replacement) - 1;

        if (len + add > max)
            break;
        put(out, len, from, add);
        len += add;
        p += n > 0 ? n : 1;
    }
    return len;
}

/* The length of the token at p that is no JSON, or 0. */
static size_t
bad_number(const char *p, const char *end)
{
    static const struct slice tokens[] = {
        {"NaN", 3}, {"Infinity", 8}, {"-Infinity", 9}};

    for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++)
        if ((size_t)(end - p) >= tokens[i].len &&
            memcmp(p, tokens[i].ptr, tokens[i].len) == 0)
            return tokens[i].len;
    return 0;
}

/* The end of the string that begins at p, after its closing quote. */
static const char *
skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

size_t
storable_json(struct slice text, char *out)
{
    const char *p = text.ptr, *end = p + text.len, *from = p;
    size_t len = 0;

    while (p < end) {
        size_t n;

        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        n = bad_number(p, end);
        if (n == 0) {
            p++;
            continue;
        }
        put(out, len, from, (size_t)(p - from));
        len += (size_t)(p - from);
        put(out, len, "\"", 1);
        put(out, len + 1, p, n);
        put(out, len + 1 + n, "\"", 1);
        len += n + 2;
        p += n;
        from = p;
    }
    put(out, len, from, (size_t)(end - from));
    return len + (size_t)(end - from);
}

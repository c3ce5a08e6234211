/* SPDX-License-Identifier: Apache-2.0 */
/* Query strings and percent-decoding. */
#include "api/query.h"

#include <string.h>

#include "api/check.h"
#include "base/utf8.h"

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte at text[*i], and moves on; -1: a bad escape. */
static int
next_byte(struct slice text, bool plus, size_t *i)
{
    char c = text.ptr[(*i)++];
    int hi, lo;

    if (c == '+' && plus)
        return ' ';
    if (c != '%')
        return (unsigned char)c;
    if (text.len - *i < 2)
        return -1;
    hi = hex_digit(text.ptr[*i]);
    lo = hex_digit(text.ptr[*i + 1]);
    *i += 2;
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

long
query_decode(struct slice text, bool plus, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len;) {
        int byte = next_byte(text, plus, &i);

        if (byte < 0x20 || byte == 0x7f || n + 1 >= size)
            return -1;
        out[n++] = (char)byte;
    }
    if (n >= size)
        return -1;
    out[n] = '\0';
    return utf8_valid((struct slice){out, n}) ? (long)n : -1;
}

static bool
decode_into(struct query *q, struct slice text, struct slice *out)
{
    long n =
        query_decode(text, true, q->text + q->used, sizeof(q->text) - q->used);

    if (n < 0)
        return false;
    *out = (struct slice){q->text + q->used, (size_t)n};
    q->used += (size_t)n + 1;
    return true;
}

static bool
add_pair(struct query *q, struct slice text)
{
    const char *eq = memchr(text.ptr, '=', text.len);
    struct slice name = text, value = {text.ptr + text.len, 0};
    struct query_pair *pair;

    if (text.len == 0)
        return true;
    if (q->count == QUERY_PAIRS_MAX)
        return false;
    if (eq != NULL) {
        name.len = (size_t)(eq - text.ptr);
        value = (struct slice){eq + 1, text.len - name.len - 1};
    }
    pair = &q->pairs[q->count++];
    return decode_into(q, name, &pair->name) &&
           decode_into(q, value, &pair->value);
}

bool
query_parse(struct query *q, struct slice text)
{
    q->count = q->used = 0;
    while (text.ptr != NULL && text.len > 0) {
        const char *amp = memchr(text.ptr, '&', text.len);
        size_t n = amp == NULL ? text.len : (size_t)(amp - text.ptr);

        if (!add_pair(q, (struct slice){text.ptr, n}))
            return false;
        n += amp != NULL;
        text = (struct slice){text.ptr + n, text.len - n};
    }
    return true;
}

struct slice
query_get(const struct query *q, const char *name, struct problems *p)
{
    struct slice found = {NULL, 0};
    size_t n = strlen(name);

    for (size_t i = 0; i < q->count; i++) {
        if (q->pairs[i].name.len != n ||
            memcmp(q->pairs[i].name.ptr, name, n) != 0)
            continue;
        if (found.ptr != NULL) {
            problem_value(p, (struct loc){"query", name, -1, NULL},
                          "given more than once", NULL);
            break;
        }
        found = q->pairs[i].value;
    }
    return found;
}

int64_t
query_int(const struct query *q, const char *name, int64_t min, int64_t max,
          int64_t dflt, struct problems *p)
{
    struct slice s = query_get(q, name, p);
    struct json_object *v;
    int64_t n = dflt;

    if (s.ptr == NULL)
        return dflt;
    v = json_new_str(s);
    check_int(p, (struct loc){"query", name, -1, NULL}, v, min, max, &n);
    json_object_put(v);
    return n;
}

bool
query_bool(const struct query *q, const char *name, bool dflt,
           struct problems *p)
{
    static const char *const words[] = {"true", "false", "1", "0", NULL};
    struct slice s = query_get(q, name, p);
    struct json_object *v;
    bool good;

    if (s.ptr == NULL)
        return dflt;
    v = json_new_str(s);
    good = check_word(p, (struct loc){"query", name, -1, NULL}, v, words, &s);
    dflt = good && (s.ptr[0] == 't' || s.ptr[0] == '1');
    json_object_put(v);
    return dflt;
}

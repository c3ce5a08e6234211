/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON parser.  It builds json-c's values but is not json-c's tokener,
 * because that one, even when strict, clamps integers beyond 64 bits, cuts a
 * key at an escaped NUL, takes single-quoted strings and raw control
 * characters, knows UTF-8 only by its outline, and makes and frees a locale at
 * each call, which costs more than the parsing.
 *
 * Numbers: what fits becomes an int64 or uint64; all others become a double
 * that keeps its source text (json_object_new_double_s), so an integer of
 * any length and "1.50" are printed again as they came. */
#include "base/json.h"

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_keys.h"
#include "base/json_scan.h"
#include "base/utf8.h"

enum { SMALL_KEY = 64 /* bytes, with the NUL: longer keys are allocated */ };

struct parser {
    const char *p, *start, *end;
    int depth;          /* levels that may still be opened */
    struct buf scratch; /* the string or number that is being decoded */
    const char *why;    /* NULL: out of memory */
};

static locale_t c_locale; /* a plugin may have called setlocale() */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool parse_value(struct parser *ps, struct json_object **out);

static void
make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool
fail(struct parser *ps, const char *why)
{
    ps->why = why;
    return false;
}

/* What a constructor gave: NULL is an error here, never JSON null. */
static bool
made(struct json_object *v, struct json_object **out)
{
    *out = v;
    return v != NULL;
}

static bool
skip_blank(struct parser *ps)
{
    ps->p = json_scan_blank(ps->p, ps->end);
    return ps->p < ps->end || fail(ps, "it ends too early");
}

static bool
word(struct parser *ps, const char *w)
{
    size_t n = strlen(w);

    if ((size_t)(ps->end - ps->p) < n || memcmp(ps->p, w, n) != 0)
        return fail(ps, "unexpected character");
    ps->p += n;
    return true;
}

/* Decodes the escape at ps->p to the end of scratch. */
static bool
add_escape(struct parser *ps)
{
    char bytes[4];
    size_t used;
    int n = json_scan_escape(ps->p, ps->end, bytes, &used);

    if (n == 0)
        return fail(ps, "bad escape in a string");
    buf_add(&ps->scratch, (struct slice){bytes, (size_t)n});
    ps->p += used;
    return true;
}

/* The string at ps->p (its quote).  *out points into the text or, if there
 * were escapes, into scratch: it lasts until the next string. */
static bool
parse_string(struct parser *ps, struct slice *out)
{
    const char *from = ++ps->p;
    bool escaped = false;
    int n;

    ps->scratch.len = 0;
    for (;;) {
        ps->p += json_scan_plain(ps->p, ps->end);
        if (ps->p == ps->end)
            return fail(ps, "unterminated string");
        if (*ps->p == '"')
            break;
        if (*ps->p == '\\') {
            buf_add(&ps->scratch, (struct slice){from, (size_t)(ps->p - from)});
            if (!add_escape(ps))
                return false;
            from = ps->p;
            escaped = true;
            continue;
        }
        if ((unsigned char)*ps->p < 0x20)
            return fail(ps, "control character in a string");
        n = utf8_len(ps->p, ps->end);
        if (n == 0)
            return fail(ps, "invalid UTF-8");
        ps->p += n;
    }
    *out = (struct slice){from, (size_t)(ps->p++ - from)};
    if (escaped) {
        buf_add(&ps->scratch, *out);
        *out = (struct slice){ps->scratch.data, ps->scratch.len};
    }
    return !ps->scratch.failed;
}

/* A double that keeps its text. */
static bool
real(struct parser *ps, struct slice text, struct json_object **out)
{
    ps->scratch.len = 0;
    buf_add(&ps->scratch, text);
    buf_add(&ps->scratch, (struct slice){"", 1});
    if (ps->scratch.failed)
        return false;
    return made(
        json_object_new_double_s(strtod_l(ps->scratch.data, NULL, c_locale),
                                 ps->scratch.data),
        out);
}

/* Skips digits; false if there are none. */
static bool
digits(struct parser *ps)
{
    const char *from = ps->p;

    while (ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9')
        ps->p++;
    return ps->p > from || fail(ps, "malformed number");
}

static bool
at(const struct parser *ps, char c)
{
    return ps->p < ps->end && *ps->p == c;
}

/* Skips a fraction and an exponent; *any if there was one. */
static bool
fraction(struct parser *ps, bool *any)
{
    *any = false;
    if (at(ps, '.')) {
        ps->p++;
        *any = true;
        if (!digits(ps))
            return false;
    }
    if (at(ps, 'e') || at(ps, 'E')) {
        ps->p++;
        *any = true;
        if (at(ps, '+') || at(ps, '-'))
            ps->p++;
        if (!digits(ps))
            return false;
    }
    return true;
}

/* text is [-]digits.  *fits is false if 64 bits do not hold it. */
static bool
integer(struct slice text, struct json_object **out, bool *fits)
{
    bool minus = text.ptr[0] == '-';
    uint64_t v = 0;

    *fits = false;
    for (size_t i = minus; i < text.len; i++)
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(text.ptr[i] - '0'), &v))
            return true;
    if (minus && v > (uint64_t)INT64_MAX + 1)
        return true;
    *fits = true;
    if (minus)
        return made(json_object_new_int64((int64_t)(0 - v)), out);
    return made(v <= INT64_MAX ? json_object_new_int64((int64_t)v)
                               : json_object_new_uint64(v),
                out);
}

static bool
parse_number(struct parser *ps, struct json_object **out)
{
    struct slice text = {ps->p, 0};
    const char *first;
    bool is_real, fits;

    if (at(ps, '-'))
        ps->p++;
    if (at(ps, 'I') && ps->p > text.ptr)
        return word(ps, "Infinity") &&
               made(json_object_new_double_s(-HUGE_VAL, "-Infinity"), out);
    first = ps->p;
    if (!digits(ps))
        return false;
    if (*first == '0' && ps->p - first > 1)
        return fail(ps, "number with a leading zero");
    if (!fraction(ps, &is_real))
        return false;
    text.len = (size_t)(ps->p - text.ptr);
    if (!is_real) {
        if (!integer(text, out, &fits))
            return false;
        if (fits)
            return true;
    }
    return real(ps, text, out);
}

static bool
parse_array(struct parser *ps, struct json_object **out)
{
    struct json_object *arr, *v = NULL;

    if (!made(json_object_new_array_ext(4), &arr))
        return false;
    ps->p++;
    if (!skip_blank(ps))
        goto fail;
    if (*ps->p == ']')
        goto end;
    for (;;) {
        if (!parse_value(ps, &v))
            goto fail;
        if (json_object_array_add(arr, v) != 0) {
            json_object_put(v);
            goto fail;
        }
        if (!skip_blank(ps))
            goto fail;
        if (*ps->p == ']')
            break;
        if (*ps->p != ',') {
            fail(ps, "no comma or ] after an element");
            goto fail;
        }
        ps->p++;
    }
end:
    ps->p++;
    *out = arr;
    return true;
fail:
    json_object_put(arr);
    return false;
}

/* obj[key] = v, consuming v.  known: key, as a constant; or NULL. */
static bool
add_member(struct json_object *obj, const char *key, const char *known,
           struct json_object *v)
{
    int rc = known != NULL ? json_object_object_add_ex(
                                 obj, known, v, JSON_C_OBJECT_ADD_CONSTANT_KEY)
                           : json_object_object_add(obj, key, v);

    if (rc != 0)
        json_object_put(v);
    return rc == 0;
}

/* What follows a key: a colon and a value. */
static bool
parse_member_value(struct parser *ps, struct json_object **v)
{
    if (!skip_blank(ps))
        return false;
    if (*ps->p != ':')
        return fail(ps, "no colon after a key");
    ps->p++;
    return parse_value(ps, v);
}

/* One "key": value into obj; ends after the value. */
static bool
parse_member(struct parser *ps, struct json_object *obj)
{
    struct json_object *v = NULL;
    char small[SMALL_KEY], *name = small;
    const char *known;
    struct slice key;
    bool ok;

    if (!skip_blank(ps))
        return false;
    if (*ps->p != '"')
        return fail(ps, "no string as a key");
    if (!parse_string(ps, &key))
        return false;
    if (memchr(key.ptr, '\0', key.len) != NULL) /* json-c would cut it */
        return fail(ps, "U+0000 in a key");
    known = json_known_key(key);
    if (key.len >= SMALL_KEY)
        name = malloc(key.len + 1);
    if (name == NULL)
        return false;
    memcpy(name, key.ptr, key.len); /* the value may overwrite it */
    name[key.len] = '\0';
    ok = parse_member_value(ps, &v) && add_member(obj, name, known, v);
    if (name != small)
        free(name);
    return ok;
}

static bool
parse_object(struct parser *ps, struct json_object **out)
{
    struct json_object *obj;

    if (!made(json_object_new_object(), &obj))
        return false;
    ps->p++;
    if (!skip_blank(ps))
        goto fail;
    if (*ps->p == '}')
        goto end;
    for (;;) {
        if (!parse_member(ps, obj) || !skip_blank(ps))
            goto fail;
        if (*ps->p == '}')
            break;
        if (*ps->p != ',') {
            fail(ps, "no comma or } after a member");
            goto fail;
        }
        ps->p++;
    }
end:
    ps->p++;
    *out = obj;
    return true;
fail:
    json_object_put(obj);
    return false;
}

static bool
parse_nested(struct parser *ps, struct json_object **out)
{
    bool ok;

    if (ps->depth == 0)
        return fail(ps, "nested too deep");
    ps->depth--;
    ok = *ps->p == '{' ? parse_object(ps, out) : parse_array(ps, out);
    ps->depth++;
    return ok;
}

static bool
parse_value(struct parser *ps, struct json_object **out)
{
    struct slice s;

    *out = NULL;
    if (!skip_blank(ps))
        return false;
    switch (*ps->p) {
    case '{':
    case '[':
        return parse_nested(ps, out);
    case '"':
        return parse_string(ps, &s) && made(json_new_str(s), out);
    case 't':
        return word(ps, "true") && made(json_object_new_boolean(1), out);
    case 'f':
        return word(ps, "false") && made(json_object_new_boolean(0), out);
    case 'n':
        return word(ps, "null");
    case 'N':
        return word(ps, "NaN") &&
               made(json_object_new_double_s(NAN, "NaN"), out);
    case 'I':
        return word(ps, "Infinity") &&
               made(json_object_new_double_s(HUGE_VAL, "Infinity"), out);
    case '-':
        return parse_number(ps, out);
    default:
        if (*ps->p >= '0' && *ps->p <= '9')
            return parse_number(ps, out);
        return fail(ps, "unexpected character");
    }
}

enum status
json_parse(struct slice text, int depth, struct json_object **out,
           struct error *err)
{
    struct parser ps = {.p = text.ptr,
                        .start = text.ptr,
                        .end = text.ptr + text.len,
                        .depth = depth < JSON_DEPTH ? depth : JSON_DEPTH};
    struct json_object *v = NULL;
    bool ok;

    if (text.len == 0)
        return error_set(err, ST_PROTO, "JSON: empty");
    if (text.len > INT_MAX) /* json-c counts in ints */
        return error_set(err, ST_TOOBIG, "JSON: over 2 GiB");
    pthread_once(&once, make_locale);
    buf_init(&ps.scratch, text.len + 1);
    ok = parse_value(&ps, &v);
    if (ok) {
        ps.p = json_scan_blank(ps.p, ps.end);
        if (ps.p < ps.end)
            ok = fail(&ps, "something follows the value");
    }
    buf_fini(&ps.scratch);
    if (ok) {
        *out = v;
        return ST_OK;
    }
    json_object_put(v);
    if (ps.why == NULL)
        return error_set(err, ST_NOMEM, "JSON: out of memory");
    return error_set(err, ST_PROTO, "JSON: %s, at byte %td of %zu", ps.why,
                     ps.p - ps.start, text.len);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A look over a body's JSON text before anything is built from it. */
#include "api/body_scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* A member's key, as a hash of its decoded bytes and the object it is in.  Two
 * keys that collide by chance (2^-64) would be refused as equal. */
struct key {
    uint32_t object;
    uint64_t hash;
};

struct level {
    bool is_object;
    uint32_t object;
};

struct scan {
    const char *p, *start, *end;
    struct level levels[BODY_DEPTH];
    int depth;
    uint32_t objects; /* seen so far: their numbers */
    struct key *keys;
    size_t key_count, key_cap;
    enum body_fault fault;
    const char *why, *at;
};

static bool
fail(struct scan *s, enum body_fault fault, const char *why, const char *at)
{
    s->fault = fault;
    s->why = why;
    s->at = at;
    return false;
}

static bool
invalid(struct scan *s, const char *why, const char *at)
{
    return fail(s, BODY_INVALID, why, at);
}

static void
skip_blanks(struct scan *s)
{
    while (s->p < s->end &&
           (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool
at_char(const struct scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

/* ---- strings ---- */

static void
mix(uint64_t *hash, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) /* FNV-1a */
        *hash = (*hash ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits after \u at p; -1: none. */
static int32_t
hex4(const struct scan *s, const char *p)
{
    int32_t v = 0;

    for (int i = 0; i < 4; i++) {
        int d = p + i < s->end ? hex_digit(p[i]) : -1;

        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static bool
scan_unicode(struct scan *s, uint64_t *hash)
{
    const char *from = s->p;
    int32_t hi = hex4(s, from + 2), lo;
    uint32_t code = (uint32_t)hi;
    char bytes[4];

    if (hi < 0)
        return invalid(s, "Invalid \\uXXXX escape", from);
    if (hi == 0)
        return invalid(s, "U+0000 is not allowed", from);
    s->p += 6;
    if (hi >= 0xd800 && hi <= 0xdfff) {
        lo = s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u'
                 ? hex4(s, s->p + 2)
                 : -1;
        if (hi > 0xdbff || lo < 0xdc00 || lo > 0xdfff)
            return invalid(s, "Lone surrogate", from);
        code =
            0x10000 + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00);
        s->p += 6;
    }
    mix(hash, bytes, (size_t)utf8_put(code, bytes));
    return true;
}

static bool
scan_escape(struct scan *s, uint64_t *hash)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (s->end - s->p < 2)
        return invalid(s, "Unterminated string", s->p);
    if (s->p[1] == 'u')
        return scan_unicode(s, hash);
    found = s->p[1] == '\0' ? NULL : strchr(from, s->p[1]);
    if (found == NULL)
        return invalid(s, "Invalid \\escape", s->p);
    mix(hash, &to[found - from], 1);
    s->p += 2;
    return true;
}

/* At the opening quote.  *hash: of the decoded bytes. */
static bool
scan_string(struct scan *s, uint64_t *hash)
{
    const char *from = s->p++;

    *hash = UINT64_C(0xcbf29ce484222325);
    while (s->p < s->end && *s->p != '"') {
        int n = utf8_len(s->p, s->end);

        if (n == 0)
            return fail(s, BODY_UNREADABLE, "invalid UTF-8", s->p);
        if ((unsigned char)*s->p < 0x20)
            return invalid(s, "Invalid control character", s->p);
        if (*s->p == '\\') {
            if (!scan_escape(s, hash))
                return false;
            continue;
        }
        mix(hash, s->p, (size_t)n);
        s->p += n;
    }
    if (s->p == s->end)
        return invalid(s, "Unterminated string", from);
    s->p++;
    return true;
}

/* ---- numbers and words ---- */

static size_t
digits(struct scan *s)
{
    const char *from = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return (size_t)(s->p - from);
}

static bool
scan_number(struct scan *s)
{
    const char *from = s->p;
    bool zero;

    if (*s->p == '-')
        s->p++;
    zero = at_char(s, '0');
    if (zero)
        s->p++;
    else if (digits(s) == 0)
        return invalid(s, "Expecting value", from);
    if (at_char(s, '.')) {
        s->p++;
        if (digits(s) == 0)
            return invalid(s, "Extra data", s->p - 1);
    }
    if (at_char(s, 'e') || at_char(s, 'E')) {
        s->p++;
        if (at_char(s, '+') || at_char(s, '-'))
            s->p++;
        if (digits(s) == 0)
            return invalid(s, "Extra data", s->p - 1);
    }
    if (s->p - from > BODY_DIGITS)
        return invalid(s, "Number too long", from);
    return true;
}

static bool
scan_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return invalid(s, "Expecting value", s->p);
    s->p += n;
    return true;
}

/* ---- arrays and objects ---- */

static bool
remember(struct scan *s, uint64_t hash)
{
    if (s->key_count == BODY_MEMBERS)
        return invalid(s, "Too many members", s->p);
    if (s->key_count == s->key_cap) {
        size_t cap = s->key_cap ? s->key_cap * 4 : 64;
        struct key *keys = realloc(s->keys, cap * sizeof(*keys));

        if (keys == NULL)
            return fail(s, BODY_UNREADABLE, "out of memory", s->p);
        s->keys = keys;
        s->key_cap = cap;
    }
    s->keys[s->key_count++] =
        (struct key){s->levels[s->depth - 1].object, hash};
    return true;
}

/* At a key: reads it and its colon. */
static bool
scan_key(struct scan *s)
{
    uint64_t hash;

    if (!at_char(s, '"'))
        return invalid(s, "Expecting property name enclosed in double quotes",
                       s->p);
    if (!scan_string(s, &hash) || !remember(s, hash))
        return false;
    skip_blanks(s);
    if (!at_char(s, ':'))
        return invalid(s, "Expecting ':' delimiter", s->p);
    s->p++;
    skip_blanks(s);
    return true;
}

/* At a bracket.  *more: a value comes next. */
static bool
open_level(struct scan *s, bool *more)
{
    bool is_object = *s->p == '{';

    if (s->depth == BODY_DEPTH)
        return fail(s, BODY_UNREADABLE, "nested too deeply", s->p);
    s->levels[s->depth++] = (struct level){is_object, s->objects++};
    s->p++;
    skip_blanks(s);
    *more = !at_char(s, is_object ? '}' : ']');
    if (!*more) {
        s->p++;
        s->depth--;
        return true;
    }
    return !is_object || scan_key(s);
}

/* One scalar, or the start of a container.  *more: a value comes next. */
static bool
scan_value(struct scan *s, bool *more)
{
    uint64_t unused;

    *more = false;
    if (s->p == s->end)
        return invalid(s, "Expecting value", s->p);
    switch (*s->p) {
    case '{':
    case '[':
        return open_level(s, more);
    case '"':
        return scan_string(s, &unused);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9'))
            return scan_number(s);
        return invalid(s, "Expecting value", s->p);
    }
}

/* After a value: closes levels.  *more: a comma came, a value is next. */
static bool
after_value(struct scan *s, bool *more)
{
    *more = false;
    while (s->depth > 0) {
        bool is_object = s->levels[s->depth - 1].is_object;

        skip_blanks(s);
        if (at_char(s, ',')) {
            s->p++;
            skip_blanks(s);
            *more = true;
            return !is_object || scan_key(s);
        }
        if (!at_char(s, is_object ? '}' : ']'))
            return invalid(s, "Expecting ',' delimiter", s->p);
        s->p++;
        s->depth--;
    }
    return true;
}

static bool
scan_document(struct scan *s)
{
    bool more;

    do {
        if (!scan_value(s, &more))
            return false;
        if (!more && !after_value(s, &more))
            return false;
    } while (more);
    skip_blanks(s);
    return s->p == s->end || invalid(s, "Extra data", s->p);
}

/* ---- the whole ---- */

static int
compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->object != y->object)
        return x->object < y->object ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static bool
check_duplicates(struct scan *s)
{
    if (s->key_count < 2)
        return true;
    qsort(s->keys, s->key_count, sizeof(*s->keys), compare_keys);
    for (size_t i = 1; i < s->key_count; i++)
        if (compare_keys(&s->keys[i - 1], &s->keys[i]) == 0)
            return invalid(s, "Duplicate key", s->start);
    return true;
}

static size_t
characters(const char *from, const char *to)
{
    size_t n = 0;

    for (; from < to; from++)
        n += ((unsigned char)*from & 0xc0) != 0x80;
    return n;
}

static bool
has_mark(struct slice t, const char *mark, size_t n)
{
    return t.len >= n && memcmp(t.ptr, mark, n) == 0;
}

enum body_fault
body_scan(struct slice text, struct body_error *err)
{
    struct scan s = {.p = text.ptr,
                     .start = text.ptr,
                     .end = text.ptr + text.len,
                     .fault = BODY_GOOD};
    const char *first;

    skip_blanks(&s);
    first = s.p;
    if (s.p == s.end)
        return BODY_EMPTY;
    if (has_mark(text, "\xef\xbb\xbf", 3) || has_mark(text, "\xff\xfe", 2) ||
        has_mark(text, "\xfe\xff", 2))
        invalid(&s, "Only UTF-8 without a byte order mark is taken", text.ptr);
    else if (scan_document(&s))
        check_duplicates(&s);
    else if (s.fault == BODY_INVALID &&
             !utf8_valid((struct slice){s.at, (size_t)(s.end - s.at)}))
        s.fault = BODY_UNREADABLE; /* Python decodes before it parses */
    free(s.keys);
    if (s.fault == BODY_GOOD && *first == 'n')
        return BODY_EMPTY;
    if (s.fault != BODY_GOOD)
        *err = (struct body_error){characters(text.ptr, s.at), s.why};
    return s.fault;
}

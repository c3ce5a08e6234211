/* SPDX-License-Identifier: Apache-2.0 */
/* repr() as Python prints the values that JSON can hold. */
#include "protocol/pyrepr.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/* What str.isprintable() refuses beyond ASCII: separators, formats, controls,
 * surrogates, private use.  Unassigned characters, which differ from one Python
 * to the next, are printed. */
static const struct {
    uint32_t first, last;
} unprintable[] = {
    {0x7f, 0xa0},        {0xad, 0xad},       {0x600, 0x605},
    {0x61c, 0x61c},      {0x6dd, 0x6dd},     {0x70f, 0x70f},
    {0x890, 0x891},      {0x8e2, 0x8e2},     {0x1680, 0x1680},
    {0x180e, 0x180e},    {0x2000, 0x200f},   {0x2028, 0x202f},
    {0x205f, 0x206f},    {0x3000, 0x3000},   {0xd800, 0xf8ff},
    {0xfeff, 0xfeff},    {0xfff0, 0xfffb},   {0xfffe, 0xffff},
    {0x110bd, 0x110bd},  {0x110cd, 0x110cd}, {0x13430, 0x1343f},
    {0x1bca0, 0x1bca3},  {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    {0xf0000, 0x10ffff},
};

static bool
is_printable(uint32_t c)
{
    for (size_t i = 0; i < sizeof(unprintable) / sizeof(unprintable[0]); i++)
        if (c >= unprintable[i].first && c <= unprintable[i].last)
            return false;
    return true;
}

/* The bytes of the character at s and its code point. */
static size_t
character(struct slice s, uint32_t *code)
{
    unsigned char lead = (unsigned char)s.ptr[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    n = n > s.len ? s.len : n;
    *code = n == 1 ? lead : lead & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        *code = *code << 6 | ((unsigned char)s.ptr[i] & 0x3f);
    return n;
}

static void
add_escape(struct buf *b, uint32_t c)
{
    if (c == '\n')
        buf_addf(b, "\\n");
    else if (c == '\r')
        buf_addf(b, "\\r");
    else if (c == '\t')
        buf_addf(b, "\\t");
    else if (c <= 0xff)
        buf_addf(b, "\\x%02x", (unsigned)c);
    else if (c <= 0xffff)
        buf_addf(b, "\\u%04x", (unsigned)c);
    else
        buf_addf(b, "\\U%08x", (unsigned)c);
}

void
pyrepr_add_string(struct buf *b, struct slice s)
{
    /* Single quotes, unless that costs an escape that double ones do not. */
    bool dbl = s.len > 0 && memchr(s.ptr, '\'', s.len) != NULL &&
               memchr(s.ptr, '"', s.len) == NULL;
    char quote = dbl ? '"' : '\'';
    uint32_t code;

    buf_add(b, (struct slice){&quote, 1});
    while (s.len > 0) {
        size_t n = character(s, &code);

        if (code == '\\' || code == (unsigned char)quote)
            buf_addf(b, "\\%c", (char)code);
        else if (code < 0x20 || !is_printable(code))
            add_escape(b, code);
        else
            buf_add(b, (struct slice){s.ptr, n});
        s.ptr += n;
        s.len -= n;
    }
    buf_add(b, (struct slice){&quote, 1});
}

static void
add_number(struct buf *b, struct json_object *v)
{
    size_t at = b->len;

    json_add(b, v);
    /* JSON's NaN, Infinity and -Infinity are Python's nan, inf and -inf. */
    at += at < b->len && b->data[at] == '-';
    if (b->failed || at == b->len || isdigit((unsigned char)b->data[at]))
        return;
    memcpy(b->data + at, b->data[at] == 'N' ? "nan" : "inf", 3);
    b->len = at + 3;
}

static void
add_array(struct buf *b, struct json_object *v)
{
    size_t n = json_object_array_length(v);

    buf_addf(b, "[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_addf(b, ", ");
        pyrepr_add(b, json_object_array_get_idx(v, i));
    }
    buf_addf(b, "]");
}

static void
add_object(struct buf *b, struct json_object *v)
{
    const char *sep = "";

    buf_addf(b, "{");
    json_object_object_foreach(v, key, val)
    {
        buf_addf(b, "%s", sep);
        pyrepr_add_string(b, slice_of(key));
        buf_addf(b, ": ");
        pyrepr_add(b, val);
        sep = ", ";
    }
    buf_addf(b, "}");
}

void
pyrepr_add(struct buf *b, struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_null:
        buf_addf(b, "None");
        break;
    case json_type_boolean:
        buf_addf(b, json_object_get_boolean(v) ? "True" : "False");
        break;
    case json_type_string:
        pyrepr_add_string(b, json_str(v));
        break;
    case json_type_array:
        add_array(b, v);
        break;
    case json_type_object:
        add_object(b, v);
        break;
    case json_type_int:
    case json_type_double:
        add_number(b, v);
        break;
    }
}

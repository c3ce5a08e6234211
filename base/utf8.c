/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, as strict as PostgreSQL and Python are. */
#include "base/utf8.h"

int
utf8_len(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    ptrdiff_t left = end - p;
    unsigned char lo = 0x80, hi = 0xbf; /* bounds of the second byte */
    int len;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    if (s[0] == 0xe0)
        lo = 0xa0; /* below: overlong */
    else if (s[0] == 0xed)
        hi = 0x9f; /* above: surrogates */
    else if (s[0] == 0xf0)
        lo = 0x90; /* below: overlong */
    else if (s[0] == 0xf4)
        hi = 0x8f; /* above: past U+10FFFF */
    if (s[1] < lo || s[1] > hi)
        return 0;
    for (int i = 2; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

uint32_t
utf8_get(const char *p, int len)
{
    static const unsigned char mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)p[0] & mask[len];

    for (int i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)p[i] & 0x3f);
    return code;
}

int
utf8_put(uint32_t code, char out[4])
{
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    int len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    for (int i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(lead[len] | code);
    return len;
}

bool
utf8_valid(struct slice s)
{
    const char *p = s.ptr, *end = p + s.len;
    int n;

    for (; p < end; p += n) {
        n = utf8_len(p, end);
        if (n == 0)
            return false;
    }
    return true;
}

void
utf8_mend(struct slice s, struct buf *out)
{
    const char *p = s.ptr, *end = s.ptr + s.len;

    while (p < end) {
        int n = utf8_len(p, end);

        if (n > 0)
            buf_add(out, (struct slice){p, (size_t)n});
        else
            buf_add(out, (struct slice){"\xef\xbf\xbd", 3});
        p += n > 0 ? n : 1;
    }
}

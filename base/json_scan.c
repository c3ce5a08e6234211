/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of reading JSON text. */
#include "base/json_scan.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Non-zero if some byte of x is below n (n <= 128); high bytes do not count. */
static uint64_t
below(uint64_t x, unsigned n)
{
    return (x - EACH(n)) & ~x & EACH(0x80);
}

size_t
json_scan_plain(const char *p, const char *end)
{
    const char *from = p;
    uint64_t x;

    for (; end - p >= 8; p += 8) {
        memcpy(&x, p, 8);
        if (below(x, 0x20) | below(x ^ EACH('"'), 1) |
            below(x ^ EACH('\\'), 1) | (x & EACH(0x80)))
            break;
    }
    for (; p < end && *p != '"' && *p != '\\'; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7f)
            break;
    return (size_t)(p - from);
}

/* Four hex digits at p, or -1. */
static int32_t
hex4(const char *p, const char *end)
{
    int32_t v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];

        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

static int
unicode_escape(const char *p, const char *end, char out[4], size_t *used)
{
    int32_t hi = hex4(p + 2, end), lo;
    uint32_t code = (uint32_t)hi;

    if (hi < 0)
        return 0;
    *used = 6;
    if (hi >= 0xd800 && hi <= 0xdfff) {
        code = 0xfffd;
        if (hi < 0xdc00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
            lo = hex4(p + 8, end);
            if (lo >= 0xdc00 && lo <= 0xdfff) {
                code = 0x10000 + ((uint32_t)(hi - 0xd800) << 10) +
                       (uint32_t)(lo - 0xdc00);
                *used = 12;
            }
        }
    }
    return utf8_put(code, out);
}

int
json_scan_escape(const char *p, const char *end, char out[4], size_t *used)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;

    if (end - p < 2 || p[1] == '\0')
        return 0;
    if (p[1] == 'u')
        return unicode_escape(p, end, out, used);
    at = strchr(from, p[1]);
    if (at == NULL)
        return 0;
    out[0] = to[at - from];
    *used = 2;
    return 1;
}

const char *
json_scan_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

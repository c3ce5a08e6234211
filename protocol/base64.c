/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648), as message bodies travel in kombu's Redis envelope. */
#include "protocol/base64.h"

#include <stdint.h>

enum {
    PAD = 64,   /* '=' */
    BLANK = 65, /* skipped */
    GROUPS = 256
};

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of each digit plus one, so that 0 is "no digit". */
#define D(c, v)           [(unsigned char)(c)] = (v) + 1
#define D4(a, b, c, d, v) D(a, v), D(b, v + 1), D(c, v + 2), D(d, v + 3)
static const uint8_t values[256] = {
    D4('A', 'B', 'C', 'D', 0),
    D4('E', 'F', 'G', 'H', 4),
    D4('I', 'J', 'K', 'L', 8),
    D4('M', 'N', 'O', 'P', 12),
    D4('Q', 'R', 'S', 'T', 16),
    D4('U', 'V', 'W', 'X', 20),
    D4('Y', 'Z', 'a', 'b', 24),
    D4('c', 'd', 'e', 'f', 28),
    D4('g', 'h', 'i', 'j', 32),
    D4('k', 'l', 'm', 'n', 36),
    D4('o', 'p', 'q', 'r', 40),
    D4('s', 't', 'u', 'v', 44),
    D4('w', 'x', 'y', 'z', 48),
    D4('0', '1', '2', '3', 52),
    D4('4', '5', '6', '7', 56),
    D4('8', '9', '+', '/', 60),
    D('=', PAD),
    D(' ', BLANK),
    D('\r', BLANK),
    D('\n', BLANK),
    D('\t', BLANK),
};
#undef D
#undef D4

struct decoder {
    struct buf *out;
    uint32_t bits;
    unsigned count; /* digits of the group so far */
    unsigned pads;
    size_t used;
    char bytes[3 * GROUPS];
};

static void
flush(struct decoder *d)
{
    buf_add(d->out, (struct slice){d->bytes, d->used});
    d->used = 0;
}

static void
put_group(struct decoder *d)
{
    d->bytes[d->used] = (char)(d->bits >> 16);
    d->bytes[d->used + 1] = (char)(d->bits >> 8);
    d->bytes[d->used + 2] = (char)d->bits;
    d->used += 3 - d->pads;
    d->bits = d->count = 0;
    if (d->used > sizeof(d->bytes) - 3)
        flush(d);
}

/* False: the character may not stand here. */
static bool
feed(struct decoder *d, unsigned char c)
{
    unsigned v = values[c];

    if (v == BLANK + 1)
        return true;
    if (v == 0)
        return false;
    if (v == PAD + 1) {
        if (d->count < 2)
            return false;
        d->pads++;
        v = 1;
    } else if (d->pads > 0) {
        return false;
    }
    d->bits = d->bits << 6 | (v - 1);
    if (++d->count == 4)
        put_group(d);
    return true;
}

void
base64_add(struct buf *out, struct slice in)
{
    char text[4 * GROUPS];
    const unsigned char *p = (const unsigned char *)in.ptr;
    size_t i = 0, used = 0;

    while (i < in.len) {
        size_t n = in.len - i < 3 ? in.len - i : 3;
        uint32_t bits = (uint32_t)p[i] << 16;

        bits |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        bits |= n > 2 ? (uint32_t)p[i + 2] : 0;
        text[used] = digits[bits >> 18];
        text[used + 1] = digits[bits >> 12 & 63];
        text[used + 2] = n > 1 ? digits[bits >> 6 & 63] : '=';
        text[used + 3] = n > 2 ? digits[bits & 63] : '=';
        used += 4;
        i += n;
        if (used == sizeof(text)) {
            buf_add(out, (struct slice){text, used});
            used = 0;
        }
    }
    buf_add(out, (struct slice){text, used});
}

enum status
base64_decode(struct slice in, struct buf *out, struct error *err)
{
    struct decoder d = {.out = out};

    for (size_t i = 0; i < in.len; i++)
        if (!feed(&d, (unsigned char)in.ptr[i]))
            return error_set(err, ST_PROTO, "base64: bad character at %zu", i);
    if (d.count != 0)
        return error_set(err, ST_PROTO, "base64: incorrect padding");
    flush(&d);
    if (out->nomem)
        return error_set(err, ST_NOMEM, "base64: out of memory");
    if (out->failed)
        return error_set(err, ST_TOOBIG, "base64: over %zu bytes", out->max);
    return ST_OK;
}

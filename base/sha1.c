/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 (FIPS 180-4).  OpenSSL has it, but is not begun for it: that costs a
 * process 2 MiB and some milliseconds. */
#include "base/sha1.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 64, WORDS = 5 };

static uint32_t
rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void
schedule(const unsigned char *block, uint32_t w[80])
{
    for (int t = 0; t < 16; t++, block += 4)
        w[t] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 |
               (uint32_t)block[2] << 8 | block[3];
    for (int t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
}

static uint32_t
mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void
add_block(uint32_t h[WORDS], const unsigned char *block)
{
    uint32_t w[80], v[WORDS], x;

    schedule(block, w);
    memcpy(v, h, sizeof(v));
    for (int t = 0; t < 80; t++) {
        x = rotate(v[0], 5) + mix(t, v[1], v[2], v[3]) + v[4] + w[t];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotate(v[1], 30);
        v[1] = v[0];
        v[0] = x;
    }
    for (int i = 0; i < WORDS; i++)
        h[i] += v[i];
}

void
sha1_hex(struct slice bytes, char out[SHA1_HEX_LEN + 1])
{
    uint32_t h[WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
                         0xc3d2e1f0};
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    unsigned char tail[2 * BLOCK] = {0};
    size_t left = bytes.len, end;
    uint64_t bits = (uint64_t)bytes.len * 8;

    for (; left >= BLOCK; left -= BLOCK, p += BLOCK)
        add_block(h, p);
    if (left > 0)
        memcpy(tail, p, left);
    tail[left] = 0x80;
    end = left + 1 + 8 <= BLOCK ? BLOCK : 2 * BLOCK;
    for (size_t i = 1; i <= 8; i++, bits >>= 8)
        tail[end - i] = (unsigned char)bits;
    for (size_t at = 0; at < end; at += BLOCK)
        add_block(h, tail + at);
    for (size_t i = 0; i < WORDS; i++)
        snprintf(out + 8 * i, 9, "%08x", (unsigned)h[i]);
}

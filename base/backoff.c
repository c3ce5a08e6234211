/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential backoff with jitter. */
#include "base/backoff.h"

#include "base/id.h"

uint32_t
backoff_jitter(uint32_t lo, uint32_t hi)
{
    uint32_t r;

    if (hi <= lo)
        return lo;
    id_random(&r, sizeof(r));
    /* Scales instead of taking a remainder: no bias towards small values. */
    return lo + (uint32_t)(((uint64_t)hi - lo + 1) * r >> 32);
}

uint32_t
backoff_next_ms(struct backoff *b)
{
    uint64_t top = b->base_ms;

    top <<= b->attempt < 32 ? b->attempt : 31; /* fits: 32 + 31 bits */
    if (top > b->cap_ms)
        top = b->cap_ms;
    if (b->attempt < UINT32_MAX)
        b->attempt++;
    return backoff_jitter((uint32_t)((top + 1) / 2), (uint32_t)top);
}

void
backoff_reset(struct backoff *b)
{
    b->attempt = 0;
}

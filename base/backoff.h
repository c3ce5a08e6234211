#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

/* Exponential backoff with jitter: delay n is random in
 * [min(cap, base * 2^n) / 2, min(cap, base * 2^n)].  Not secret randomness. */
struct backoff {
    uint32_t base_ms, cap_ms, attempt;
};

uint32_t backoff_next_ms(struct backoff *b); /* and counts the attempt */
void backoff_reset(struct backoff *b);
uint32_t backoff_jitter(uint32_t lo, uint32_t hi); /* uniform in [lo, hi] */

#endif

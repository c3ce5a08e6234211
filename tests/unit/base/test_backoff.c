/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"

#include <criterion/criterion.h>

Test(backoff, each_delay_is_between_half_and_all_of_the_doubled_base)
{
    static const uint32_t tops[] = {100, 200, 400, 800, 1000, 1000, 1000};

    for (int run = 0; run < 200; run++) {
        struct backoff b = {.base_ms = 100, .cap_ms = 1000};

        for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
            uint32_t ms = backoff_next_ms(&b);

            cr_assert(ms >= tops[i] / 2 && ms <= tops[i], "%u of %u", ms,
                      tops[i]);
        }
        cr_assert_eq(b.attempt, 7);
    }
}

Test(backoff, a_reset_starts_again)
{
    struct backoff b = {.base_ms = 10, .cap_ms = 1000, .attempt = 9};

    backoff_reset(&b);
    cr_assert(backoff_next_ms(&b) <= 10);
}

Test(backoff, many_attempts_and_large_values_do_not_overflow)
{
    struct backoff b = {
        .base_ms = UINT32_MAX, .cap_ms = UINT32_MAX, .attempt = 4000000000u};

    for (int i = 0; i < 100; i++)
        cr_assert(backoff_next_ms(&b) >= UINT32_MAX / 2);
    b = (struct backoff){.base_ms = 1, .cap_ms = 5, .attempt = UINT32_MAX};
    cr_assert(backoff_next_ms(&b) <= 5);
    cr_assert_eq(b.attempt, UINT32_MAX);
}

Test(backoff, no_base_is_no_delay)
{
    struct backoff b = {.base_ms = 0, .cap_ms = 100};

    cr_assert_eq(backoff_next_ms(&b), 0);
}

Test(backoff, jitter_reaches_both_ends_and_nothing_else)
{
    bool seen[4] = {false};

    for (int i = 0; i < 1000; i++) {
        uint32_t v = backoff_jitter(5, 8);

        cr_assert(v >= 5 && v <= 8);
        seen[v - 5] = true;
    }
    cr_expect(seen[0] && seen[1] && seen[2] && seen[3]);
    cr_expect_eq(backoff_jitter(7, 7), 7);
    cr_expect_eq(backoff_jitter(9, 3), 9);
    (void)backoff_jitter(0, UINT32_MAX);
}

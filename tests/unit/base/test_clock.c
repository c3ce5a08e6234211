/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <criterion/criterion.h>
#include <time.h>

Test(clock, the_wall_clock_is_the_systems)
{
    int64_t now = clock_unix_us() / 1000000;

    cr_assert(now >= (int64_t)time(NULL) - 2 && now <= (int64_t)time(NULL) + 2);
}

Test(clock, the_monotonic_clock_does_not_go_back)
{
    uint64_t last = clock_mono_us();

    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_mono_us();

        cr_assert(now >= last);
        last = now;
    }
}

Test(clock, a_shift_moves_both_and_replaces_the_one_before)
{
    int64_t wall = clock_unix_us();
    uint64_t mono = clock_mono_us();

    clock_shift_us(7200 * INT64_C(1000000));
    clock_shift_us(3600 * INT64_C(1000000));
    cr_expect(clock_unix_us() - wall >= 3600 * INT64_C(1000000));
    cr_expect(clock_unix_us() - wall < 3660 * INT64_C(1000000));
    cr_expect(clock_mono_us() - mono >= 3600 * UINT64_C(1000000));
    cr_expect(clock_mono_us() - mono < 3660 * UINT64_C(1000000));
    clock_shift_us(0);
    cr_expect(clock_unix_us() - wall < 60 * INT64_C(1000000));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The time of day and the monotonic clock, both movable by tests. */
#include "base/clock.h"

#include <time.h>

static int64_t shift_us; /* written by tests only, before threads start */

static int64_t
read_us(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 + shift_us;
}

int64_t
clock_unix_us(void)
{
    return read_us(CLOCK_REALTIME);
}

uint64_t
clock_mono_us(void)
{
    return (uint64_t)read_us(CLOCK_MONOTONIC);
}

void
clock_shift_us(int64_t by)
{
    shift_us = by;
}

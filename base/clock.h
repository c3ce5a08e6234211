#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/buf.h"

#include <stdint.h>

int64_t clock_unix_us(void);  /* wall time, microseconds since 1970 */
uint64_t clock_mono_us(void); /* CLOCK_MONOTONIC, microseconds */

/* Tests move the clock: added to both until the next call.  Not thread-safe. */
void clock_shift_us(int64_t by);

#endif

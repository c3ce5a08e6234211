#ifndef WORKER_TIMERS_H
#define WORKER_TIMERS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* Many timers on one uv_timer_t: a binary heap, so that an ETA task costs one
 * pointer.  Times are of the loop (monotonic, milliseconds). */
struct timer {
    uint64_t due_ms;
    size_t at; /* place in the heap, 1-based; 0: not set */
    void (*fn)(struct timer *t);
};

struct timers {
    uv_timer_t uv;
    uv_loop_t *loop;
    struct timer **heap;
    size_t count, cap;
};

void timers_init(struct timers *ts, uv_loop_t *loop);
/* Forgets all timers; closed may be NULL. */
void timers_close(struct timers *ts, uv_close_cb closed);

/* fn is called once, after delay_ms; a timer that is set is moved.  ST_NOMEM:
 * it is not set. */
enum status timer_set(struct timers *ts, struct timer *t, uint64_t delay_ms,
                      void (*fn)(struct timer *t));
void timer_unset(struct timers *ts, struct timer *t); /* may be unset already */
static inline bool
timer_is_set(const struct timer *t)
{
    return t->at != 0;
}

#endif

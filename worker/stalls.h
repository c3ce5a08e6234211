#ifndef WORKER_STALLS_H
#define WORKER_STALLS_H

#include <uv.h>

#include "base/json.h"
#include "base/metrics.h"

/* How long the turns of a loop take, without the time in which it only waits
 * for events: a loop that does not turn answers nobody.  A turn of 10 ms or
 * more is told apart: time in which the thread wanted a processor and had none
 * (the kernel's run delay) is the machine's, the rest is our own. */
enum { STALLS_BUCKETS = 7 };

struct stalls {
    uv_prepare_t prepare; /* before each wait for events: the turn is over */
    int delay_fd;         /* the thread's schedstat; -1: not known */
    uint64_t at_ns, idle_ns;
    uint64_t read_at_ns,
        delay_ns; /* of the delay: last read, and what it was */
    uint64_t turns, longest_ns, longest_own_ns;
    uint64_t counts[STALLS_BUCKETS]; /* own time, by its upper bound */
    struct metric *metric;
};

/* Before anything else is put on the loop. */
void stalls_init(struct stalls *s, uv_loop_t *loop);
void stalls_close(struct stalls *s);
/* {"turns": ..., "longest": s, "longest_own": s, "own": {"0.001": n, ...}},
 * the last of them "inf"; not cumulative.  NULL without memory. */
struct json_object *stalls_show(const struct stalls *s);

#endif

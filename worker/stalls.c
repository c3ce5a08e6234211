/* SPDX-License-Identifier: Apache-2.0 */
/* Measures the turns of a node's loop. */
#include "worker/stalls.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/fields.h"

enum { LINE_MAX_BYTES = 96 };

/* The delay is read this often, which costs 2 us, and after each turn of this
 * length.  What counts as a long turn's delay may be longer by that of the
 * short turns within this time before it, and of its own wake-up. */
static const uint64_t look_ns = 10 * 1000 * 1000;

static const struct {
    uint64_t ns;
    const char *name; /* in seconds */
} bounds[STALLS_BUCKETS] = {
    {1000000, "0.001"},  {5000000, "0.005"}, {10000000, "0.01"},
    {50000000, "0.05"},  {100000000, "0.1"}, {1000000000, "1"},
    {UINT64_MAX, "inf"},
};

/* "on a processor, ns; ready and waiting for one, ns; time slices" */
static uint64_t
read_delay(const struct stalls *s)
{
    char line[LINE_MAX_BYTES];
    ssize_t len = pread(s->delay_fd, line, sizeof(line) - 1, 0);
    char *end;

    if (len <= 0)
        return s->delay_ns;
    line[len] = '\0';
    strtoull(line, &end, 10);
    return strtoull(end, NULL, 10);
}

static uint64_t
own_part(struct stalls *s, uint64_t now, uint64_t took)
{
    uint64_t delay, late;

    if (s->delay_fd < 0 || now - s->read_at_ns < look_ns)
        return took;
    delay = read_delay(s);
    late = delay - s->delay_ns;
    s->delay_ns = delay;
    s->read_at_ns = now;
    if (took < look_ns)
        return took;
    return took > late ? took - late : 0;
}

static void
count(struct stalls *s, uint64_t took, uint64_t own)
{
    int i = 0;

    s->turns++;
    if (took > s->longest_ns)
        s->longest_ns = took;
    if (own > s->longest_own_ns)
        s->longest_own_ns = own;
    while (own > bounds[i].ns)
        i++;
    s->counts[i]++;
    metric_observe(s->metric, NULL, (double)own / 1e9);
}

static void
turn_over(uv_prepare_t *p)
{
    struct stalls *s = p->data;
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(p->loop);
    uint64_t took = now - s->at_ns, slept = idle - s->idle_ns;

    took = took > slept ? took - slept : 0;
    if (s->at_ns)
        count(s, took, own_part(s, now, took));
    s->at_ns = now;
    s->idle_ns = idle;
}

void
stalls_init(struct stalls *s, uv_loop_t *loop)
{
    *s = (struct stalls){
        .delay_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)};
    s->metric =
        metric_new(METRIC_HISTOGRAM, "loop_turn_seconds",
                   "How long the node's loop was busy at a time.", NULL);
    uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
    uv_prepare_init(loop, &s->prepare);
    s->prepare.data = s;
    uv_prepare_start(&s->prepare, turn_over);
    uv_unref((uv_handle_t *)&s->prepare);
}

void
stalls_close(struct stalls *s)
{
    uv_close((uv_handle_t *)&s->prepare, NULL);
    if (s->delay_fd >= 0)
        close(s->delay_fd);
    s->delay_fd = -1;
}

struct json_object *
stalls_show(const struct stalls *s)
{
    struct json_object *o = json_object_new_object();
    struct json_object *own = json_object_new_object();

    for (int i = 0; i < STALLS_BUCKETS; i++)
        field_int(own, bounds[i].name, (int64_t)s->counts[i]);
    field_int(o, "turns", (int64_t)s->turns);
    field_double(o, "longest", (double)s->longest_ns / 1e9);
    field_double(o, "longest_own", (double)s->longest_own_ns / 1e9);
    field_take(o, "own", own);
    return o;
}

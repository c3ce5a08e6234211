/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the outbox relay. */
#include "store/pg/internal.h"
#include "store/pg/records.h"

enum { MAX_TAKE = 1000 };

void
outbox_take(struct records *r, size_t n, uint32_t min_age_ms, uint32_t lease_ms,
            outbox_fn *fn, void *arg)
{
    const struct op_value v[] = {op_int(n > MAX_TAKE ? MAX_TAKE : (int64_t)n),
                                 op_int(min_age_ms), op_int(lease_ms)};

    records_ask(r, PG_TAKE, v, (union op_fn){.taken = fn}, arg);
}

void
outbox_done(struct records *r, int64_t outbox_id)
{
    const struct op_value v[] = {op_int(outbox_id)};

    records_ask(r, PG_PUBLISHED, v, (union op_fn){.done = NULL}, NULL);
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters, a thin call */
void
outbox_park(struct records *r, struct slice task_id, struct slice queue,
            struct slice message, int64_t due_us, records_fn *fn, void *arg)
{
    const struct op_value v[] = {op_text(task_id), op_text(queue),
                                 op_text(message), op_int(due_us)};

    records_ask(r, PG_PARK, v, (union op_fn){.done = fn}, arg);
}

void
outbox_depth(struct records *r, void (*fn)(void *, enum status, int64_t),
             void *arg)
{
    records_ask(r, PG_DEPTH, NULL, (union op_fn){.depth = fn}, arg);
}

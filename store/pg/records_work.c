/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of records.h that a worker makes: claim, settle, lease. */
#include "store/pg/internal.h"
#include "store/pg/records.h"

enum { MAX_RAW = 64 * 1024 };

/* retries is an integer in the table and comes from a message. */
static struct op_value
retries(int64_t n)
{
    return op_int(n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : n);
}

void
records_claim(struct records *r, struct slice who,
              const struct records_claim *c, claim_fn *fn, void *arg)
{
    const struct op_value v[] = {
        op_text(c->id),
        op_text(c->task),
        op_text(c->args),
        op_text(c->kwargs),
        op_text(c->queue),
        op_text(c->root_id),
        op_text(c->parent_id),
        op_text(c->group_id),
        op_text(c->model),
        retries(c->retries),
        op_int(c->begun),
        op_text(who),
        op_int((int64_t)records_next_no(r)),
        op_int(records_lease_ms(r)),
        op_int(records_max_attempts(r)),
    };

    records_ask(r, PG_CLAIM, v, (union op_fn){.claimed = fn}, arg);
}

void
records_begun(struct records *r, struct slice who, struct slice id,
              int64_t attempt, bool acked, records_fn *fn, void *arg)
{
    const struct op_value v[] = {op_text(id), op_text(who), op_int(attempt),
                                 op_int(acked)};

    records_ask(r, PG_BEGUN, v, (union op_fn){.done = fn}, arg);
}

void
records_settle(struct records *r, struct slice who,
               const struct records_outcome *o, records_fn *fn, void *arg)
{
    const struct op_value v[] = {
        op_text(o->id),           op_text(who),
        op_int(o->attempt),       op_text(o->status),
        op_text(o->result),       op_text(o->error),
        op_text(o->traceback),    op_text(o->worker),
        op_text(o->model),        retries(o->retries),
        op_int(o->prompt_tokens), op_int(o->completion_tokens),
        op_int(o->total_tokens),  op_int(o->ran_us),
    };

    records_ask(r, PG_SETTLE, v, (union op_fn){.done = fn}, arg);
}

void
records_note(struct records *r, const struct records_outcome *o, records_fn *fn,
             void *arg)
{
    const struct op_value v[] = {
        op_text(o->id),
        op_text(o->task),
        op_text(o->status),
        op_text(o->result),
        op_text(o->error),
        op_text(o->traceback),
        op_text(o->worker),
        op_text(o->model),
        retries(o->retries),
        op_int(o->prompt_tokens),
        op_int(o->completion_tokens),
        op_int(o->total_tokens),
    };

    records_ask(r, PG_NOTE, v, (union op_fn){.done = fn}, arg);
}

void
records_release(struct records *r, struct slice who, struct slice id,
                int64_t attempt, records_fn *fn, void *arg)
{
    const struct op_value v[] = {op_text(id), op_text(who), op_int(attempt),
                                 op_int(false)};

    records_ask(r, PG_RELEASE, v, (union op_fn){.done = fn}, arg);
}

void
records_died(struct records *r, struct slice who, struct slice id,
             int64_t attempt, records_fn *fn, void *arg)
{
    const struct op_value v[] = {op_text(id), op_text(who), op_int(attempt),
                                 op_int(true)};

    records_ask(r, PG_RELEASE, v, (union op_fn){.done = fn}, arg);
}

void
records_renew(struct records *r, struct slice who, records_fn *fn, void *arg)
{
    const struct op_value v[] = {op_text(who), op_int(records_lease_ms(r))};

    records_ask(r, PG_RENEW, v, (union op_fn){.done = fn}, arg);
}

void
records_bury(struct records *r, struct slice who, records_lost_fn *fn,
             void *arg)
{
    const struct op_value v[] = {op_text(who), op_int(records_lease_ms(r))};

    records_ask(r, PG_BURY, v, (union op_fn){.ids = fn}, arg);
}

void
records_reject(struct records *r, struct slice queue, struct slice id,
               struct slice reason, struct slice raw)
{
    const struct op_value v[] = {
        op_text(queue),
        op_text(id),
        op_text(reason),
        op_text((struct slice){raw.ptr, raw.len < MAX_RAW ? raw.len : MAX_RAW}),
    };

    records_ask(r, PG_REJECT, v, (union op_fn){.done = NULL}, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The records client with calls that wait. */
#include "tests/support/pg_records.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_MS = 15000 };

struct slice
text(const char *s)
{
    return (struct slice){s, s != NULL ? strlen(s) : 0};
}

/* LOVAGE_TEST_SLOW: how much slower than usual it may be (sanitizers). */
static uint64_t
guard_ms(void)
{
    const char *slow = getenv("LOVAGE_TEST_SLOW");

    return GUARD_MS * (slow != NULL ? strtoull(slow, NULL, 10) : 1);
}

static void
on_guard(uv_timer_t *t)
{
    (void)t;
    fprintf(stderr, "pg_records: no answer in time\n");
    abort();
}

void
pg_records_open(struct pg_records *p, const char *url, int connections,
                double database_timeout, double lease)
{
    struct error err;

    memset(p, 0, sizeof(*p));
    cr_assert_eq(uv_loop_init(&p->loop), 0);
    uv_timer_init(&p->loop, &p->guard);
    cr_assert_eq(config_init(&p->config, &err), ST_OK, "%s", err.text);
    cr_assert_eq(config_set(&p->config, "database_url", url, &err), ST_OK, "%s",
                 err.text);
    p->config.database_connections = connections;
    p->config.database_timeout = database_timeout;
    p->config.worker_lease = lease;
    p->config.worker_max_attempts = 3;
    cr_assert_eq(records_open(&p->r, &p->loop, &p->config, &err), ST_OK, "%s",
                 err.text);
}

static void
on_closed(void *arg)
{
    *(size_t *)arg = 1;
}

void
pg_records_close(struct pg_records *p)
{
    size_t done = 0;

    records_close(p->r, 2000, on_closed, &done);
    pg_records_wait(p, &done, 1);
    uv_close((uv_handle_t *)&p->guard, NULL);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&p->loop), 0);
    config_fini(&p->config);
}

void
pg_records_wait(struct pg_records *p, const size_t *done, size_t n)
{
    uv_timer_start(&p->guard, on_guard, guard_ms(), 0);
    while (*done < n)
        uv_run(&p->loop, UV_RUN_ONCE);
    uv_timer_stop(&p->guard);
}

static void
on_time(uv_timer_t *t)
{
    *(size_t *)t->data = 1;
}

void
pg_records_run(struct pg_records *p, uint32_t ms)
{
    size_t done = 0;

    p->guard.data = &done;
    uv_timer_start(&p->guard, on_time, ms, 0);
    while (done == 0)
        uv_run(&p->loop, UV_RUN_ONCE);
}

/* ---- callbacks: each fills the answer ---- */

static void
keep(char *out, size_t size, struct slice s)
{
    snprintf(out, size, "%.*s", (int)(s.ptr != NULL ? s.len : 0),
             s.ptr != NULL ? s.ptr : "");
}

static void
on_done(void *arg, enum status st)
{
    struct pg_answer *a = arg;

    a->st = st;
    a->done++;
}

static void
on_submitted(void *arg, enum status st, const struct records_made *made)
{
    struct pg_answer *a = arg;

    on_done(arg, st);
    a->number = made != NULL ? made->outbox_id : 0;
    a->row.seq = made != NULL ? made->seq : 0;
    a->row.created_us = made != NULL ? made->created_us : 0;
}

static void
on_number(void *arg, enum status st, int64_t n)
{
    struct pg_answer *a = arg;

    a->number = n;
    on_done(arg, st);
}

static void
on_claim(void *arg, enum status st, enum claim c, int64_t attempt)
{
    struct pg_answer *a = arg;

    a->claim = c;
    a->attempt = attempt;
    on_done(arg, st);
}

static void
on_rows(void *arg, enum status st, const struct records_row *rows, size_t n,
        int64_t total)
{
    struct pg_answer *a = arg;

    a->n = n;
    a->total = total;
    for (size_t i = 0; i < n && i < 8; i++)
        keep(a->ids[i], sizeof(a->ids[i]), rows[i].id);
    if (n > 0) {
        a->row = rows[0];
        keep(a->id, sizeof(a->id), rows[0].id);
        keep(a->status, sizeof(a->status), rows[0].status);
        keep(a->result, sizeof(a->result), rows[0].result);
        keep(a->error, sizeof(a->error), rows[0].error);
        keep(a->worker, sizeof(a->worker), rows[0].worker);
        keep(a->name, sizeof(a->name), rows[0].name);
        keep(a->args, sizeof(a->args), rows[0].args);
        keep(a->task, sizeof(a->task), rows[0].task);
        keep(a->queue, sizeof(a->queue), rows[0].queue);
    }
    on_done(arg, st);
}

static void
on_taken(void *arg, enum status st, const struct outbox_row *rows, size_t n)
{
    struct pg_answer *a = arg;

    a->n = n;
    for (size_t i = 0; i < n && i < 8; i++)
        keep(a->ids[i], sizeof(a->ids[i]), rows[i].task_id);
    if (n > 0) {
        a->number = rows[0].outbox_id;
        keep(a->queue, sizeof(a->queue), rows[0].queue);
        keep(a->message, sizeof(a->message), rows[0].message);
    }
    on_done(arg, st);
}

static void
on_ids(void *arg, enum status st, const struct slice *ids, size_t n)
{
    struct pg_answer *a = arg;

    a->n = n;
    for (size_t i = 0; i < n && i < 8; i++)
        keep(a->ids[i], sizeof(a->ids[i]), ids[i]);
    on_done(arg, st);
}

/* ---- calls ---- */

#define WAITED(call)                  \
    struct pg_answer a = {.done = 0}; \
    call;                             \
    cr_assert_eq(a.done, 0);          \
    pg_records_wait(p, &a.done, 1);   \
    return a

struct pg_answer
pg_submit(struct pg_records *p, const char *id)
{
    struct records_new n = {
        .id = text(id),
        .name = text("a name"),
        .task = text("tasks.add"),
        .args = text("[1, 2]"),
        .kwargs = text("{}"),
        .queue = text("celery"),
        .message = text("{\"body\": \"x\"}"),
    };

    WAITED(records_submit(p->r, &n, on_submitted, &a));
}

struct pg_answer
pg_get(struct pg_records *p, const char *id)
{
    WAITED(records_get(p->r, (struct records_key){text(id), 0}, on_rows, &a));
}

struct pg_answer
pg_get_seq(struct pg_records *p, int64_t seq)
{
    struct records_key key = {text(NULL), seq};

    WAITED(records_get(p->r, key, on_rows, &a));
}

struct pg_answer
pg_delete_seq(struct pg_records *p, int64_t seq)
{
    struct records_key key = {text(NULL), seq};

    WAITED(records_delete(p->r, key, on_rows, &a));
}

struct pg_answer
pg_list(struct pg_records *p, const struct records_filter *f)
{
    WAITED(records_list(p->r, f, on_rows, &a));
}

struct pg_answer
pg_update(struct pg_records *p, const char *id, const struct records_change *c)
{
    WAITED(records_update(p->r, (struct records_key){text(id), 0}, c, on_rows,
                          &a));
}

struct pg_answer
pg_delete(struct pg_records *p, const char *id)
{
    WAITED(
        records_delete(p->r, (struct records_key){text(id), 0}, on_rows, &a));
}

struct pg_answer
pg_take(struct pg_records *p, size_t n, uint32_t min_age_ms, uint32_t lease_ms)
{
    WAITED(outbox_take(p->r, n, min_age_ms, lease_ms, on_taken, &a));
}

struct pg_answer
pg_park(struct pg_records *p, const char *id, int64_t due_us)
{
    WAITED(outbox_park(p->r, text(id), text("celery"), text("{\"later\": 1}"),
                       due_us, on_done, &a));
}

struct pg_answer
pg_depth(struct pg_records *p)
{
    WAITED(outbox_depth(p->r, on_number, &a));
}

struct pg_answer
pg_claim(struct pg_records *p, const char *who, const char *id, int64_t retries,
         bool begun)
{
    struct records_claim c = {
        .id = text(id),
        .task = text("tasks.add"),
        .args = text("[1, 2]"),
        .kwargs = text("{}"),
        .queue = text("celery"),
        .root_id = text(id),
        .retries = retries,
        .begun = begun,
    };

    WAITED(records_claim(p->r, text(who), &c, on_claim, &a));
}

struct pg_answer
pg_begun(struct pg_records *p, const char *who, const char *id, int64_t attempt,
         bool acked)
{
    WAITED(
        records_begun(p->r, text(who), text(id), attempt, acked, on_done, &a));
}

static struct records_outcome
outcome(const char *id, const char *status, const char *result)
{
    return (struct records_outcome){
        .id = text(id),
        .status = text(status),
        .result = text(result),
        .worker = text("celery@host"),
        .prompt_tokens = -1,
        .completion_tokens = -1,
        .total_tokens = -1,
    };
}

struct pg_answer
pg_settle(struct pg_records *p, const char *who, const char *id,
          int64_t attempt, const char *status, const char *result)
{
    struct records_outcome o = outcome(id, status, result);

    o.attempt = attempt;
    WAITED(records_settle(p->r, text(who), &o, on_done, &a));
}

struct pg_answer
pg_note(struct pg_records *p, const char *id, const char *task,
        const char *status, const char *result)
{
    struct records_outcome o = outcome(id, status, result);

    o.task = text(task);
    WAITED(records_note(p->r, &o, on_done, &a));
}

struct pg_answer
pg_release(struct pg_records *p, const char *who, const char *id,
           int64_t attempt)
{
    WAITED(records_release(p->r, text(who), text(id), attempt, on_done, &a));
}

struct pg_answer
pg_died(struct pg_records *p, const char *who, const char *id, int64_t attempt)
{
    WAITED(records_died(p->r, text(who), text(id), attempt, on_done, &a));
}

struct pg_answer
pg_renew(struct pg_records *p, const char *who)
{
    WAITED(records_renew(p->r, text(who), on_done, &a));
}

struct pg_answer
pg_bury(struct pg_records *p, const char *who)
{
    WAITED(records_bury(p->r, text(who), on_ids, &a));
}

struct pg_answer
pg_revoke(struct pg_records *p, const char *id)
{
    WAITED(records_revoke(p->r, text(id), on_done, &a));
}

struct pg_answer
pg_open_ids(struct pg_records *p, size_t n, uint32_t age_ms)
{
    WAITED(records_open_ids(p->r, n, age_ms, on_ids, &a));
}

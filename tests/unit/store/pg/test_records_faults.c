/* SPDX-License-Identifier: Apache-2.0 */
/* The database is away, frozen, restarted, or refuses; and closing. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/pg/migrate.h"
#include "tests/support/pg_records.h"

static struct pg_server *server;
static struct pg_records p;

static void
setup(void)
{
    server = pg_server_new_migrated(true);
    pg_records_open(&p, pg_server_url(server), 3, 1, 30);
}

static void
teardown(void)
{
    pg_records_close(&p);
    pg_server_free(server);
}

TestSuite(records_faults, .init = setup, .fini = teardown);

/* ---- load that goes on while the server comes and goes ---- */

enum {
    WIDE = 200 /* calls at a time */
};

static struct {
    size_t started, ok, failed, claimed, begun, settled, goal;
} load;

static void submit_next(void);

static void
on_submitted(void *arg, enum status st, const struct records_made *made)
{
    (void)arg;
    (void)made;
    cr_assert(st == ST_OK || st == ST_TIMEOUT, "%d", st);
    if (st == ST_OK)
        load.ok++;
    else
        load.failed++;
    submit_next();
}

static void
submit_next(void)
{
    char id[32];
    struct records_new n = {
        .task = text("t"), .queue = text("q"), .message = text("{}")};

    if (load.started == load.goal)
        return;
    snprintf(id, sizeof(id), "s%zu", load.started++);
    n.id = text(id);
    records_submit(p.r, &n, on_submitted, NULL);
}

static void work_next(char *id);

static void
on_settled(void *arg, enum status st)
{
    cr_assert_eq(st, ST_OK);
    load.settled++;
    work_next(arg);
}

static void
on_begun(void *arg, enum status st)
{
    (void)arg;
    cr_assert_eq(st, ST_OK);
    load.begun++;
}

static void
on_claimed(void *arg, enum status st, enum claim c, int64_t attempt)
{
    struct records_outcome o = {.id = text(arg),
                                .attempt = attempt,
                                .status = text("SUCCESS"),
                                .result = text("1"),
                                .ran_us = 1};

    cr_assert_eq(st, ST_OK);
    cr_assert_eq(c, CLAIM_RUN, "%s: %d", (char *)arg, c);
    cr_assert_eq(attempt, 1);
    load.claimed++;
    records_begun(p.r, text("n1"), o.id, 1, true, on_begun, NULL);
    records_settle(p.r, text("n1"), &o, on_settled, arg);
}

static void
work_next(char *id)
{
    struct records_claim c = {.task = text("t"), .queue = text("q")};

    if (load.started == load.goal)
        return;
    snprintf(id, 32, "w%zu", load.started++);
    c.id = text(id);
    records_claim(p.r, text("n1"), &c, on_claimed, id);
}

/* Restarts the server, at once and after a crash, while calls go on. */
static void
crash_now_and_then(const size_t *progress)
{
    for (int i = 0; i < 3; i++) {
        size_t before = *progress;

        pg_records_wait(&p, progress, before + 1500);
        pg_server_crash(server);
        pg_records_run(&p, 20);
        pg_server_start(server);
    }
}

Test(records_faults, what_was_answered_with_ok_survives_crashes)
{
    load.goal = SIZE_MAX;
    for (int i = 0; i < WIDE; i++)
        submit_next();
    crash_now_and_then(&load.ok);
    load.goal = load.started;
    while (records_backlog(p.r) > 0)
        pg_records_run(&p, 10);

    cr_assert_eq(load.ok + load.failed, load.started);
    /* Of those that timed out nobody knows; none is there in halves. */
    cr_assert_geq(pg_server_number(server, "SELECT count(*) FROM tasks"),
                  (long)load.ok);
    cr_assert_leq(pg_server_number(server, "SELECT count(*) FROM tasks"),
                  (long)load.started);
    cr_assert_eq(pg_server_number(server,
                                  "SELECT count(*) FROM tasks FULL JOIN outbox "
                                  "ON id = task_id WHERE id IS NULL OR task_id "
                                  "IS NULL"),
                 0);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) - count(DISTINCT "
                                          "task_id) FROM outbox"),
                 0);
}

Test(records_faults, each_claim_and_outcome_takes_effect_once_through_crashes)
{
    static char ids[WIDE][32];

    load.goal = SIZE_MAX;
    for (int i = 0; i < WIDE; i++)
        work_next(ids[i]);
    crash_now_and_then(&load.settled);
    load.goal = load.started;
    while (records_backlog(p.r) > 0)
        pg_records_run(&p, 10);

    cr_assert_eq(load.settled, load.started);
    cr_assert_eq(load.begun, load.started);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM tasks WHERE "
                                          "status = 'SUCCESS' AND attempt = 1 "
                                          "AND started_at IS NOT NULL AND "
                                          "NOT running"),
                 (long)load.started);
}

/* ---- away ---- */

static struct {
    size_t answered;
    enum status st;
    uint64_t at_us;
} api, worker;

static void
on_rows(void *arg, enum status st, const struct records_row *rows, size_t n,
        int64_t total)
{
    (void)arg;
    (void)rows;
    (void)n;
    (void)total;
    api.st = st;
    api.at_us = clock_mono_us();
    api.answered++;
}

static void
on_claim(void *arg, enum status st, enum claim c, int64_t attempt)
{
    (void)arg;
    cr_assert_eq(c, CLAIM_RUN);
    cr_assert_eq(attempt, 1);
    worker.st = st;
    worker.answered++;
}

/* One call of each sort; asked is when. */
static uint64_t
ask_both(void)
{
    struct records_claim c = {
        .id = text("t1"), .task = text("t"), .queue = text("q")};

    records_get(p.r, (struct records_key){text("t1"), 0}, on_rows, NULL);
    records_claim(p.r, text("n1"), &c, on_claim, NULL);
    return clock_mono_us();
}

static void
check_both_waits(uint64_t asked_us)
{
    pg_records_run(&p, 3000);
    cr_assert_eq(api.answered, 1);
    cr_assert_eq(api.st, ST_TIMEOUT);
    cr_assert_geq(api.at_us - asked_us, 990000);
    cr_assert_leq(api.at_us - asked_us, 2500000);
    cr_assert_eq(worker.answered, 0);
    cr_assert_eq(records_backlog(p.r) > 0, true);
}

Test(records_faults, a_stopped_server_times_out_the_api_and_delays_the_worker)
{
    uint64_t asked;

    pg_get(&p, "x");
    pg_server_crash(server);
    asked = ask_both();
    check_both_waits(asked);
    cr_assert_not(records_up(p.r));
    pg_server_start(server);
    pg_records_wait(&p, &worker.answered, 1);

    cr_assert_eq(worker.st, ST_OK);
    cr_assert_eq(api.answered, 1);
    cr_assert(records_up(p.r));
    cr_assert_eq(pg_get(&p, "t1").n, 1);
}

Test(records_faults, a_frozen_server_times_out_the_api_and_delays_the_worker)
{
    uint64_t asked;

    pg_claim(&p, "n1", "other", 0, false);
    pg_get(&p, "x");
    pg_server_freeze(server, true);
    asked = ask_both();
    check_both_waits(asked);
    pg_server_freeze(server, false);
    pg_records_wait(&p, &worker.answered, 1);

    cr_assert_eq(worker.st, ST_OK);
    cr_assert_eq(api.answered, 1);
    cr_assert_eq(pg_get(&p, "t1").n, 1);
}

Test(records_faults, sessions_that_the_server_ends_are_made_anew)
{
    for (int i = 0; i < 3; i++) {
        char id[8];

        snprintf(id, sizeof(id), "t%d", i);
        cr_assert_eq(pg_claim(&p, "n1", id, 0, false).claim, CLAIM_RUN);
        cr_assert_eq(pg_get(&p, id).n, 1);
        pg_server_run(server, "SELECT pg_terminate_backend(pid) FROM "
                              "pg_stat_activity WHERE application_name = "
                              "'lovage'");
    }
    cr_assert_eq(pg_get(&p, "t0").n, 1);
}

Test(records_faults, a_server_that_only_reads_is_waited_for)
{
    pg_claim(&p, "n1", "other", 0, false);
    pg_server_run(server,
                  "ALTER SYSTEM SET default_transaction_read_only = on");
    pg_server_run(server, "SELECT pg_reload_conf()");
    pg_records_run(&p, 200);
    ask_both();
    pg_records_run(&p, 500);
    cr_assert_eq(worker.answered, 0);
    pg_server_run(server,
                  "ALTER SYSTEM SET default_transaction_read_only = off");
    pg_server_run(server, "SELECT pg_reload_conf()");
    pg_records_wait(&p, &worker.answered, 1);
    cr_assert_eq(worker.st, ST_OK);
}

/* ---- refused ---- */

static struct {
    size_t done, busy, lost;
} ends;

static void
on_end(void *arg, enum status st)
{
    (void)arg;
    ends.done++;
    ends.busy += st == ST_BUSY;
    ends.lost += st == ST_LOST;
}

Test(records_faults, over_the_bound_calls_are_refused_at_once)
{
    struct records_outcome o = {.id = text("t1"), .status = text("SUCCESS")};

    pg_server_crash(server);
    for (int i = 0; i < 50010; i++)
        records_note(p.r, &o, on_end, NULL);
    cr_assert_eq(ends.done, 0);
    pg_records_run(&p, 10);

    cr_assert_eq(ends.done, 10);
    cr_assert_eq(ends.busy, 10);
    pg_server_start(server);
    while (records_backlog(p.r) > 49000) /* it goes on, one id a batch */
        pg_records_run(&p, 10);
}

static void
on_closed(void *arg)
{
    *(bool *)arg = true;
}

Test(records_faults, closing_sends_what_is_queued)
{
    struct records *r;
    struct error err;
    struct records_outcome o = {
        .id = text("t1"), .task = text("t"), .status = text("SUCCESS")};
    bool closed = false;

    cr_assert_eq(records_open(&r, &p.loop, &p.config, &err), ST_OK);
    records_note(r, &o, on_end, NULL);
    records_close(r, 5000, on_closed, &closed);
    while (!closed)
        pg_records_run(&p, 5);
    cr_assert_eq(ends.done, 1);
    cr_assert_eq(ends.lost, 0);
    cr_assert_eq(pg_get(&p, "t1").n, 1);
}

Test(records_faults, closing_without_a_server_tells_every_caller)
{
    struct records *r;
    struct error err;
    struct records_outcome o = {.id = text("t1"), .status = text("SUCCESS")};
    bool closed = false;

    pg_server_crash(server);
    cr_assert_eq(records_open(&r, &p.loop, &p.config, &err), ST_OK);
    records_note(r, &o, on_end, NULL);
    records_release(r, text("n1"), text("t2"), 1, on_end, NULL);
    pg_records_run(&p, 50);
    records_close(r, 100, on_closed, &closed);
    records_note(r, &o, on_end, NULL);
    while (!closed)
        pg_records_run(&p, 5);
    cr_assert_eq(ends.done, 3);
    cr_assert_eq(ends.lost, 3);
    pg_server_start(server);
}

Test(records_faults, a_missing_table_fails_the_call_and_not_the_program)
{
    pg_server_run(server, "ALTER TABLE tasks RENAME TO hidden");
    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, false).st, ST_INVALID);
    cr_assert_eq(pg_get(&p, "t1").st, ST_INVALID);
    pg_server_run(server, "ALTER TABLE hidden RENAME TO tasks");
    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, false).claim, CLAIM_RUN);
    cr_assert_eq(pg_get(&p, "t1").n, 1);
}

Test(records_faults, a_url_that_cannot_be_read_is_refused_without_quoting_it)
{
    struct config config = p.config;
    char url[] = "postgres//user:secret@host/x";
    struct records *r;
    struct error err;

    config.database_url = url;
    cr_assert_eq(records_open(&r, &p.loop, &config, &err), ST_INVALID);
    cr_assert_null(strstr(err.text, "secret"));
}

/* ---- over TCP ---- */

Test(records_tcp, names_are_looked_up_and_hosts_tried_in_turn)
{
    struct pg_server *s = pg_server_new_tcp();
    struct pg_records q;
    char url[256];
    struct error err;
    int applied;

    cr_assert_eq(migrate_run(pg_server_url(s), &applied, &err), ST_OK);
    snprintf(url, sizeof(url),
             "postgresql://lovage@/postgres?host=/nonexistent,localhost&"
             "port=1,%d",
             pg_server_port(s));
    pg_records_open(&q, url, 1, 5, 30);
    cr_assert_eq(pg_claim(&q, "n1", "t1", 0, false).claim, CLAIM_RUN);
    cr_assert(records_up(q.r));
    pg_records_close(&q);
    pg_server_free(s);
}

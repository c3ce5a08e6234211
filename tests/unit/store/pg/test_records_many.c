/* SPDX-License-Identifier: Apache-2.0 */
/* Claims and outcomes of many tasks, or several of one, in one batch. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/pg_records.h"

static struct pg_server *server;
static struct pg_records p;

static void
setup(void)
{
    server = pg_server_new_migrated(false);
    pg_records_open(&p, pg_server_url(server), 2, 5, 30);
}

static void
teardown(void)
{
    pg_records_close(&p);
    pg_server_free(server);
}

TestSuite(records_many, .init = setup, .fini = teardown);

enum {
    TASKS = 1200, /* several batches */
    COPIES = 2
};

static struct {
    size_t done, run, elsewhere;
    unsigned char runs[TASKS];
} claims;

static void
count_claim(void *arg, enum status st, enum claim c, int64_t attempt)
{
    unsigned char *runs = arg;

    cr_assert_eq(st, ST_OK);
    if (c == CLAIM_RUN) {
        cr_assert_eq(attempt, 1);
        claims.run++;
        *runs += 1;
    } else {
        cr_assert_eq(c, CLAIM_ELSEWHERE);
        claims.elsewhere++;
    }
    claims.done++;
}

static void
claim_all(struct records *r, const char *who)
{
    for (size_t i = 0; i < TASKS; i++) {
        char id[32];
        struct records_claim c = {.task = text("t"), .queue = text("q")};

        snprintf(id, sizeof(id), "task-%zu", i * 7919 % TASKS);
        c.id = text(id);
        records_claim(r, text(who), &c, count_claim,
                      &claims.runs[i * 7919 % TASKS]);
    }
}

Test(records_many, the_same_id_twice_in_one_batch_runs_once)
{
    for (int i = 0; i < COPIES; i++)
        claim_all(p.r, "n1");
    pg_records_wait(&p, &claims.done, TASKS * COPIES);

    cr_assert_eq(claims.run, TASKS);
    cr_assert_eq(claims.elsewhere, TASKS);
    cr_assert_eq(records_backlog(p.r), 0);
}

Test(records_many, of_two_nodes_that_claim_the_same_ids_exactly_one_runs_each)
{
    struct records *other;
    struct error err;

    cr_assert_eq(records_open(&other, &p.loop, &p.config, &err), ST_OK);
    claim_all(p.r, "n1");
    claim_all(other, "n2");
    pg_records_wait(&p, &claims.done, 2 * TASKS);

    cr_assert_eq(claims.run, TASKS);
    for (size_t i = 0; i < TASKS; i++)
        cr_assert_eq(claims.runs[i], 1, "task %zu", i);
    records_close(other, 1000, (void (*)(void *))free, NULL);
}

static void
count_settled(void *arg, enum status st)
{
    (void)arg;
    cr_assert_eq(st, ST_OK);
    claims.done++;
}

static void
start(const char *id)
{
    records_begun(p.r, text("n1"), text(id), 1, true, count_settled, NULL);
}

static void
end(const char *id)
{
    struct records_outcome o = {.id = text(id),
                                .attempt = 1,
                                .status = text("SUCCESS"),
                                .ran_us = 5000000};

    records_settle(p.r, text("n1"), &o, count_settled, NULL);
}

/* In either order: the end of a short task may travel first. */
Test(records_many, what_has_ended_had_begun)
{
    for (const char *id = "a"; id != NULL; id = *id == 'a' ? "b" : NULL)
        pg_claim(&p, "n1", id, 0, false);
    start("a");
    end("a");
    end("b");
    pg_records_wait(&p, &claims.done, 3);
    start("b");
    pg_records_wait(&p, &claims.done, 4);

    cr_assert_eq(pg_server_number(server,
                                  "SELECT count(*) FROM tasks WHERE status = "
                                  "'SUCCESS' AND started_at <= finished_at AND "
                                  "NOT running"),
                 2);
    cr_assert_eq(pg_server_number(server,
                                  "SELECT count(*) FROM tasks WHERE id = 'b' "
                                  "AND status = 'SUCCESS' AND started_at = "
                                  "finished_at - interval '5 s'"),
                 1);
}

Test(records_many, a_task_begins_after_what_was_settled_before)
{
    pg_claim(&p, "n1", "a", 0, false);
    pg_claim(&p, "n1", "b", 0, false);
    pg_claim(&p, "n1", "other", 0, false);
    start("other");
    end("a");
    start("b");
    pg_records_wait(&p, &claims.done, 3);

    cr_assert_eq(pg_server_number(server,
                                  "SELECT count(*) FROM tasks a, tasks b WHERE "
                                  "a.id = 'a' AND b.id = 'b' AND a.finished_at "
                                  "<= b.started_at"),
                 1);
}

/* A connection is lost, and its last statement is still being carried out when
 * it is sent again over the next one. */
Test(records_many, an_outcome_meets_its_own_earlier_try)
{
    pid_t earlier;
    int code;

    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, false).claim, CLAIM_RUN);
    cr_assert_eq(pg_begun(&p, "n1", "t1", 1, true).st, ST_OK);
    earlier = fork();
    if (earlier == 0) {
        pg_server_run(server, "UPDATE tasks SET status = 'SUCCESS', running = "
                              "false, lease_until = NULL; SELECT pg_sleep(1)");
        _exit(0);
    }
    while (pg_server_number(server, "SELECT count(*) FROM pg_locks WHERE "
                                    "relation = 'tasks'::regclass AND mode = "
                                    "'RowExclusiveLock'") == 0)
        pg_records_run(&p, 5);
    cr_assert_eq(pg_settle(&p, "n1", "t1", 1, "SUCCESS", "1").st, ST_OK);
    waitpid(earlier, &code, 0);
}

Test(records_many, settlements_of_one_task_keep_their_order)
{
    struct records_outcome o = {.id = text("t1"), .attempt = 1};

    pg_claim(&p, "n1", "t1", 0, false);
    for (int i = 0; i < 50; i++) {
        char meta[32];

        snprintf(meta, sizeof(meta), "%d", i);
        o.status = text(i < 49 ? "PROGRESS" : "SUCCESS");
        o.result = text(meta);
        records_settle(p.r, text("n1"), &o, count_settled, NULL);
    }
    pg_records_wait(&p, &claims.done, 50);

    cr_assert_str_eq(pg_get(&p, "t1").status, "SUCCESS");
    cr_assert_str_eq(pg_get(&p, "t1").result, "49");
}

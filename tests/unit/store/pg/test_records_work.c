/* SPDX-License-Identifier: Apache-2.0 */
/* Claim, lease and fence against a real server. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

TestSuite(records_work, .init = setup, .fini = teardown);

/* As if the lease had run out: the database's clock cannot be moved. */
static void
expire_leases(void)
{
    pg_server_run(server, "UPDATE tasks SET lease_until = now() - interval "
                          "'1 s' WHERE running");
}

/* For a lease that has run out the server must have been up for longer than
 * one: this claims with a short one. */
static struct pg_answer
take_over(const char *who, const char *id)
{
    struct pg_records brief;
    struct pg_answer a;

    pg_records_open(&brief, pg_server_url(server), 1, 5, 0.001);
    a = pg_claim(&brief, who, id, 0, false);
    pg_records_close(&brief);
    return a;
}

static struct pg_answer
bury_expired(void)
{
    struct pg_records brief;
    struct pg_answer a;

    pg_records_open(&brief, pg_server_url(server), 1, 5, 0.001);
    a = pg_bury(&brief, NULL);
    pg_records_close(&brief);
    return a;
}

/* Claims and begins. */
static void
begin(const char *who, const char *id, bool acked)
{
    struct pg_answer a = pg_claim(&p, who, id, 0, false);

    cr_assert_eq(a.claim, CLAIM_RUN);
    cr_assert_eq(pg_begun(&p, who, id, a.attempt, acked).st, ST_OK);
}

static long
deaths(const char *id)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "SELECT deaths FROM tasks WHERE id = '%s'", id);
    return pg_server_number(server, sql);
}

Test(records_work, a_task_of_a_foreign_producer_is_recorded_when_claimed)
{
    struct pg_answer a = pg_claim(&p, "n1", "t1", 0, false);

    cr_assert_eq(a.st, ST_OK);
    cr_assert_eq(a.claim, CLAIM_RUN);
    cr_assert_eq(a.attempt, 1);
    a = pg_get(&p, "t1");
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.args, "[1, 2]");
}

Test(records_work, what_is_claimed_waits_until_it_begins)
{
    struct pg_answer a;

    pg_submit(&p, "known");
    pg_claim(&p, "n1", "known", 0, false);
    pg_claim(&p, "n1", "foreign", 0, false);
    pg_claim(&p, "n1", "again", 2, false);
    cr_assert_str_eq(pg_get(&p, "known").status, "PENDING");
    cr_assert_str_eq(pg_get(&p, "again").status, "RETRY");
    a = pg_get(&p, "foreign");
    cr_assert_str_eq(a.status, "PENDING");
    cr_assert_eq(a.row.started_us, 0);
    cr_assert_null(a.row.worker.ptr);
    cr_assert_eq(pg_claim(&p, "n2", "known", 0, false).claim, CLAIM_ELSEWHERE);

    cr_assert_eq(pg_begun(&p, "n1", "foreign", 1, false).st, ST_OK);
    a = pg_get(&p, "foreign");
    cr_assert_str_eq(a.status, "STARTED");
    cr_assert_gt(a.row.started_us, 0);
    cr_assert_eq(a.row.finished_us, 0);
    cr_assert_eq(pg_begun(&p, "n1", "foreign", 1, false).st, ST_OK);
}

Test(records_work, a_claim_that_begins_at_once_is_shown_so)
{
    struct pg_answer a;

    pg_submit(&p, "known");
    pg_claim(&p, "n1", "known", 0, true);
    pg_claim(&p, "n1", "foreign", 0, true);
    cr_assert_str_eq(pg_get(&p, "known").status, "STARTED");
    a = pg_get(&p, "foreign");
    cr_assert_str_eq(a.status, "STARTED");
    cr_assert_gt(a.row.started_us, 0);

    pg_bury(&p, "n1");
    cr_assert_str_eq(pg_get(&p, "known").status, "PENDING");
    cr_assert_eq(deaths("known"), 0, "another of its turn may have done it");
}

Test(records_work, only_the_holder_begins)
{
    cr_assert_eq(pg_begun(&p, "n1", "no such task", 1, true).st, ST_OK);
    pg_claim(&p, "n1", "t1", 0, false);
    cr_assert_eq(pg_begun(&p, "n2", "t1", 1, true).st, ST_DENIED);
    cr_assert_eq(pg_begun(&p, "n1", "t1", 2, true).st, ST_DENIED);
    cr_assert_str_eq(pg_get(&p, "t1").status, "PENDING");

    pg_release(&p, "n1", "t1", 1);
    cr_assert_eq(pg_begun(&p, "n1", "t1", 1, true).st, ST_DENIED);
    pg_claim(&p, "n1", "t1", 0, false);
    pg_bury(&p, "n1");
    cr_assert_eq(pg_begun(&p, "n1", "t1", 2, true).st, ST_DENIED);
    cr_assert_str_eq(pg_get(&p, "t1").status, "PENDING");
}

Test(records_work, a_new_claim_has_not_begun_and_is_not_acknowledged)
{
    begin("n1", "t1", true);
    cr_assert_eq(pg_release(&p, "n1", "t1", 1).st, ST_OK);
    begin("n1", "t1", false); /* the claim forgets the acknowledgement */
    pg_bury(&p, "n1");
    cr_assert_str_eq(pg_get(&p, "t1").status, "PENDING");
}

Test(records_work, a_node_is_shown_by_its_name_and_fenced_by_its_instance)
{
    pg_claim(&p, "celery@host/0000abcd", "t1", 0, false);
    cr_assert_eq(pg_begun(&p, "celery@host/0000abcd", "t1", 1, false).st,
                 ST_OK);
    cr_expect_str_eq(pg_get(&p, "t1").worker, "celery@host");
    cr_expect_eq(
        pg_settle(&p, "celery@host/0000abce", "t1", 1, "SUCCESS", "3").st,
        ST_DENIED);
    pg_claim(&p, "celery@host/0000abcd", "new inline", 0, true);
    cr_expect_str_eq(pg_get(&p, "new inline").worker, "celery@host");
    pg_submit(&p, "known inline");
    pg_claim(&p, "celery@host/0000abcd", "known inline", 0, true);
    cr_expect_str_eq(pg_get(&p, "known inline").worker, "celery@host");
}

Test(records_work, a_claimed_task_is_settled_once)
{
    struct pg_answer a;

    pg_submit(&p, "t1");
    a = pg_claim(&p, "n1", "t1", 0, false);
    cr_assert_eq(a.claim, CLAIM_RUN);
    a = pg_settle(&p, "n1", "t1", a.attempt, "SUCCESS", "3");
    cr_assert_eq(a.st, ST_OK);
    a = pg_get(&p, "t1");
    cr_assert_str_eq(a.status, "SUCCESS");
    cr_assert_str_eq(a.result, "3");
    cr_assert_str_eq(a.worker, "celery@host");
    cr_assert_eq(a.row.prompt_tokens, -1);
    cr_assert_gt(a.row.finished_us, 0);

    a = pg_settle(&p, "n1", "t1", 1, "FAILURE", "{}");
    cr_assert_eq(a.st, ST_DENIED);
    a = pg_claim(&p, "n2", "t1", 0, false);
    cr_assert_eq(a.claim, CLAIM_DONE);
}

Test(records_work, a_running_task_is_not_run_twice)
{
    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, true).claim, CLAIM_RUN);

    cr_assert_eq(pg_claim(&p, "n2", "t1", 0, true).claim, CLAIM_ELSEWHERE);
    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, true).claim, CLAIM_ELSEWHERE);
}

Test(records_work, a_lease_that_ran_out_can_be_taken_and_the_late_outcome_not)
{
    struct pg_answer a;

    pg_claim(&p, "n1", "t1", 0, true);
    expire_leases();
    cr_assert_eq(pg_claim(&p, "n2", "t1", 0, true).claim, CLAIM_ELSEWHERE,
                 "the server has just started");
    a = take_over("n2", "t1");
    cr_assert_eq(a.claim, CLAIM_RUN);
    cr_assert_eq(a.attempt, 2);

    cr_assert_eq(pg_settle(&p, "n1", "t1", 1, "SUCCESS", "1").st, ST_DENIED);
    cr_assert_eq(pg_settle(&p, "n1", "t1", 2, "SUCCESS", "1").st, ST_DENIED);
    cr_assert_eq(pg_settle(&p, "n2", "t1", 2, "SUCCESS", "2").st, ST_OK);
    cr_assert_str_eq(pg_get(&p, "t1").result, "2");
}

Test(records_work, a_renewed_lease_cannot_be_taken)
{
    pg_claim(&p, "n1", "t1", 0, true);
    expire_leases();
    cr_assert_eq(pg_renew(&p, "n1").st, ST_OK);

    cr_assert_eq(take_over("n2", "t1").claim, CLAIM_ELSEWHERE);
    cr_assert_eq(pg_settle(&p, "n1", "t1", 1, "SUCCESS", "1").st, ST_OK);
}

Test(records_work, a_released_task_is_free_and_has_not_died)
{
    struct pg_answer a = pg_claim(&p, "n1", "t1", 0, true);

    for (int i = 0; i < 5; i++) {
        cr_assert_eq(a.claim, CLAIM_RUN);
        cr_assert_eq(pg_release(&p, "n1", "t1", a.attempt).st, ST_OK);
        cr_assert_eq(pg_settle(&p, "n1", "t1", a.attempt, "SUCCESS", "1").st,
                     ST_DENIED);
        cr_assert_str_eq(pg_get(&p, "t1").status, "PENDING");
        a = pg_claim(&p, "n1", "t1", 0, i % 2 == 0);
    }
    cr_assert_eq(deaths("t1"), 0);
}

Test(records_work, a_poison_pill_is_told_after_the_third_death)
{
    struct pg_answer a;

    for (int i = 0; i < 3; i++) {
        a = pg_claim(&p, "n1", "t1", 0, true);
        cr_assert_eq(a.claim, CLAIM_RUN, "claim %d", i);
        cr_assert_eq(pg_died(&p, "n1", "t1", a.attempt).st, ST_OK);
    }
    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, true).claim, CLAIM_POISON);
    cr_assert_eq(pg_claim(&p, "n2", "t1", 0, true).claim, CLAIM_POISON);
    cr_assert_eq(pg_note(&p, "t1", NULL, "FAILURE", "{}").st, ST_OK);
    cr_assert_eq(pg_claim(&p, "n2", "t1", 0, true).claim, CLAIM_DONE);
}

Test(records_work, leases_that_run_out_are_deaths_too)
{
    struct pg_answer a;

    for (int i = 0; i < 3; i++) {
        a = take_over("n1", "t1");
        cr_assert_eq(a.claim, CLAIM_RUN);
        pg_begun(&p, "n1", "t1", a.attempt, false);
        expire_leases();
    }
    cr_assert_eq(take_over("n1", "t1").claim, CLAIM_POISON);
}

Test(records_work, a_task_that_only_waited_has_not_died)
{
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(take_over("n1", "t1").claim, CLAIM_RUN);
        expire_leases();
    }
    cr_assert_eq(bury_expired().n, 0);
    cr_assert_str_eq(pg_get(&p, "t1").status, "PENDING");
    cr_assert_eq(deaths("t1"), 0);
}

Test(records_work, a_retry_is_a_fresh_chance)
{
    struct pg_answer a;

    for (int i = 0; i < 5; i++) { /* more than worker_max_attempts */
        a = pg_claim(&p, "n1", "t1", i, true);
        cr_assert_eq(a.claim, CLAIM_RUN, "claim %d", i);
        a = pg_settle(&p, "n1", "t1", a.attempt, "RETRY", "{}");
        cr_assert_eq(a.st, ST_OK);
        cr_assert_str_eq(pg_get(&p, "t1").status, "RETRY");
    }
}

Test(records_work, a_retry_starts_before_the_outcome_that_asked_for_it)
{
    struct pg_answer a;

    pg_claim(&p, "n1", "t1", 0, false);
    a = pg_claim(&p, "n2", "t1", 1, false);
    cr_assert_eq(a.claim, CLAIM_RUN);
    cr_assert_eq(pg_settle(&p, "n1", "t1", 1, "RETRY", "{}").st, ST_DENIED);
    cr_assert_eq(pg_settle(&p, "n2", "t1", a.attempt, "SUCCESS", "1").st,
                 ST_OK);
}

Test(records_work, progress_keeps_the_lease)
{
    struct pg_answer a = pg_claim(&p, "n1", "t1", 0, false);

    cr_assert_eq(pg_settle(&p, "n1", "t1", 1, "PROGRESS", "{\"done\": 7}").st,
                 ST_OK);
    a = pg_get(&p, "t1");
    cr_assert_str_eq(a.status, "PROGRESS");
    cr_assert_str_eq(a.result, "{\"done\": 7}");
    cr_assert_eq(a.row.finished_us, 0);
    cr_assert_eq(pg_claim(&p, "n2", "t1", 0, false).claim, CLAIM_ELSEWHERE);
    cr_assert_eq(pg_settle(&p, "n1", "t1", 1, "SUCCESS", "1").st, ST_OK);
}

Test(records_work, of_a_dead_node_only_what_ran_acknowledged_is_lost)
{
    struct pg_answer a;

    pg_claim(&p, "dead", "waits", 0, false);
    begin("dead", "late", false);
    begin("dead", "early", true);
    begin("alive", "other", true);
    a = pg_bury(&p, "dead");
    cr_assert_eq(a.st, ST_OK);
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.ids[0], "early");

    a = pg_get(&p, "early");
    cr_assert_str_eq(a.status, "FAILURE");
    cr_assert_str_eq(
        a.result,
        "{\"exc_type\": \"WorkerLostError\", \"exc_message\": [\"Worker exited "
        "prematurely: signal 9 (SIGKILL).\"], \"exc_module\": "
        "\"billiard.exceptions\"}");
    cr_assert_str_eq(a.error, "WorkerLostError('Worker exited prematurely: "
                              "signal 9 (SIGKILL).')");
    cr_assert_gt(a.row.finished_us, 0);
    cr_assert_eq(pg_settle(&p, "dead", "early", 1, "FAILURE", "{}").st,
                 ST_DENIED);
    cr_assert_eq(pg_settle(&p, "dead", "late", 1, "SUCCESS", "1").st,
                 ST_DENIED);
    cr_assert_str_eq(pg_get(&p, "late").status, "PENDING");
    cr_assert_eq(pg_get(&p, "late").row.finished_us, 0);
    cr_assert_str_eq(pg_get(&p, "waits").status, "PENDING");
    cr_assert_eq(deaths("late"), 1);
    cr_assert_eq(deaths("waits"), 0);
    cr_assert_eq(pg_claim(&p, "n2", "late", 0, false).claim, CLAIM_RUN);
    cr_assert_eq(pg_claim(&p, "n2", "waits", 0, false).claim, CLAIM_RUN);
    cr_assert_str_eq(pg_get(&p, "other").status, "STARTED");
}

Test(records_work, without_a_name_all_whose_lease_ran_out_are_buried)
{
    struct pg_answer a;

    begin("n1", "t1", true);
    pg_claim(&p, "n1", "waits", 0, false);
    cr_assert_eq(bury_expired().n, 0);
    expire_leases();
    begin("n2", "t2", true);
    cr_assert_eq(pg_bury(&p, NULL).n, 0, "the server has just started");
    a = bury_expired();
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.ids[0], "t1");
    cr_assert_eq(pg_claim(&p, "n2", "waits", 0, false).claim, CLAIM_RUN);
    cr_assert_str_eq(pg_get(&p, "t2").status, "STARTED");
}

Test(records_work, a_revoked_task_is_not_run)
{
    struct pg_answer a;

    pg_submit(&p, "t1");
    cr_assert_eq(pg_revoke(&p, "t1").st, ST_OK);
    cr_assert_eq(pg_revoke(&p, "never seen").st, ST_OK);
    cr_assert_eq(pg_revoke(&p, "t1").st, ST_OK);

    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, false).claim, CLAIM_REVOKED);
    a = pg_get(&p, "t1");
    cr_assert_str_eq(a.status, "REVOKED");
    cr_assert_not_null(strstr(a.result, "TaskRevokedError"));
    cr_assert_eq(pg_claim(&p, "n1", "never seen", 0, false).claim,
                 CLAIM_REVOKED);
    cr_assert_eq(pg_get(&p, "never seen").n, 0);
}

Test(records_work, a_deleted_task_stays_deleted)
{
    struct pg_answer a = pg_claim(&p, "n1", "t1", 0, false);

    cr_assert_eq(pg_delete(&p, "t1").st, ST_OK);
    a = pg_settle(&p, "n1", "t1", a.attempt, "SUCCESS", "1");
    cr_assert_eq(a.st, ST_OK);
    cr_assert_eq(pg_note(&p, "t1", "tasks.add", "SUCCESS", "1").st, ST_OK);
    cr_assert_eq(pg_claim(&p, "n1", "t1", 0, false).claim, CLAIM_REVOKED);
    cr_assert_eq(pg_get(&p, "t1").n, 0);
}

Test(records_work, a_note_is_written_unless_the_task_is_done)
{
    struct pg_answer a;

    cr_assert_eq(pg_note(&p, "expired", "tasks.add", "REVOKED", "{}").st,
                 ST_OK);
    a = pg_get(&p, "expired");
    cr_assert_str_eq(a.status, "REVOKED");
    cr_assert_str_eq(a.task, "tasks.add");
    cr_assert_gt(a.row.finished_us, 0);
    cr_assert_eq(pg_note(&p, "expired", NULL, "SUCCESS", "1").st, ST_OK);
    cr_assert_str_eq(pg_get(&p, "expired").status, "REVOKED");

    cr_assert_eq(pg_note(&p, "no task name", NULL, "SUCCESS", "1").st, ST_OK);
    cr_assert_eq(pg_get(&p, "no task name").n, 0);
}

Test(records_work, a_final_note_ends_a_lease_and_another_does_not)
{
    begin("n1", "t1", false);
    pg_note(&p, "t1", NULL, "RETRY", "{}");
    cr_assert_str_eq(pg_get(&p, "t1").status, "STARTED");
    pg_note(&p, "t1", NULL, "SUCCESS", "1");
    cr_assert_str_eq(pg_get(&p, "t1").status, "SUCCESS");
    cr_assert_eq(pg_settle(&p, "n1", "t1", 1, "FAILURE", "{}").st, ST_DENIED);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Submit, read and change against a real server. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
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

TestSuite(records_api, .init = setup, .fini = teardown);

Test(records_api, a_submitted_task_has_a_row_and_an_outbox_row)
{
    struct pg_answer a = pg_submit(&p, "t1");
    int64_t now = clock_unix_us();
    struct records_row made;

    cr_assert_eq(a.st, ST_OK);
    cr_assert_eq(pg_server_number(server, "SELECT outbox_id FROM outbox"),
                 a.number);
    made = a.row;
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM outbox WHERE "
                                          "task_id = 't1' AND queue = "
                                          "'celery' AND message = "
                                          "'{\"body\": \"x\"}'"),
                 1);
    a = pg_get(&p, "t1");
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.status, "PENDING");
    cr_assert_str_eq(a.name, "a name");
    cr_assert_str_eq(a.task, "tasks.add");
    cr_assert_str_eq(a.args, "[1, 2]");
    cr_assert_null(a.row.description.ptr);
    cr_assert_null(a.row.result.ptr);
    cr_assert_eq(a.row.total_tokens, -1);
    cr_assert(llabs(a.row.created_us - now) < 10 * 1000000);
    cr_assert_eq(a.row.started_us, 0);
    cr_assert_eq(made.seq, a.row.seq);
    cr_assert_eq(made.created_us, a.row.created_us);
    cr_assert_eq(a.row.updated_us, a.row.created_us);
}

Test(records_api, a_task_is_found_by_both_its_ids)
{
    int64_t seq;

    pg_submit(&p, "t1");
    pg_submit(&p, "t2");
    seq = pg_get(&p, "t2").row.seq;

    cr_assert_str_eq(pg_get_seq(&p, seq).id, "t2");
    cr_assert_eq(pg_get_seq(&p, 99999).n, 0);
    cr_assert_eq(pg_get_seq(&p, 99999).st, ST_OK);
    cr_assert_eq(pg_get_seq(&p, 0).n, 0);
    cr_assert_eq(pg_get(&p, "").n, 0);
}

Test(records_api, a_celery_id_that_is_a_number_is_not_taken_for_the_integer_id)
{
    pg_submit(&p, "2");
    pg_submit(&p, "other");

    cr_assert_str_eq(pg_get(&p, "2").id, "2");
    cr_assert_str_eq(pg_get_seq(&p, 2).id, "other");
    cr_assert_eq(pg_get(&p, "1").n, 0);
    cr_assert_eq(pg_delete(&p, "1").st, ST_NOTFOUND);
    cr_assert_str_eq(pg_delete_seq(&p, 2).id, "other");
    cr_assert_str_eq(pg_delete(&p, "2").id, "2");
}

static struct {
    size_t done, ok, denied, invalid;
} count;

static void
count_submitted(void *arg, enum status st, const struct records_made *made)
{
    (void)arg;
    count.done++;
    count.ok += st == ST_OK && made->outbox_id > 0;
    count.denied += st == ST_DENIED;
    count.invalid += st == ST_INVALID;
}

Test(records_api, one_bad_submission_does_not_spoil_its_batch)
{
    struct records_new n = {.task = text("t"), .queue = text("q")};

    pg_submit(&p, "task-7");
    for (int i = 0; i < 300; i++) {
        char id[32];

        snprintf(id, sizeof(id), "task-%d", i);
        n.id = text(id);
        n.args = text(i == 11 ? "[1, " : "[1]"); /* refused by the server */
        n.message = i == 13 ? (struct slice){"a\0b", 3} : text("{}");
        n.name = i == 17 ? (struct slice){"a\0b", 3} : text("\xff name");
        n.due_us = 0;
        records_submit(p.r, &n, count_submitted, NULL);
    }
    n.id = text("");
    records_submit(p.r, &n, count_submitted, NULL);
    pg_records_wait(&p, &count.done, 301);

    cr_assert_eq(count.denied, 1);  /* task-7 was there */
    cr_assert_eq(count.invalid, 3); /* 11, 13 and the one without an id */
    cr_assert_eq(count.ok, 297);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM tasks"), 298);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM outbox"), 298);
    cr_assert_str_eq(pg_get(&p, "task-17").name, "a\xEF\xBF\xBD"
                                                 "b");
    cr_assert_str_eq(pg_get(&p, "task-18").name, "\xEF\xBF\xBD name");
}

Test(records_api, nul_escapes_nan_and_large_values_are_kept_or_told)
{
    size_t size = 9 * 1024 * 1024;
    char *large = malloc(size);
    struct records_new n = {.id = text("t1"),
                            .task = text("t"),
                            .queue = text("q"),
                            .message = text("{}"),
                            .args =
                                text("[\"a\\u0000b NaN\", NaN, -Infinity]")};
    struct pg_answer a;

    memset(large, '1', size);
    n.kwargs = (struct slice){large, size};
    records_submit(p.r, &n, count_submitted, NULL);
    pg_records_wait(&p, &count.done, 1);
    free(large);

    cr_assert_eq(count.ok, 1);
    a = pg_get(&p, "t1");
    cr_assert_str_eq(a.args, "[\"a\\u0000b NaN\", \"NaN\", \"-Infinity\"]");
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM tasks WHERE "
                                          "kwargs::text LIKE '%too large%'"),
                 1);
}

Test(records_api, the_list_is_filtered_searched_and_paged)
{
    struct records_filter f = {.limit = 2};
    struct pg_answer a;

    for (int i = 0; i < 5; i++) {
        char id[8];

        snprintf(id, sizeof(id), "t%d", i);
        pg_submit(&p, id);
    }
    pg_server_run(server, "UPDATE tasks SET name = '100%_sure' WHERE id = 't1';"
                          "UPDATE tasks SET description = 'x 100%_SURE' "
                          "WHERE id = 't3';"
                          "UPDATE tasks SET name = '100 xsure' WHERE id = 't4'"
                          ";UPDATE tasks SET status = 'FAILURE', model = 'm' "
                          "WHERE id IN ('t0', 't1')");
    a = pg_list(&p, &f);
    cr_assert_eq(a.st, ST_OK);
    cr_assert_eq(a.total, 5);
    cr_assert_eq(a.n, 2);
    cr_assert_str_eq(a.ids[0], "t4");
    cr_assert_str_eq(a.ids[1], "t3");

    f = (struct records_filter){.limit = 10, .skip = 3, .oldest_first = true};
    a = pg_list(&p, &f);
    cr_assert_eq(a.total, 5);
    cr_assert_eq(a.n, 2);
    cr_assert_str_eq(a.ids[0], "t3");

    f = (struct records_filter){.limit = 10, .search = text("100%_sure")};
    a = pg_list(&p, &f);
    cr_assert_eq(a.total, 2);
    cr_assert_str_eq(a.ids[0], "t3");
    cr_assert_str_eq(a.ids[1], "t1");

    f = (struct records_filter){.limit = 10,
                                .status = text("FAILURE"),
                                .model = text("m"),
                                .task = text("tasks.add"),
                                .queue = text("celery"),
                                .search = text("sure")};
    a = pg_list(&p, &f);
    cr_assert_eq(a.total, 1);
    cr_assert_str_eq(a.ids[0], "t1");

    f = (struct records_filter){.limit = 10, .skip = 100};
    a = pg_list(&p, &f);
    cr_assert_eq(a.total, 5);
    cr_assert_eq(a.n, 0);
    f = (struct records_filter){.limit = 10, .status = text("nothing")};
    a = pg_list(&p, &f);
    cr_assert_eq(a.total, 0);
    cr_assert_eq(a.n, 0);
}

Test(records_api, a_list_leaves_out_what_is_large)
{
    struct records_filter f = {.limit = 1};

    pg_submit(&p, "t1");
    pg_server_run(server, "UPDATE tasks SET result = to_json(repeat('x', "
                          "100000)), traceback = 'short'");

    cr_assert_null(pg_list(&p, &f).row.result.ptr);
    cr_assert_not_null(pg_list(&p, &f).row.traceback.ptr);
    cr_assert_eq(pg_get(&p, "t1").row.result.len, 100002);
}

Test(records_api, name_and_description_can_always_be_changed)
{
    struct records_change c = {.name = text("new")};
    struct pg_answer a;

    pg_claim(&p, "n1", "t1", 0, false);
    a = pg_update(&p, "t1", &c);
    cr_assert_eq(a.st, ST_OK);
    cr_assert_str_eq(a.name, "new");
    cr_assert_eq(pg_update(&p, "nobody", &c).st, ST_NOTFOUND);
}

Test(records_api, what_a_message_says_can_change_while_it_is_scheduled)
{
    struct records_change c = {.args = text("[7]"),
                               .queue = text("other"),
                               .message = text("{\"body\": \"y\"}")};
    struct pg_answer a;

    pg_submit(&p, "t1");
    cr_assert_eq(pg_update(&p, "t1", &c).st, ST_DENIED,
                 "its submitter may be publishing it");
    cr_assert_str_eq(pg_get(&p, "t1").args, "[1, 2]");

    pg_server_run(server, "UPDATE outbox SET due_at = now() + interval '1 h'");
    a = pg_update(&p, "t1", &c);
    cr_assert_eq(a.st, ST_OK);
    cr_assert_str_eq(a.args, "[7]");
    cr_assert_str_eq(a.queue, "other");
    cr_assert_str_eq(a.name, "a name");
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM outbox WHERE "
                                          "queue = 'other' AND message = "
                                          "'{\"body\": \"y\"}'"),
                 1);

    pg_server_run(server, "UPDATE outbox SET leased_until = now() + "
                          "interval '1 h'");
    cr_assert_eq(pg_update(&p, "t1", &c).st, ST_DENIED, "a relay holds it");
    pg_server_run(server, "DELETE FROM outbox");
    cr_assert_eq(pg_update(&p, "t1", &c).st, ST_DENIED, "it was published");
}

Test(records_api, a_task_that_has_started_keeps_its_arguments)
{
    struct records_change c = {.args = text("[7]")};

    pg_submit(&p, "t1");
    pg_server_run(server, "UPDATE outbox SET due_at = now() + interval '1 h'");
    pg_claim(&p, "n1", "t1", 0, false);
    cr_assert_eq(pg_update(&p, "t1", &c).st, ST_DENIED);
}

Test(records_api, deleting_removes_the_row_and_its_message)
{
    struct pg_answer a;

    pg_submit(&p, "t1");
    a = pg_delete(&p, "t1");
    cr_assert_eq(a.st, ST_OK);
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.status, "PENDING");
    cr_assert_eq(pg_get(&p, "t1").n, 0);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM outbox"), 0);
    cr_assert_eq(pg_delete(&p, "t1").st, ST_NOTFOUND);
}

Test(records_api, open_tasks_are_walked_page_by_page)
{
    struct pg_answer a;

    for (int i = 0; i < 7; i++) {
        char id[8];

        snprintf(id, sizeof(id), "t%d", i);
        pg_submit(&p, id);
    }
    pg_claim(&p, "n1", "t0", 0, false);
    /* t1: done; t2: not published; t3: too young; t4, t5, t6: open */
    pg_server_run(server,
                  "UPDATE tasks SET status = 'SUCCESS' WHERE id = 't1'; "
                  "UPDATE tasks SET status = 'RETRY' WHERE id = 't5'; "
                  "DELETE FROM outbox WHERE task_id <> 't2'; "
                  "UPDATE tasks SET updated_at = now() - interval "
                  "'1 min' WHERE id <> 't3'");
    a = pg_open_ids(&p, 2, 5000);
    cr_assert_eq(a.st, ST_OK);
    cr_assert_eq(a.n, 2);
    cr_assert_str_eq(a.ids[0], "t4");
    cr_assert_str_eq(a.ids[1], "t5");
    a = pg_open_ids(&p, 2, 5000);
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.ids[0], "t6");
    a = pg_open_ids(&p, 2, 5000);
    cr_assert_eq(a.n, 2, "it begins anew");
}

Test(records_api, rejected_messages_are_kept_and_the_oldest_forgotten)
{
    size_t size = 100 * 1024;
    char *raw = calloc(1, size);

    pg_server_run(server, "INSERT INTO rejected (reason) SELECT 'old' FROM "
                          "generate_series(1, 10005)");
    records_reject(p.r, text("q"), text("t1"), text("no JSON"),
                   (struct slice){raw, size});
    free(raw);
    pg_get(&p, "x");
    while (records_backlog(p.r) > 0)
        pg_records_run(&p, 5);

    cr_assert_eq(pg_server_number(server, "SELECT octet_length(raw) FROM "
                                          "rejected WHERE id = 't1' AND queue "
                                          "= 'q' AND reason = 'no JSON'"),
                 64 * 1024);
    cr_assert_leq(pg_server_number(server, "SELECT count(*) FROM rejected"),
                  10002);
}

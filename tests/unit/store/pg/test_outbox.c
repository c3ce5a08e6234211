/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox relay's calls against a real server. */
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

TestSuite(outbox, .init = setup, .fini = teardown);

static void
finish(int64_t outbox_id)
{
    outbox_done(p.r, outbox_id);
    while (records_backlog(p.r) > 0)
        pg_records_run(&p, 5);
}

Test(outbox, a_row_that_is_leased_is_not_taken_and_one_that_is_done_is_gone)
{
    struct pg_answer a;

    pg_submit(&p, "t1");
    a = pg_take(&p, 10, 0, 60000);
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.ids[0], "t1");
    cr_assert_str_eq(a.queue, "celery");
    cr_assert_str_eq(a.message, "{\"body\": \"x\"}");
    cr_assert_eq(pg_take(&p, 10, 0, 60000).n, 0);
    finish(a.number);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM outbox"), 0);
}

Test(outbox, a_relay_that_died_leaves_its_rows_to_the_next)
{
    pg_submit(&p, "t1");
    cr_assert_eq(pg_take(&p, 10, 0, 60000).n, 1);
    pg_server_run(server, "UPDATE outbox SET leased_until = now()");
    cr_assert_eq(pg_take(&p, 10, 0, 60000).n, 1);
}

/* A process that died between its commit and the publish. */
Test(outbox, a_young_row_is_left_to_its_submitter_and_later_taken)
{
    pg_submit(&p, "t1");
    cr_assert_eq(pg_take(&p, 10, 3000, 60000).n, 0);
    pg_server_run(server, "UPDATE outbox SET created_at = created_at - "
                          "interval '3 s'");
    cr_assert_eq(pg_take(&p, 10, 3000, 60000).n, 1);
}

Test(outbox, a_parked_message_is_not_taken_before_it_is_due)
{
    int64_t now = clock_unix_us();

    cr_assert_eq(pg_park(&p, "later", now + 3600 * 1000000LL).st, ST_OK);
    cr_assert_eq(pg_park(&p, "sooner", now - 1000000).st, ST_OK);
    cr_assert_eq(pg_depth(&p).number, 1);
    cr_assert_str_eq(pg_take(&p, 10, 0, 1000).ids[0], "sooner");
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM outbox WHERE "
                                          "due_at BETWEEN now() + interval "
                                          "'59 min' AND now() + interval "
                                          "'61 min'"),
                 1);
}

enum { ROWS = 2000, PAGE = 100 };

struct relay {
    struct records *r;
    size_t done, taken;
    unsigned char *seen;
};

static void
on_page(void *arg, enum status st, const struct outbox_row *rows, size_t n)
{
    struct relay *relay = arg;

    cr_assert_eq(st, ST_OK);
    for (size_t i = 0; i < n; i++) {
        relay->seen[atoi(rows[i].task_id.ptr)]++;
        outbox_done(relay->r, rows[i].outbox_id);
    }
    relay->taken += n;
    relay->done++;
    if (n > 0)
        outbox_take(relay->r, PAGE, 0, 60000, on_page, relay);
}

Test(outbox, two_relays_never_hold_the_same_row)
{
    unsigned char seen[ROWS + 1] = {0};
    struct pg_records q;
    struct relay a = {.r = p.r, .seen = seen}, b = {.seen = seen};

    pg_server_run(server, "INSERT INTO outbox (task_id, queue, message, due_at)"
                          " SELECT n::text, 'q', '{}', now() FROM "
                          "generate_series(1, 2000) n");
    pg_records_open(&q, pg_server_url(server), 1, 5, 30);
    b.r = q.r;
    outbox_take(a.r, PAGE, 0, 60000, on_page, &a);
    outbox_take(b.r, PAGE, 0, 60000, on_page, &b);
    while (a.taken + b.taken < ROWS || records_backlog(a.r) > 0 ||
           records_backlog(b.r) > 0) {
        pg_records_run(&p, 1);
        pg_records_run(&q, 1);
    }
    for (size_t i = 1; i <= ROWS; i++)
        cr_assert_eq(seen[i], 1, "row %zu: %d", i, seen[i]);
    cr_assert_gt(a.taken, 0);
    cr_assert_gt(b.taken, 0);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM outbox"), 0);
    pg_records_close(&q);
}
